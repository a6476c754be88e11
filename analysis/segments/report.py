"""The segments report: for whom is the challenger better, for whom worse, and what can be done about it?"""

from collections.abc import Iterator
from dataclasses import dataclass

from analysis.abtest.warnings import odd
from analysis.log import BadLines
from analysis.render.document import Report, Section, Table, Tone
from analysis.render.pictures import Colour, Interval, intervals
from analysis.render.words import chance, exact_percent
from analysis.segments import sections
from analysis.segments.figures import SegmentFigures
from analysis.segments.measure import MOST_VALUES
from analysis.segments.sections import joined, method, options, unit_of
from analysis.statistics.effect import Effect
from analysis.statistics.effect import Interval as Bounds

SHOWN = 20  # segments, of which all are in the JSON
_COLOURS: dict[str, Colour] = {"harmed": "bad", "gains": "good", "": "soft", "misleads": "wait"}


@dataclass(frozen=True)
class About:
    """What the report is of.

    Attributes:
        test: name of the registered test; None: of no test, so that what it finds is a hint.
        flag: whose constraint would leave a segment out.
        period: from when to when, in words.
        early: why a registered test must not be looked into yet; None: it may.
        changed: why a registration that was changed is taken; None: it is as it was.
    """

    test: str | None
    flag: str
    period: str
    early: str | None = None
    changed: str | None = None


def segments_report(figures: SegmentFigures | None, about: About, bad: BadLines) -> Report:
    """Make the report; `figures` is None where they must not be seen."""
    title = f"Segments of {about.test}" if about.test else "Segments"
    if figures is None:
        return Report(
            title=title,
            answer=f"Not before the test itself has ended. {about.early or ''}".strip(),
            tone="wait",
            evidence=(),
            method=(
                Section(
                    "Why not yet",
                    (
                        "Who looks at segments while a test runs finds one that shines, and ends the test for"
                        " it. The report of the whole says how far the test is:"
                        " `./canario report abtest report`. What was registered by `--segments-by` may be"
                        " read at any time by `--sequential`, with wider intervals.",
                    ),
                ),
            ),
            numbers={"kind": "segments", "whole": None, "segments": [], "early": about.early},
            warnings=tuple(_bad(bad)),
        )
    return Report(
        title=title,
        answer=_answer(figures),
        tone=_tone(figures),
        evidence=tuple(_evidence(figures, about)),
        method=(method(figures, about.period),),
        numbers=figures.numbers() | {"test": about.test, "bad_lines": bad.count},
        warnings=(*_bad(bad), *_warnings(figures, about)),
    )


def _tone(figures: SegmentFigures) -> Tone:
    if not figures.enough or figures.silent:
        return "wait"
    if figures.harmed or figures.paradoxes:
        return "bad"
    if figures.verdict:
        return "good" if figures.verdict == "gains" else "bad"
    return "wait" if figures.any_time else "plain"


def _answer(figures: SegmentFigures) -> str:
    if not figures.enough:
        users = figures.all_users
        return (
            f"It is too early to say: {users.champion.users:,} users had the champion and"
            f" {users.challenger.users:,} the challenger, and {figures.least} of each are needed."
        )
    name = figures.metric.name
    if figures.silent:
        return (
            f"Nothing can be said: no feedback named {figures.metric.outcome!r} was counted of any of these"
            " users. Is that its name, and has its time come?"
        )
    if figures.paradoxes:
        by = figures.paradoxes[0]
        found = figures.mixes[by]
        word = "better" if found.adjusted * figures.sign > 0 else "worse"
        each = f"for each {by}" if found.opposite == found.parts else f"{by} by {by}, weighted alike,"
        return (
            f"Do not trust the whole: in all users together the challenger seems"
            f" {'worse' if word == 'better' else 'better'} in {name}, but {each} it is {word}. Its"
            f" users are other people than the champion's.{_even_so(figures) if word == 'better' else ''}"
        )
    whole = {
        "gains": f"The challenger is better in {name} for users as a whole",
        "harmed": f"The challenger is worse in {name} for users as a whole",
        "": f"For users as a whole nothing is certain yet in {name}"
        if figures.any_time
        else f"For users as a whole no difference was found in {name}",
    }[figures.verdict]
    if not figures.harmed:
        return f"{whole}, and no segment is {'known to be ' if figures.any_time else ''}harmed."
    names = joined([each.segment.name for each in figures.harmed])
    join = ", but it is worse" if figures.verdict == "gains" else ", and the challenger is worse"
    return f"{whole}{join} where {names}. Leave those users out, train again, or decide to go on."


def _even_so(figures: SegmentFigures) -> str:
    names = joined([each.segment.name for each in figures.harmed])
    return f" Even so it is worse where {names}." if names else ""


def _evidence(figures: SegmentFigures, about: About) -> Iterator[Section]:
    if not figures.enough:
        return
    if figures.paradoxes:
        yield sections.paradox(figures)
    if figures.harmed:
        yield options(figures, about.flag)
    yield _effects(figures)
    if figures.mixes:
        yield sections.properties(figures)


def _effects(figures: SegmentFigures) -> Section:
    whole = figures.effect
    unit = unit_of(figures, whole)
    shown = figures.effects[:SHOWN]
    text = (
        f"All users: {unit.level(whole.champion)} with the champion, {unit.level(whole.challenger)} with the"
        f" challenger, a difference of {unit.change(whole.difference)} ({unit.between(whole.absolute)})."
        + "".join(
            f" With the same mix of {name} in both arms it is {unit.change(figures.mixes[name].adjusted)}"
            f" ({unit.between(figures.mixes[name].interval(figures.alpha))})."
            for name in figures.mixed_differently[:1]
        ),
    )
    verdict = "misleads" if figures.paradoxes else figures.verdict
    rows = [_row("all users", figures, whole, figures.all_users.users, chance(whole.p), verdict)]
    rows += [
        _row(each.segment.name, figures, each.effect, each.segment.users, chance(each.p), each.verdict)
        for each in shown
    ]
    marked = frozenset(place + 1 for place, each in enumerate(shown) if each.verdict == "harmed")
    columns = ("segment", "users", "champion", "challenger", "difference", "p (Holm)", "")
    more = len(figures.effects) - len(shown)
    points = " in points" if figures.metric.kind == "proportion" else ""
    caption = (
        f"The worst first; differences{points}, intervals hold all together with"
        f" {exact_percent(1 - figures.alpha)}{f'; {more} more are in the JSON' if more else ''}"
    )
    drawn = [_interval("all users", whole, verdict), *_same_mix(figures)]
    drawn += [_interval(each.segment.name, each.effect, each.verdict) for each in shown]
    picture = intervals(
        drawn,
        xlabel=f"challenger minus champion{points} (dashed: no difference)",
        caption="Effect by segment; red is harmed and green gains, after the correction"
        + ("; the whole misleads" if figures.paradoxes else ""),
        alt="; ".join(f"{row.label} {unit.between(Bounds(row.low, row.high))}" for row in drawn) + points,
        unit="points" if points else None,
    )
    return Section("For whom is it better?", text, (picture, Table(columns, tuple(rows), caption, marked)))


def _row(  # noqa: PLR0913, PLR0917 - one for each column
    name: str, figures: SegmentFigures, effect: Effect, users: int, p: str, verdict: str
) -> tuple[str, ...]:
    unit = unit_of(figures, effect)
    return (
        name,
        f"{users:,}",
        unit.level(effect.champion),
        unit.level(effect.challenger),
        f"{unit.change(effect.difference).removesuffix(' points')} ({unit.between(effect.absolute)})",
        p,
        verdict,
    )


def _same_mix(figures: SegmentFigures) -> Iterator[Interval]:
    """What the whole would say with the same mix, where the mix is another."""
    for name in figures.mixed_differently[:1]:
        found = figures.mixes[name]
        ends = found.interval(figures.alpha)
        yield Interval(f"same mix of {name}", ends.low, found.adjusted, ends.high, "ink")


def _interval(name: str, effect: Effect, verdict: str) -> Interval:
    return Interval(name, effect.absolute.low, effect.difference, effect.absolute.high, _COLOURS[verdict])


def _bad(bad: BadLines) -> Iterator[str]:
    if bad:
        yield f"{bad}."


def _warnings(figures: SegmentFigures, about: About) -> Iterator[str]:
    if about.test is None:
        yield (
            "This metric was not registered beforehand, so what it shows is a hint for the next test, and no"
            " verdict."
        )
    if figures.divided.left_out.is_odd:
        yield odd(figures.divided.left_out)
    for name in figures.too_many:
        yield (
            f"{name} has {MOST_VALUES} large values or more, more than this reading allows for: it is read"
            " when the test has ended."
        )
    for name, found in figures.mixes.items():
        if found.differs and name not in figures.paradoxes:
            yield (
                f"The arms are mixed differently by {name} (p {chance(found.p)}): the flag did not give the"
                " challenger to all alike, and the whole may mislead. Read the segments."
            )
    if about.changed is not None:
        yield f"THE REGISTRATION WAS CHANGED: its hash does not fit. Accepted: {about.changed}."
    hints = [name for name in figures.divided.segments if name not in figures.registered]
    if about.test is not None and hints:
        yield (
            f"Exploratory: that {joined(hints)} would be looked at was not registered"
            " (`abtest register --segments-by`): a hint for the next test, and no verdict."
        )
