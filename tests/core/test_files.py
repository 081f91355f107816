from pathlib import Path

import pytest

from anonymize.core.errors import MediaError
from anonymize.core.files import check_input, check_output


def test_inputs_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "empty.mp4").touch()
    for name, why in {"none.mp4": "No such file", "empty.mp4": "it is empty", ".": "it is a folder"}.items():
        with pytest.raises(MediaError, match=f"cannot read .*{why}"):
            check_input(tmp_path / name)
    (tmp_path / "full.mp4").write_text("full")
    check_input(tmp_path / "full.mp4")


def test_outputs_that_cannot_be_written(tmp_path: Path) -> None:
    output = tmp_path / "out.mp4"
    check_output(output)
    output.write_text("mine")
    with pytest.raises(MediaError, match="exists"):
        check_output(output)
    with pytest.raises(MediaError, match="it is the input"):
        check_output(output, source=output, overwrite=True)
    with pytest.raises(MediaError, match="no folder"):
        check_output(tmp_path / "none" / "out.mp4")
    check_output(output, overwrite=True)
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("out.mp4", "mine")]
