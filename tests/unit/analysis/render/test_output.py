"""Reports on the terminal, as JSON and as pages: nothing from a log can break out of its cell."""

import json
from datetime import UTC, date, datetime
from html.parser import HTMLParser
from io import StringIO
from math import inf, nan
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from analysis.render.document import Code, Picture, Report, Section, Table, numeric, pieces
from analysis.render.output import PageError, as_json, page, print_report, write_page
from analysis.render.pictures import Interval, Line, histograms, intervals, over_days

EVIL = "<script>alert(1)</script> $5$ [red] \"&'"
MOMENT = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


def pictures() -> tuple[Picture, ...]:
    return (
        histograms(
            [0, 0.5, 1],
            {"champion": [1, 2], EVIL: [3, 0]},
            xlabel=EVIL,
            caption=EVIL,
            alt=f"histogram {EVIL}",
        ),
        intervals(
            [Interval(EVIL, -1, 0, 1), Interval("b", nan, nan, nan)], xlabel="x", caption="c", alt="ivals"
        ),
        over_days(
            [date(2026, 11, day) for day in range(1, 20)],
            [Line("a", [0.1] * 18 + [nan], low=[0.0] * 19, high=[0.2] * 19)],
            ylabel="y",
            caption="c",
            alt="days",
            limit=("most", 0.3),
            unit="percent",
        ),
    )


def report(**changes: object) -> Report:
    fields: dict[str, object] = {
        "title": f"Title {EVIL}",
        "answer": f"Yes, `code {EVIL}`",
        "tone": "good",
        "evidence": (
            Section(
                f"Section {EVIL}",
                (f"Text {EVIL}",),
                (
                    Table(("name", "count"), ((EVIL, "1,200"), ("b", "-3.5%")), EVIL, frozenset({0})),
                    Code(EVIL, f"copy `{EVIL}`"),
                    *pictures(),
                ),
            ),
        ),
        "method": (Section("How", ("Wilson.",)),),
        "numbers": {"a": nan, "b": (inf, np.float64(1.5)), "c": {"d": "e"}},
        "warnings": (f"Careful {EVIL}",),
    }
    return Report(**{**fields, **changes})  # type: ignore[arg-type]


class _Page(HTMLParser):
    """Tags as a browser sees them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.asked: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            if name == "id":
                self.ids.append(value or "")
            if name in ("src", "href", "xlink:href"):
                self.asked.append(value or "")


def test_a_page_is_whole_and_asks_for_nothing_else() -> None:
    seen = _Page(page(report(), written=MOMENT))
    assert "script" not in seen.tags
    assert seen.tags.count("svg") == 3
    assert all(link.startswith("#") for link in seen.asked)
    assert len(seen.ids) == len(set(seen.ids))


def test_a_page_answers_before_it_brings_evidence_and_method() -> None:
    text = page(report(answer="THE ANSWER"), written=MOMENT)
    places = [text.index(each) for each in ("THE ANSWER", "What it rests on", "How it was found")]
    assert places == sorted(places)
    assert "Written 2026-11-23 12:00 UTC" in text


def test_the_same_report_makes_the_same_page() -> None:
    assert page(report(), written=MOMENT) == page(report(), written=MOMENT)


def test_drawings_are_xml_with_words_and_colours_of_the_page() -> None:
    for each in pictures():
        root = ET.fromstring(each.svg)
        assert root.tag.endswith("svg")
        assert "#0101" not in each.svg, "a stand-in colour is left"
        assert "var(--" in each.svg
    assert "alert(1)" in "".join(ET.fromstring(pictures()[0].svg).itertext())


def test_a_page_that_cannot_be_written_says_where(tmp_path: Path) -> None:
    with pytest.raises(PageError, match=r"no-such-folder"):
        write_page(report(), tmp_path / "no-such-folder" / "report.html")


def test_the_page_is_written(tmp_path: Path) -> None:
    write_page(report(), tmp_path / "report.html")
    assert "Title" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_what_shows_no_drawings_does_not_make_them() -> None:
    """It takes longer than all the rest of a report."""

    def draw() -> str:
        pytest.fail("drawn for nobody")

    section = Section("S", (), (Picture("c", "a", draw),))
    print_report(report(evidence=(section,)), file=StringIO())
    as_json(report(evidence=(section,)))


def test_nothing_can_be_drawn() -> None:
    nothing = (
        histograms([0, 1], {"champion": [0], "challenger": [0]}, xlabel="x", caption="c", alt="a"),
        intervals([], xlabel="x", caption="c", alt="a", line=None, unit="points"),
        intervals([Interval("a", nan, 0.1, nan)], xlabel="x", caption="c", alt="a", unit="percent"),
        over_days([], [], ylabel="y", caption="c", alt="a"),
        over_days(["one"], [Line("a", [nan]), Line("b", [0.1])], ylabel="y", caption="c", alt="a"),
    )
    assert all(ET.fromstring(each.svg).tag.endswith("svg") for each in nothing)


def test_the_terminal_shows_all_but_drawings() -> None:
    out = StringIO()
    print_report(report(), file=out)
    text = out.getvalue()
    for each in ("Good.", "[red]", "1,200", "Wilson.", "Careful"):
        assert each in text
    for each in ("<svg", "histogram", "ivals"):  # no captions of pictures that are not there
        assert each not in text


def test_json_is_standard() -> None:
    read = json.loads(as_json(report()), parse_constant=pytest.fail)
    assert read["numbers"] == {"a": None, "b": [None, 1.5], "c": {"d": "e"}}
    assert read["tone"] == "good"


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (("1", "2.5"), True),
        (("1,200", "-"), True),
        (("12.3%", "-0.4%"), True),
        (("+1.2 ms", "<0.001"), True),
        (("low", "3"), False),
        (("2026-11-23", "2026-11-24"), False),
        (("-", ""), False),
    ],
)
def test_columns_of_numbers(cells: tuple[str, ...], expected: bool) -> None:
    assert numeric(Table(("c",), tuple((cell,) for cell in cells))) == (expected,)


def test_backticks() -> None:
    assert list(pieces("a `b` c")) == [(False, "a "), (True, "b"), (False, " c")]
    assert list(pieces("a ` c")) == [(False, "a ` c")]


def test_a_row_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="2 columns"):
        Table(("a", "b"), (("1",),))
