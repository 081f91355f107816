import pytest
import torch

from anonymize.device import resolve_device
from anonymize.errors import OptionError


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
