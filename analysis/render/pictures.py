"""Drawings for reports, as SVG that follows the page's colours, light or dark.

The only module that imports matplotlib, when a page is made: a terminal has no use for it. It knows no CSS,
so drawings are made in stand-in colours, which then become variables of page.html (with a fallback for a
drawing that stands alone). Words stay words: they are set in the page's font, can be read aloud and searched.
No drawing depends on the clock or on chance.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from hashlib import blake2b
from io import StringIO
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np

from analysis.render.document import Picture

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Colour = Literal["ink", "soft", "grid", "champion", "challenger", "good", "bad", "wait", "plain"]

AxisUnit = Literal["percent", "points"]
"""Of shares, and of differences of shares; the axis' label names points."""

# (stand-in, fallback); variables of page.html by these names. The stand-ins are no colours that anybody sees.
COLOURS: Final[dict[Colour, tuple[str, str]]] = {
    "ink": ("#010101", "#1a1f26"),
    "soft": ("#020202", "#59626e"),
    "grid": ("#030303", "#d9dde3"),
    "champion": ("#040404", "#2563a8"),
    "challenger": ("#050505", "#c2570c"),
    "good": ("#060606", "#1c7c3c"),
    "bad": ("#070707", "#b3261e"),
    "wait": ("#080808", "#8a6100"),
    "plain": ("#090909", "#2563a8"),
}
WIDTH: Final = 5.6  # inches of 72 px: about what a phone is wide, so that words stay readable there
SIZE: Final = 11  # of letters, in px of the drawing
MARGIN: Final = 6  # px around it


@dataclass(frozen=True)
class Interval:
    """One row of an interval plot: `low <= value <= high`; NaN where there is none."""

    label: str
    low: float
    value: float
    high: float
    colour: Colour = "plain"


@dataclass(frozen=True)
class Line:
    """One line of a drawing over days: a value a day, perhaps with its interval; NaN leaves a gap."""

    name: str
    values: Sequence[float]
    colour: Colour = "plain"
    low: Sequence[float] | None = None
    high: Sequence[float] | None = None


def histograms(  # noqa: PLR0913 - what a reader needs to know is told by who calls
    edges: Sequence[float],
    counts: Mapping[str, Sequence[float]],
    *,
    xlabel: str,
    caption: str,
    alt: str,
    colours: Sequence[Colour] = ("champion", "challenger"),
) -> Picture:
    """Distributions over each other, each as shares of its own total, so that unequal totals compare.

    Args:
        edges: of the bins, one more than each has counts.
        counts: by name, in the order of `colours`.
        xlabel, caption, alt: words.
        colours: one for each distribution.
    """

    def draw(axes: "Axes") -> None:
        for (name, each), colour in zip(counts.items(), colours, strict=False):
            shares = np.asarray(each, dtype=float) / max(float(np.sum(each)), 1.0)
            axes.stairs(shares, edges, fill=True, color=_of(colour), alpha=0.25)
            axes.stairs(shares, edges, color=_of(colour), linewidth=1.5, label=name)
        axes.set_xlabel(xlabel)
        axes.set_ylabel("share")
        axes.set_ylim(bottom=0)
        axes.yaxis.set_major_formatter(_percent)
        _legend(axes)

    return Picture(caption, alt, lambda: _drawn(2.6, draw))


def intervals(  # noqa: PLR0913 - as above
    rows: Sequence[Interval],
    *,
    xlabel: str,
    caption: str,
    alt: str,
    line: float | None = 0.0,
    unit: AxisUnit | None = None,
) -> Picture:
    """Values with their intervals below each other, and a line at what would be no difference."""

    def draw(axes: "Axes") -> None:
        places = np.arange(len(rows))[::-1]
        for place, row in zip(places, rows, strict=True):
            axes.plot([row.low, row.high], [place, place], color=_of(row.colour), linewidth=2)
            axes.plot([row.value], [place], "o", color=_of(row.colour), markersize=5)
        if line is not None:
            axes.axvline(line, color=_of("soft"), linewidth=1, linestyle=(0, (4, 3)))
        axes.set_yticks(places, [_cut(row.label) for row in rows])
        axes.set_ylim(-0.6, len(rows) - 0.4)
        axes.grid(visible=False, axis="y")
        axes.grid(visible=True, axis="x", color=_of("grid"), linewidth=0.7)
        axes.set_xlabel(xlabel)
        if unit:
            axes.xaxis.set_major_formatter(_TICKS[unit])

    return Picture(caption, alt, lambda: _drawn(0.75 + 0.3 * max(len(rows), 1), draw))


def over_days(  # noqa: PLR0913 - as above
    days: Sequence[date | str],
    lines: Sequence[Line],
    *,
    ylabel: str,
    xlabel: str = "",
    caption: str,
    alt: str,
    limit: tuple[str, float] | None = None,
    unit: AxisUnit | None = None,
) -> Picture:
    """One value a day, with a band for its interval, and a dashed line at a limit: its name and value.

    `days` may be words, where the axis is of something else: `xlabel`.
    """

    def draw(axes: "Axes") -> None:
        x = np.arange(len(days))
        for each in lines:
            colour = _of(each.colour)
            if each.low is not None and each.high is not None:
                low, high = np.asarray(each.low, dtype=float), np.asarray(each.high, dtype=float)
                axes.fill_between(x, low, high, color=colour, alpha=0.18, linewidth=0)
            axes.plot(x, each.values, "o-", color=colour, linewidth=1.6, markersize=3.5, label=each.name)
        if limit is not None:
            name, value = limit
            axes.axhline(value, color=_of("bad"), linewidth=1, linestyle=(0, (4, 3)), label=name)
        step = max(1, -(-len(days) // 6))  # six dates fit beside each other
        axes.set_xticks(x[::step], [day if isinstance(day, str) else f"{day:%d %b}" for day in days[::step]])
        axes.set_xlim(-0.5, max(len(days) - 0.5, 0.5))
        axes.set_ylabel(ylabel)
        axes.set_xlabel(xlabel)
        if unit:
            axes.yaxis.set_major_formatter(_TICKS[unit])
        if len(lines) > 1 or limit is not None:
            _legend(axes)

    return Picture(caption, alt, lambda: _drawn(2.4, draw))


def _drawn(height: float, draw: "Callable[[Axes], None]") -> str:
    """The SVG of what `draw` puts on one pair of axes in the house's style, which does not outlive it."""
    import matplotlib as mpl  # noqa: PLC0415 - half a second, and only pages have drawings
    from matplotlib.backends.backend_svg import FigureCanvasSVG  # noqa: PLC0415
    from matplotlib.figure import Figure  # noqa: PLC0415

    style: dict[str, Any] = {
        "svg.fonttype": "none",  # words, not outlines
        "svg.hashsalt": "canario",  # the same drawing has the same names inside
        "text.parse_math": False,  # a segment may be called $5
        "font.size": SIZE,
        "text.color": _of("ink"),
        "axes.labelcolor": _of("soft"),
        "axes.edgecolor": _of("grid"),
        "axes.grid": True,
        "axes.grid.axis": "y",
        "axes.axisbelow": True,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "grid.color": _of("grid"),
        "grid.linewidth": 0.7,
        "xtick.color": _of("soft"),
        "ytick.color": _of("soft"),
    }
    with mpl.rc_context(style):  # type: ignore[arg-type]  # its keys are literals
        figure = Figure(figsize=(WIDTH, height), dpi=72, layout="constrained")
        FigureCanvasSVG(figure)
        draw(figure.add_subplot())
        return _svg(figure)


def _legend(axes: "Axes") -> None:
    """Above the drawing, where no line can run into it."""
    handles, labels = axes.get_legend_handles_labels()
    axes.figure.legend(handles, labels, loc="outside upper left", ncols=4, frameon=False, handlelength=1.2)


def _svg(figure: "Figure") -> str:
    """The drawing as one element that can stand in a page beside others."""
    out = StringIO()
    figure.savefig(
        out,
        format="svg",
        transparent=True,
        bbox_inches="tight",
        pad_inches=MARGIN / 72,
        metadata={"Date": None, "Creator": None, "Format": None, "Type": None},
    )
    text = out.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    for name, (stand_in, fallback) in COLOURS.items():
        text = text.replace(stand_in, f"var(--{name}, {fallback})")
    text = re.sub(r"font: (\S+) [^;\"]*", r"font-size: \1", text)  # the page's own family
    text = re.sub(r'(<svg [^>]*?) width="[^"]*"', r"\1", text, count=1)
    text = re.sub(r'(<svg [^>]*?) height="[^"]*"', r"\1", text, count=1)
    own = blake2b(text.encode(), digest_size=4).hexdigest()  # ids are the whole page's
    text = re.sub(r' id="([^"]+)"', rf' id="p{own}-\1"', text)
    text = re.sub(r'href="#([^"]+)"', rf'href="#p{own}-\1"', text)
    return re.sub(r"url\(#([^)]+)\)", rf"url(#p{own}-\1)", text)


def _of(colour: Colour) -> str:
    return COLOURS[colour][0]


def _percent(value: float, _place: float | None = None) -> str:
    return f"{100 * value:.3g}%"


def _points(value: float, _place: float | None = None) -> str:
    return f"{100 * value:.3g}"


_TICKS: Final = {"percent": _percent, "points": _points}


def _cut(label: str, longest: int = 26) -> str:
    return label if len(label) <= longest else label[: longest - 1] + "…"
