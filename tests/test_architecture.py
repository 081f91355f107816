"""Rules between the parts of the package, which the linter cannot express per folder."""

import ast
import subprocess
import sys
from configparser import ConfigParser
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "anonymize"
STAGES = ["media", "detect", "track", "generate", "compose"]
ORCHESTRATORS = ["pipeline", "cli"]
BESIDE_THE_PIPELINE = ["synthesis", "train", "evaluate"]


def imports(file: Path) -> set[str]:
    """Parts of the package that a file imports, such as "media"; imports for type checking only count too."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file} has a relative import, which hides where it goes"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        found |= {name.split(".")[1] for name in names if name.startswith("anonymize.")}
    return found


@pytest.mark.parametrize("stage", STAGES)
def test_stages_do_not_know_each_other(stage: str) -> None:
    others = {*STAGES, *ORCHESTRATORS, *BESIDE_THE_PIPELINE} - {stage}
    for file in (PACKAGE / stage).rglob("*.py"):
        assert not imports(file) & others, file


def test_synthesis_stands_alone() -> None:
    for file in (PACKAGE / "synthesis").rglob("*.py"):
        assert not imports(file) & {"detect", "track", "compose", "train", "evaluate", *ORCHESTRATORS}, file


def test_the_leaves_import_no_stage() -> None:
    for name in ("types", "errors", "prefetch", "resources", "device", "parameters"):
        assert imports(PACKAGE / f"{name}.py") <= {"types", "errors"}


def test_every_folder_of_the_package_is_installed() -> None:
    setup = ConfigParser()
    setup.read(ROOT / "setup.cfg")
    listed = set(setup["options"]["packages"].split())
    on_disk = {".".join(file.parent.relative_to(ROOT).parts) for file in PACKAGE.rglob("__init__.py")}
    assert listed == on_disk | {"anonymize.weights"}


def test_the_command_line_loads_without_torch() -> None:
    """Importing torch takes seconds, which `--help` and wrong use have no need of."""
    code = "import sys, anonymize, anonymize.cli; sys.exit('torch' in sys.modules or 'cv2' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
