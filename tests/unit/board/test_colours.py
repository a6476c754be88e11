"""What stands on what can be read by day and by night: WCAG's contrast of the colours in board.css."""

import re
from itertools import product
from pathlib import Path

import pytest

CSS = (Path(__file__).parents[3] / "board" / "static" / "board.css").read_text(encoding="utf-8")
DAY, NIGHT = (
    dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", block))
    for block in re.findall(r":root \{(.*?)\}", CSS, re.S)
)
TEXT_ON = [
    *product(("ink", "soft"), ("paper", "card", "good-soft", "bad-soft", "wait-soft", "plain-soft")),
    *[(tone, f"{tone}-soft") for tone in ("good", "bad", "wait", "plain")],
    *[("card", tone) for tone in ("good", "bad", "wait", "plain")],
    ("bad", "card"),
    ("bad", "paper"),
]
LINES_ON = [*product(("champion", "challenger", "soft", "bad", "focus"), ("card",)), ("focus", "paper")]


def luminance(colour: str) -> float:
    """Relative luminance, as WCAG 2.2 defines it."""
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (one / 12.92 if one <= 0.04045 else ((one + 0.055) / 1.055) ** 2.4 for one in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("colours", [DAY, NIGHT], ids=["day", "night"])
def test_text_and_lines_stand_out(colours: dict[str, str]) -> None:
    assert DAY.keys() >= colours.keys() >= {"ink", "card", "challenger"}
    for text, ground in TEXT_ON:
        assert contrast(colours[text], colours[ground]) >= 4.5, f"{text} on {ground}"
    for line, ground in LINES_ON:
        assert contrast(colours[line], colours[ground]) >= 3, f"{line} on {ground}"


def test_the_definition_is_wcags() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)
