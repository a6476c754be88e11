"""Whether the whole is what its segments say: the mix of users, and Simpson's paradox."""

from analysis.reports.document import Section, Table
from analysis.reports.measure_words import Unit
from analysis.reports.segment_figures import SegmentFigures
from analysis.reports.segment_options import unit_of
from analysis.reports.words import chance
from analysis.statistics.simpson import Mix


def paradox(figures: SegmentFigures) -> Section:
    """Where the whole says one thing, and its segments the opposite."""
    text = []
    for name in figures.paradoxes:
        found = figures.mixes[name]
        unit = Unit(figures.metric.kind, min(abs(found.crude), abs(found.adjusted)))
        text.append(
            f"Simpson's paradox by {name}: the whole says {unit.change(found.crude)}, but with the same mix"
            f" of {name} in both arms the difference is {unit.change(found.adjusted)}; {found.opposite} of"
            f" {found.parts} segments by themselves say the opposite of the whole."
        )
    text.append(
        "It comes about where the challenger's share was not the same for all: a constraint, or a share that"
        " changed while the mix of users did. Believe the segments; mend the flag, and measure anew."
    )
    return Section("The whole misleads", tuple(text))


def properties(figures: SegmentFigures) -> Section:
    """The whole beside what the same mix would make of it, by property."""
    rows = tuple(_property_row(name, each, figures) for name, each in figures.mixes.items())
    columns = (
        "property",
        "whole",
        "with the same mix",
        "same mix?",
        "same effect?",
    )
    marked = frozenset(place for place, name in enumerate(figures.mixes) if name in figures.paradoxes)
    return Section(
        "Does the mix of users explain it?",
        (
            "Beside the difference in the whole stands what it would be with the same mix of users in both"
            " arms; where the mix is the same anyway, they are alike. The last column is whether the effect"
            " may be the same in all segments of the property.",
        ),
        (Table(columns, rows, marked=marked),),
    )


def _property_row(name: str, found: Mix, figures: SegmentFigures) -> tuple[str, ...]:
    unit = unit_of(figures, figures.effect)
    same = figures.heterogeneity.get(name)
    return (
        name,
        unit.change(found.crude),
        unit.change(found.adjusted),
        f"{'no' if found.differs else 'yes'} (p {chance(found.p)})",
        "-" if same is None else f"{'no' if same < figures.alpha else 'maybe'} (p {chance(same)})",
    )
