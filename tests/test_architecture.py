"""Rules between the parts of the package, which the linter cannot express per folder."""

import ast
import subprocess
import sys
from configparser import ConfigParser
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "anonymize"
PARTS = sorted({file.relative_to(PACKAGE).parts[0].removesuffix(".py") for file in PACKAGE.rglob("*.py")})
"""Folders and single modules of the package, such as "media" and "pipeline"."""
STAGES = ["media", "detect", "track", "generate", "compose"]


def files_of(part: str) -> list[Path]:
    return sorted((PACKAGE / part).rglob("*.py")) or [PACKAGE / f"{part}.py"]


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
    return found & set(PARTS)


def imported_by(part: str) -> set[str]:
    return set().union(*(imports(file) for file in files_of(part))) - {part}


def circles(graph: dict[str, set[str]]) -> set[str]:
    """Parts from which a way leads back to themselves."""
    reached = {part: set(others) for part, others in graph.items()}
    for middle in graph:
        for part in graph:
            if middle in reached[part]:
                reached[part] |= reached[middle]
    return {part for part, others in reached.items() if part in others}


def test_a_circle_is_found() -> None:
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": {"a"}}) == {"b", "c"}


def test_no_parts_import_each_other_in_a_circle() -> None:
    graph = {part: imported_by(part) for part in PARTS}
    assert graph["cli"] > {"pipeline", "two_pass"} and graph["pipeline"] > set(STAGES) - {"generate"}
    assert not circles(graph)


@pytest.mark.parametrize("stage", STAGES)
def test_stages_know_each_other_by_their_data_only(stage: str) -> None:
    assert imported_by(stage) <= {"core", "downloads"}


def test_core_imports_no_other_part() -> None:
    assert not imported_by("core")


def test_the_bodies_stand_on_core_alone() -> None:
    assert imported_by("bodies") <= {"core"}


@pytest.mark.parametrize("part", [part for part in PARTS if part != "lab"])
def test_the_product_does_without_the_lab(part: str) -> None:
    assert "lab" not in imported_by(part)


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
