"""Rules between the parts of the package, which the linter cannot express per folder."""

import ast
import re
import subprocess
import sys
from configparser import ConfigParser
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "anonymize"
FILES = sorted(PACKAGE.rglob("*.py"))
PARTS = sorted({file.relative_to(PACKAGE).parts[0].removesuffix(".py") for file in FILES} - {"__init__", "__main__"})
"""Folders and single modules at the top of the package, such as "media" and "pipeline"."""
STAGES = ["media", "detect", "track", "generate", "compose"]

Graph = dict[str, set[str]]


def module_of(file: Path) -> str:
    """Dotted name of a file; a folder's `__init__.py` keeps that name, as it is a module apart from the folder."""
    return ".".join(file.relative_to(ROOT).with_suffix("").parts)


MODULES = {module_of(file) for file in FILES}
SETUP = ConfigParser()
SETUP.read(ROOT / "setup.cfg")


def lines_of(section: str, name: str) -> list[str]:
    """The values of a list of setup.cfg."""
    return SETUP[section][name].split()


@cache
def imports(file: Path) -> set[str]:
    """Modules of the package that a file imports; imports for type checking and inside of functions count too."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names = [(alias.name, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0 and node.module, f"{file} has a relative import, which hides where it goes"
            names = [(f"{node.module}.{alias.name}", node.module) for alias in node.names]
        else:
            continue
        for full, module in names:
            found |= {name for name in (full, module, f"{module}.__init__") if name in MODULES and full not in MODULES}
            found |= {full} & MODULES
    return found - {module_of(file)}


def imported_by(part: str) -> set[str]:
    """Top parts that a part imports, such as {"core"} by "media"."""
    files = [file for file in FILES if file.relative_to(PACKAGE).parts[0].removesuffix(".py") == part]
    assert files, part
    return {name.split(".")[1] for file in files for name in imports(file)} - {part, "__init__"}


def circles(graph: Graph) -> set[str]:
    """Nodes from which a way leads back to themselves."""
    reached = {node: set(others) for node, others in graph.items()}
    for middle in graph:
        for node in graph:
            if middle in reached[node]:
                reached[node] |= reached[middle]
    return {node for node, others in reached.items() if node in others}


def children_graph(folder: str) -> Graph:
    """Which children of a folder, modules and folders, import which others of them."""

    def child(module: str) -> str | None:
        return module.removeprefix(f"{folder}.").split(".")[0] if module.startswith(f"{folder}.") else None

    graph: Graph = {}
    for file in FILES:
        own = child(module_of(file))
        if own is not None:
            others = {child(name) for name in imports(file)} - {None, own}
            graph.setdefault(own, set()).update(str(name) for name in others)
    return graph


def test_a_circle_is_found() -> None:
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": {"a"}}) == {"b", "c"}


def test_imports_are_seen() -> None:
    graph = children_graph("anonymize")
    assert graph["cli"] > {"pipeline", "two_pass", "core"}
    assert graph["pipeline"] > set(STAGES) - {"generate"}
    assert "people" in children_graph("anonymize.bodies")["__init__"]


FOLDERS = sorted({module.rpartition(".")[0] for module in MODULES})


@pytest.mark.parametrize("folder", FOLDERS)
def test_no_circle_between_the_modules_and_folders_of_a_folder(folder: str) -> None:
    assert not circles(children_graph(folder))


@pytest.mark.parametrize("stage", STAGES)
def test_stages_know_each_other_by_their_data_only(stage: str) -> None:
    assert imported_by(stage) <= {"core", "downloads"} | ({"bodies"} if stage == "generate" else set())


def test_core_imports_no_other_part() -> None:
    assert not imported_by("core")


def test_the_bodies_stand_on_core_alone() -> None:
    assert imported_by("bodies") <= {"core"}


@pytest.mark.parametrize("part", [part for part in PARTS if part != "lab"])
def test_the_product_does_without_the_lab(part: str) -> None:
    assert "lab" not in imported_by(part)


def name_of(requirement: str) -> str:
    """Name of a package, as of "ray[default]>=2.40", in the normalised form of PEP 503."""
    return re.sub(r"[-_.]+", "-", re.split(r"[><=\[]", requirement)[0]).lower()


def test_a_plain_installation_has_all_that_modules_import() -> None:
    """What only an extra brings is imported where it is used."""
    plain = {name_of(line) for line in lines_of("options", "install_requires")}
    bring = packages_distributions()
    for file in FILES:
        for node in ast.parse(file.read_text()).body:
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            for top in {name.split(".")[0] for name in names} - sys.stdlib_module_names - {"anonymize"}:
                assert plain & {name_of(each) for each in bring.get(top, ())}, f"{file} imports {top}"


def test_a_plain_installation_loads_the_whole_product() -> None:
    """With what only extras bring out of reach, all modules of the product load."""
    section = "options.extras_require"
    extras = {name_of(line) for extra in SETUP[section] for line in lines_of(section, extra)}
    plain = {name_of(line) for line in lines_of("options", "install_requires")}
    only_extra = {
        top
        for top, bringers in packages_distributions().items()
        if {name_of(each) for each in bringers} <= extras - plain
    }
    modules = sorted(
        name.removesuffix(".__init__") for name in MODULES if "__main__" not in name and ".lab" not in name
    )
    code = f"""
import sys
from importlib import import_module
for name in {sorted(only_extra | {"ray", "detectron2", "anny"})}:
    sys.modules[name] = None  # an import of it fails
for name in {modules}:
    import_module(name)
"""
    result = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


def test_every_folder_of_the_package_is_installed() -> None:
    listed = set(lines_of("options", "packages"))
    on_disk = {".".join(file.parent.relative_to(ROOT).parts) for file in PACKAGE.rglob("__init__.py")}
    assert listed == on_disk | {"anonymize.weights"}


def test_the_command_line_loads_without_torch() -> None:
    """Importing torch takes seconds, which `--help` and wrong use have no need of."""
    code = "import sys, anonymize, anonymize.cli; sys.exit('torch' in sys.modules or 'cv2' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
