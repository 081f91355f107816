"""How the tracker is laid out."""

import ast
from pathlib import Path

import pytest

import anonymize.track

FOLDER = Path(anonymize.track.__file__).parent
PHASES = ["model", "online", "delayed", "output"]


def test_all_constants_stand_in_the_configuration() -> None:
    for file in FOLDER.rglob("*.py"):
        if file.name in ("config.py", "__init__.py"):
            continue
        for node in ast.parse(file.read_text()).body:
            targets = node.targets if isinstance(node, ast.Assign) else []
            assert not [t for t in targets if ast.unparse(t).strip("_()").isupper()], file


@pytest.mark.parametrize("phase", PHASES)
def test_a_phase_knows_only_those_before_it(phase: str) -> None:
    later = PHASES[PHASES.index(phase) + 1 :]
    for file in (FOLDER / phase).rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            name = (node.module or "") if isinstance(node, ast.ImportFrom) else ""
            assert name.removeprefix("anonymize.track.").split(".")[0] not in later, file
