import platform

import pytest
import torch

from anonymize.core import device
from anonymize.core.device import cpu_name, has_bfloat16, low_precision, resolve_device
from anonymize.core.errors import OptionError


def test_auto_takes_what_is_there() -> None:
    fastest = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    assert resolve_device("auto") == torch.device(fastest)
    assert resolve_device("cpu") == torch.device("cpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_a_missing_device_is_told() -> None:
    with pytest.raises(OptionError, match="no device 'cuda'; there is"):
        resolve_device("cuda")


def test_a_wrong_name_lists_the_right_ones() -> None:
    with pytest.raises(OptionError, match="auto, cpu, cuda, mps"):
        resolve_device("tpu")


@pytest.mark.parametrize(
    ("info", "has_it"),
    [
        ("", False),
        ("processor\t: 0\nmodel name\t: An x86\nflags\t\t: fpu avx2 avx512f avx512_vnni\n", False),
        ("processor\t: 0\nflags\t\t: fpu avx2 avx512_bf16\n", True),
        ("processor\t: 0\nflags\t\t: fpu amx_bf16 amx_tile\n", True),
        ("processor\t: 0\nFeatures\t: fp asimd bf16 i8mm\n", True),
        ("processor\t: 0\nFeatures\t: fp asimd\n", False),
        ("bugs\t: bf16\n", False),
    ],
)
def test_processors_that_multiply_in_bfloat16(info: str, has_it: bool) -> None:
    assert has_bfloat16(info) == has_it


def test_the_name_of_a_processor() -> None:
    assert cpu_name("processor\t: 0\nmodel name\t: An x86: fast\n") == "An x86: fast"
    assert cpu_name("") == (platform.processor() or platform.machine())


@pytest.mark.parametrize("offered", [True, False])
@pytest.mark.parametrize("flags", ["avx2", "avx2 avx512_bf16"])
def test_bfloat16_is_not_imitated(flags: str, offered: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: offered)
    monkeypatch.setattr(device, "cpu_info", lambda: f"flags : {flags}\n")
    low = offered and flags.endswith("bf16")
    assert low_precision(torch.device("cpu")) == (torch.bfloat16 if low else torch.float32)
    assert low_precision(torch.device("mps")) == torch.float32


@pytest.mark.parametrize("has_it", [True, False])
def test_bfloat16_on_cards_that_have_it(has_it: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: has_it)
    assert low_precision(torch.device("cuda")) == (torch.bfloat16 if has_it else torch.float32)
