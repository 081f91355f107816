import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from anonymize.core.errors import WeightsError
from anonymize.detect.zoo.checkpoint import read_model, read_pickle


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_arrays_and_plain_containers_are_read(tmp_path: Path, protocol: int) -> None:
    file = tmp_path / "x.pkl"
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    content = {"model": OrderedDict(weight=array), "n": np.float64(2), "list": [1, (2, None)], "bytes": b"\xff"}
    file.write_bytes(pickle.dumps(content, protocol))
    found = read_pickle(file)
    np.testing.assert_array_equal(found["model"]["weight"], array)
    assert found["n"] == 2 and found["list"] == [1, (2, None)] and found["bytes"] == b"\xff"
    np.testing.assert_array_equal(read_model(file)["weight"], array)


class Call:
    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> Any:
        return self.call


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_a_hostile_pickle_is_refused_and_does_nothing(tmp_path: Path, protocol: int) -> None:
    file, trap = tmp_path / "x.pkl", tmp_path / "trap"
    for payload in (Call(open, str(trap), "w"), Call(eval, f"open({str(trap)!r}, 'w')"), Call(Path.touch, trap)):
        file.write_bytes(pickle.dumps({"model": {"weight": payload}}, protocol))
        with pytest.raises(WeightsError, match="refused") as caught:
            read_model(file)
        assert "\n" not in str(caught.value)
        assert not trap.exists()


def test_a_codec_is_no_way_out(tmp_path: Path) -> None:
    file = tmp_path / "x.pkl"
    file.write_bytes(b"c_codecs\nencode\n(Vhello\nVrot13\ntR.")
    with pytest.raises(WeightsError, match="not allowed"):
        read_pickle(file)


def test_a_truncated_file_gives_one_line(tmp_path: Path) -> None:
    file = tmp_path / "x.pkl"
    whole = pickle.dumps({"model": {"weight": np.zeros(100, np.float32)}})
    for length in (0, 1, 10, len(whole) // 2, len(whole) - 1):
        file.write_bytes(whole[:length])
        with pytest.raises(WeightsError) as caught:
            read_model(file)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [[], {}, {"model": {}}, {"model": {"a": 1}}, {"model": {1: np.zeros(1)}}])
def test_another_layout_is_refused(tmp_path: Path, content: Any) -> None:
    file = tmp_path / "x.pkl"
    file.write_bytes(pickle.dumps(content))
    with pytest.raises(WeightsError, match="no checkpoint"):
        read_model(file)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="cannot read"):
        read_pickle(tmp_path / "none.pkl")
