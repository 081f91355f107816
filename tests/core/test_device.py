import pytest
import torch

from anonymize.core.device import low_precision, resolve_device
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


@pytest.mark.parametrize("device", ["cpu", "cuda", "mps"])
@pytest.mark.parametrize("processor_has_it", [True, False])
def test_bfloat16_where_it_is_computed_in(device: str, processor_has_it: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: processor_has_it)
    low = device == "cuda" or (device == "cpu" and processor_has_it)
    assert low_precision(torch.device(device)) == (torch.bfloat16 if low else torch.float32)
