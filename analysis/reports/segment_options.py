"""What can be done where a segment is harmed: leave it out, train again, or decide."""

import shlex
from collections.abc import Iterator

from analysis.measures.segments import NOT_GIVEN
from analysis.reports.document import Code, Section
from analysis.reports.measure_words import Unit
from analysis.reports.segment_figures import SegmentEffect, SegmentFigures
from analysis.reports.words import percent
from analysis.statistics.effect import Effect

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
        "\n".join(f"python -m flags {word} {shlex.quote(flag)} {each}" for each in conditions)
        for word in ("exclude", "include")
    )
    blocks = (
        Code(out, "The command for the first:"),
        Code(again, "To let them in again, which is a raise (refused for a version in quarantine):"),
    )
    return Section("What can be done", text, blocks)


def _worth(figures: SegmentFigures) -> str:
    """What the segments lose, beside what all users gain."""
    unit = unit_of(figures, figures.effect)
    lost = ", ".join(
        f"{unit.change(each.effect.difference)} for"
        f" {percent(each.segment.users / figures.all_users.users, 0)} of the users ({each.segment.name})"
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
