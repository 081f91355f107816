from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests on the reference data skip, and say so, where the data is not beside the checkout."""
    if not SHARED.is_dir():
        for item in items:
            if item.get_closest_marker("shared"):
                item.add_marker(pytest.mark.skip(reason="the reference data is not beside the checkout"))


@pytest.fixture
def shared() -> Path:
    return SHARED
