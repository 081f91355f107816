import pytest

from anonymize.core.errors import OptionError
from anonymize.core.modes import parse_color


@pytest.mark.parametrize("text", ["", "red", "ff00f", "ff00ff00", "gg0000"])
def test_a_wrong_colour_is_refused(text: str) -> None:
    with pytest.raises(OptionError, match="RRGGBB"):
        parse_color(text)


def test_colours() -> None:
    assert parse_color("#ff0080") == parse_color("FF0080") == (255, 0, 128)
