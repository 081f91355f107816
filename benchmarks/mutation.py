"""Which thresholds of the tracker no test holds: each is halved and doubled, and the tests that read it are run.

python benchmarks/mutation.py
python benchmarks/mutation.py --only 'template|^reid'

A threshold is held if a test fails with at least one of the two. Values that a test sets itself stay. All runs take
place in one process: whenever a test reads the default of the field, it gets the other value.
"""

import argparse
import dataclasses
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from _pytest.runner import runtestprotocol

from anonymize.track import TrackerConfig

TESTS = Path(__file__).resolve().parents[1] / "tests" / "track"
FACTORS = {"halved": 0.5, "doubled": 2.0}
DEFAULTS = {field.name: field.default for field in dataclasses.fields(TrackerConfig)}


def scaled(value: Any, factor: float) -> Any:
    """A threshold times a factor; whole numbers and tuples stay such."""
    if isinstance(value, tuple):
        return tuple(scaled(one, factor) for one in value)
    return max(1, round(value * factor)) if isinstance(value, int) else value * factor


class Mutation:
    """A plugin that, in place of running the tests once, runs them with each threshold changed.

    Args:
        only: The fields that are changed.
    """

    def __init__(self, only: Sequence[str]) -> None:
        self.noticed: dict[str, dict[str, str]] = {}
        self._only = only
        self._read: set[str] = set()
        self._changed: dict[str, Any] = {}

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Record which test reads which field, then change one after the other."""
        plugin, original = self, TrackerConfig.__getattribute__

        def read(config: TrackerConfig, name: str) -> Any:
            value = original(config, name)
            plugin._read.add(name)
            return plugin._changed[name] if name in plugin._changed and value == DEFAULTS[name] else value

        TrackerConfig.__getattribute__ = read  # type: ignore[method-assign]
        readers: dict[str, list[tuple[float, pytest.Item]]] = {}
        for item in session.items:
            self._read.clear()
            failed, seconds = self._run(item)
            if failed:
                raise pytest.UsageError(f"{item.nodeid} fails without any change")
            for name in self._read:
                readers.setdefault(name, []).append((seconds, item))
        for name in self._only:
            tests = [item for _, item in sorted(readers.get(name, []), key=lambda pair: pair[0])]
            self.noticed[name] = {}
            for kind, factor in FACTORS.items():
                self._changed = {name: scaled(DEFAULTS[name], factor)}
                self.noticed[name][kind] = next((item.nodeid for item in tests if self._run(item)[0]), "")
            print(name, *(f"{kind}: {by or 'NOT NOTICED'}" for kind, by in self.noticed[name].items()), flush=True)
        return True

    def _run(self, item: pytest.Item) -> tuple[bool, float]:
        """Whether a test fails, and how long it takes in seconds."""
        reports = runtestprotocol(item, nextitem=None, log=False)
        return any(report.failed for report in reports), sum(report.duration for report in reports)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="Fields in whose name this regular expression is found.")
    a = parser.parse_args()
    plugin = Mutation([name for name in DEFAULTS if re.search(a.only, name)])
    pytest.main(["-q", "-p", "no:cacheprovider", str(TESTS)], plugins=[plugin])
    unheld = [name for name, by in plugin.noticed.items() if not any(by.values())]
    once = [
        f"{name} ({kind})" for name, by in plugin.noticed.items() for kind in by if any(by.values()) and not by[kind]
    ]
    print(f"{len(plugin.noticed)} thresholds; changes one way that go unnoticed: {', '.join(once) or 'none'}")
    print(f"thresholds that no test holds: {', '.join(unheld) or 'none'}")
    sys.exit(bool(unheld) or not plugin.noticed)


if __name__ == "__main__":
    main()
