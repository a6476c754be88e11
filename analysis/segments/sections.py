"""How the effects by segment were found.

Whether the whole is what its segments say: the mix of users, and Simpson's paradox.

What can be done where a segment is harmed: leave it out, train again, or decide.
"""

import shlex
from collections.abc import Iterator

from analysis.render.document import Code, Section, Table
from analysis.render.words import Unit, chance, exact_percent
from analysis.segments.figures import SegmentEffect, SegmentFigures
from analysis.segments.measure import MOST_VALUES, NOT_GIVEN
from analysis.statistics.effect import Effect
from analysis.statistics.proportions import EXACT
from analysis.statistics.simpson import Mix
from common.figures import percent
from common.terminal import printable

_SPELLED = 12  # values that were put together, in a sentence


def method(figures: SegmentFigures, period: str) -> Section:
    """Who was compared, by which tests, corrected how."""
    if figures.any_time:
        return _any_time(figures, period)
    test = "Welch's t test"
    if figures.metric.kind == "proportion":
        test = "z test with continuity correction" + _exact(figures)
    return Section(
        "What was compared",
        (
            f"{period}. Users count once, in the arm that the flag assigned at their first request, and"
            " in the segment of that request, whoever answered them.",
            f"Each segment by itself: {test}, without a covariate; the whole as its own report has it."
            " Intervals are Bonferroni's, so all of a family hold together, a little wider than Holm needs.",
            *_put_together(figures),
            figures.divided.left_out.sentence,
            f"p-values of {_families(figures)} are corrected by Holm: the chance to call even one"
            f" segment harmed (or better) of which it is not true stays below {exact_percent(figures.alpha)}."
            " Holm and not Benjamini-Hochberg, because each alarm here makes somebody act, and because it"
            " asks nothing of how segments overlap; the p-values of Benjamini and Hochberg, which find more"
            " and are wrong more often, are in the JSON. A segment that is not called harmed may be so all"
            " the same: its interval says how much.",
            "With the same mix: the mean of the segments' effects, weighted by their share of all users. Same"
            " mix: a chi-squared test of users by segment and arm, at 0.001. Same effect: Cochran's Q,"
            " the test of the interaction, corrected by Holm for the number of properties.",
        ),
    )


def _exact(figures: SegmentFigures) -> str:
    found = [each.segment.name for each in figures.effects if each.effect.test.startswith(EXACT)]
    if not found:
        return ""
    return f"; Fisher's exact test where fewer than five are expected in a cell ({joined(found)})"


def _any_time(figures: SegmentFigures, period: str) -> Section:
    properties = len(figures.divided.segments)
    count = f"{MOST_VALUES} values" + (f" of each of {properties} properties" if properties > 1 else "")
    return Section(
        "What was compared",
        (
            f"{period}. Users whose time for an outcome is over, once, in the arm that the flag assigned at"
            " their first request, and in the segment of that request, whoever answered them.",
            "Each segment by itself: a confidence sequence, tuned to a segment with a fifth of the planned"
            " users. The true difference lies in all intervals of all segments, however often one reads, with"
            f" a chance of {exact_percent(1 - figures.alpha)}.",
            f"The correction is that for {count}, however few there are yet: a family that grew with the"
            " test would have spent its chance of a false alarm on its first segments. Holm, with p-values"
            " that are valid at any time: the chance to call even one segment harmed (or better) of which it"
            f" is not true, at any of all readings, stays below {exact_percent(figures.alpha)}.",
            "Only what was registered, because properties that are added later are a family without an end;"
            " not what is put together of small values, whose members change. Whether the arms are mixed"
            " alike and whether the effect is the same for all are tests for one look: they come at the end.",
            *_put_together(figures),
            figures.divided.left_out.sentence,
        ),
    )


def _families(figures: SegmentFigures) -> str:
    sizes = {each.registered: each.family for each in figures.effects}
    if set(sizes) == {True, False}:
        return f"{sizes[True]} registered segments, and by themselves those of {sizes[False]} others,"
    return f"{len(figures.effects)} segments"


def _put_together(figures: SegmentFigures) -> Iterator[str]:
    small = {each.name for each in figures.small}
    for segments in figures.divided.segments.values():
        for each in segments:
            if each.others is None:
                continue
            named = printable(", ".join(each.others.largest[:_SPELLED]))
            more = each.others.count - min(len(each.others.largest), _SPELLED)
            left = ", which are too few, so they are left out" if each.name in small else ""
            yield (
                f"{each.name} are values with fewer than {figures.least} users in an arm, or beyond the"
                f" {MOST_VALUES} largest: {named}{f' and {more:,} more' if more else ''}. Together they have"
                f" {each.users:,} users{left}."
            )


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


_IN_COMMAND = 10  # values


def joined(names: list[str], most: int = 3) -> str:
    """A and B, and how many more."""
    if len(names) > most:
        return f"{', '.join(names[:most])} and in {len(names) - most} segments more"
    return " and ".join(names)


def unit_of(figures: SegmentFigures, effect: Effect) -> Unit:
    """How to write the measure: digits by the interval's width where there is one."""
    width = effect.absolute.width
    return Unit(figures.metric.kind, width / 2 if width < 1e9 else abs(effect.difference))


def options(figures: SegmentFigures, flag: str) -> Section:
    """The three ways on, for figures in which a segment is harmed."""
    names = joined([each.segment.name for each in figures.harmed])
    text = (
        f"The challenger is worse where {names}, and not by chance. There are three ways on:",
        "1. Leave these users out: a constraint in Unleash keeps the champion for them, at once, and"
        " everybody else keeps what they have. It lasts as long as the canary: once the challenger is"
        " promoted to champion, these users have it too. Register a new test for the others: users who were"
        " left out are the champion's in the log from then on, and no longer compare.",
        "2. Train again: look at what is different there (the shadow report's disagreements by segment help),"
        " and begin with the new version.",
        f"3. Decide to go on: where what the whole gains is worth more. It is {_worth(figures)}. Say so in"
        " writing, with the numbers below.",
        *_without_command(figures),
    )
    conditions = [each for one in figures.harmed if (each := _conditions(one))]
    if not conditions:
        return Section("What can be done", text)
    out, again = (
        "\n".join(f"./canario {word} {shlex.quote(flag)} {each}" for each in conditions)
        for word in ("exclude", "include")
    )
    blocks = (
        Code(out, "The command for the first:"),
        Code(again, "To let them in again, which is a raise (refused for a blocked version):"),
    )
    return Section("What can be done", text, blocks)


def _worth(figures: SegmentFigures) -> str:
    """What the segments lose, beside what all users gain."""
    unit = unit_of(figures, figures.effect)
    lost = ", ".join(
        f"{unit.change(each.effect.difference)} for"
        f" {percent(each.segment.users / figures.all_users.users)} of the users ({each.segment.name})"
        for each in figures.harmed[:3]
    )
    whole = unit.change(figures.effect.difference)
    if not (mixed := figures.mixed_differently):
        return f"{lost}, beside {whole} for all users together"
    return (
        f"{lost}, beside {unit.change(figures.mixes[mixed[0]].adjusted)} for all users with the same mix of"
        f" {mixed[0]} in both arms (the whole as it is says {whole}, and misleads)"
    )


def _conditions(one: SegmentEffect) -> str:
    """As `flags exclude` takes them; "" where no constraint tells these users from the others."""
    others, values = one.segment.others, tuple[str, ...]()
    if others is None:
        values = () if one.segment.value is None else (one.segment.value,)
    else:
        few = others.count <= _IN_COMMAND and NOT_GIVEN not in others.largest
        values = others.largest if few else ()
    return " ".join(shlex.quote(f"{one.segment.key}={value}") for value in values)


def _without_command(figures: SegmentFigures) -> Iterator[str]:
    for each in figures.harmed:
        if _conditions(each):
            continue
        if each.segment.others is None:
            yield (
                f"For {each.segment.name} there is no constraint: who does not send a property passes it."
                " Let clients send it, or let in only known values by a constraint in the Unleash UI."
            )
        else:
            yield (
                f"{each.segment.name} are many values read as one, of which each by itself may be well: read"
                " them again with more users, or set a constraint in the Unleash UI."
            )
