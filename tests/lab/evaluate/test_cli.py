from pathlib import Path

import pytest
from typer.testing import CliRunner

from anonymize.cli import app


@pytest.mark.parametrize("command", ["detector", "generator", "tracking", "reid", "people", "compare", "avatars"])
def test_each_command_has_help(command: str) -> None:
    result = CliRunner().invoke(app, ["evaluate", command, "--help"])
    assert result.exit_code == 0 and "Usage" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "has no folder query"),
        (["--mode", "mosaic"], "'mosaic' is not one of solid, pixelate, blur, generate"),
        (["--json", "nowhere/x.json"], "there is no folder nowhere"),
    ],
)
def test_wrong_use_of_reid_is_one_line(tmp_path: Path, arguments: list[str], words: str) -> None:
    result = CliRunner().invoke(app, ["evaluate", "reid", str(tmp_path), *arguments])
    assert result.exit_code in (1, 2)
    assert words in result.stderr and result.stderr.count("\n") == 1
