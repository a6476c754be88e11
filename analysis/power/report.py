"""The report before a test: how many users it needs, how long that takes, and what fewer would find."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from math import ceil, inf, isfinite
from typing import Any

from analysis.metric import Kind
from analysis.power.question import USUAL_DAYS, PowerQuestion
from analysis.render import pictures
from analysis.render.document import Block, Picture, Report, Section, Table
from analysis.render.words import Unit
from analysis.statistics.power import (
    Design,
    Need,
    allowed,
    figures,
    for_skewness,
    need,
    sides,
    size,
    smallest_effect,
)
from common.figures import NONE

USUAL_PARTS = (0.25, 0.5, 0.75, 1.0, 1.5, 2.0)  # of the users that are needed


def power_report(question: PowerQuestion) -> Report:
    """Make the report.

    Raises:
        ValueError: the measure can neither rise nor drop by the effect.
    """
    sections = (_sizes(question), _what_can_be_found(question))
    return Report(
        title="How many users does the test need?",
        answer=_answer(question),
        tone="plain",
        evidence=tuple(section for section in sections if section),
        method=(_method(question),),
        numbers=_numbers(question),
        warnings=_warnings(question),
    )


def _answer(question: PowerQuestion) -> str:
    design, needed, effect, unit = question.design, question.needed, question.effect, question.unit
    if needed is None or effect is None:
        each = next((each for each in question.findable if each.days == question.days), question.findable[0])
        found = f"a change of {unit.change(each.change, sign=False)}" if each.change else "no change at all"
        return (
            f"{each.days:g} days bring some {each.users:,.0f} users, who find {found}, up or down from "
            f"{unit.level(design.baseline)}, in {100 * design.power:.0f} of 100 tests."
        )
    arms = (
        f"Plan {needed.challenger:,} users of each model"
        if needed.champion == needed.challenger
        else f"Plan {needed.challenger:,} users of the challenger and {needed.champion:,} of the champion"
    )
    possible = sides(design, effect)
    ways = "up or down" if len(possible) > 1 else "up" if possible[0] > 0 else "down"
    text = (
        f"{arms}: that finds a change of {unit.change(effect, sign=False)}, {ways} from "
        f"{unit.level(design.baseline)}, in {100 * design.power:.0f} of 100 tests"
        f"{' and more' if for_skewness(design) > size(design, needed.side) else ''}."
    )
    days = question.days_needed
    if days is None:
        return text
    if not isfinite(days):
        return f"{text} So many different users do not come, as the traffic is now."
    window = f", and the last outcomes {_span(question.window)} more" if question.window else ""
    return f"{text} As users come now, that takes {_span(timedelta(days=min(days, 36_500)))}{window}."


def _span(time: timedelta) -> str:
    days = time.total_seconds() / 86_400
    if days >= 2:
        return f"{ceil(days - 1e-9):,} days"
    hours = time.total_seconds() / 3600
    return f"{ceil(hours - 1e-9)} hours" if hours >= 2 else f"{ceil(time.total_seconds() / 60)} minutes"


def _warnings(question: PowerQuestion) -> tuple[str, ...]:
    found, design, needed, days = [], question.design, question.needed, question.days_needed
    if needed and design.kind is Kind.PROPORTION:
        rarer = min(design.baseline, 1 - design.baseline) * min(needed.champion, needed.challenger)
        if rarer < 10:
            found.append(
                f"Only {rarer:.0f} events are expected in the smaller arm: there the formulas are rough."
            )
    if days is not None and 365 < days < inf:
        found.append("That is more than a year: take a larger change, a larger share, or another metric.")
    return tuple(found)


def _numbers(question: PowerQuestion) -> dict[str, Any]:
    design, needed, days = question.design, question.needed, question.days_needed
    numbers: dict[str, Any] = {
        "kind": design.kind.value,
        "baseline": design.baseline,
        "effect": question.effect,
        "alpha": design.alpha,
        "power": design.power,
        "share": design.share,
        "deviation": design.deviation,
        "dispersion": design.dispersion,
        "skewness": design.skewness,
    }
    if needed and question.effect:
        numbers["users"] = {
            "champion": needed.champion,
            "challenger": needed.challenger,
            "total": needed.total,
            "sized_for": design.baseline + needed.side,
        }
        if design.kind is Kind.PROPORTION:
            numbers["figures"] = {
                ("rise" if side > 0 else "drop"): {
                    name: ceil(value - 1e-9) for name, value in vars(figures(design, side)).items()
                }
                for side in sides(design, question.effect)
            }
        if design.kind is Kind.MEAN:
            fits = allowed(needed.champion, needed.challenger, design.alpha)
            numbers["skewness_allowed"] = fits if isfinite(fits) else None
        numbers["days"] = days if days is None or isfinite(days) else None
        numbers["never"] = days is not None and not isfinite(days)
    numbers["smallest"] = [
        {"days": each.days, "users": round(each.users), "change": each.change} for each in question.findable
    ]
    return numbers


def _sizes(question: PowerQuestion) -> Section | None:
    """How many users find the effect, by each formula."""
    design, effect, needed, unit = question.design, question.effect, question.needed, question.unit
    if effect is None or needed is None:
        return None
    equal = design.share == 0.5
    whose = "Users of each model" if equal else "Users of the challenger"
    if design.kind is Kind.PROPORTION:
        rows: list[tuple[str, ...]]
        columns: tuple[str, ...] = ("change", "arcsine", "two proportions", "Fleiss, continuity corrected")
        text = [_recommendation(design, needed, unit)]
        rows = [
            (
                _from_to(design, side, unit),
                _whole(each.arcsine),
                _whole(each.two_proportion),
                _whole(each.fleiss),
            )
            for side in sides(design, effect)
            for each in [figures(design, side)]
        ]
    else:
        columns, text = ("change", "users"), []
        rows = [(_from_to(design, side, unit), _whole(size(design, side))) for side in sides(design, effect)]
    if design.kind is Kind.MEAN and not equal:
        text.append(_skewed(design, effect, needed))
    if not equal:
        text.append(
            f"The challenger has {100 * design.share:g}% of the users, so the champion needs "
            f"{design.ratio:.3g} times as many: {needed.champion:,}, {needed.total:,} users in all. With "
            f"equal shares it would be {need(replace(design, share=0.5), effect).total:,} in all."
        )
    return Section("Users", tuple(text), (Table(columns, tuple(rows), whose),))


def _skewed(design: Design, effect: float, needed: Need) -> str:
    """Whether the small arm is large enough for what the measure looks like."""
    least = ceil(for_skewness(design) - 1e-9)
    found = max(size(design, side) for side in sides(design, effect))
    if least > found:
        return (
            f"{ceil(found):,} would find the change, and a skewness of {design.skewness:g} needs {least:,} in"
            " so small an arm: with fewer, an arm that has not met its rare and large values is called worse"
            " too often. Arms of equal sizes need no more for that."
        )
    fits = allowed(needed.champion, needed.challenger, design.alpha)
    return (
        f"In arms so unequal the test keeps to its level up to a skewness of {fits:.2g} (waiting times have"
        " 2, amounts of money 6 and more; in arms of equal sizes any)."
        + ("" if design.skewness else " Say yours by `--skewness`, or take equal shares.")
    )


def _recommendation(design: Design, needed: Need, unit: Unit) -> str:
    why = (
        f"the drop to {unit.level(design.baseline + needed.side)} varies more than the rise"
        if needed.side < 0
        else f"the rise to {unit.level(design.baseline + needed.side)} varies more than the drop"
    )
    return (
        f"Take {needed.challenger:,}: the report tests with the continuity correction, which the last column "
        f"allows for, and {why}. With fewer users the test would miss more than "
        f"{100 * (1 - design.power):.0f} of 100 such changes."
    )


def _what_can_be_found(question: PowerQuestion) -> Section | None:
    """Times, their users, and the smallest change that these find."""
    if question.arrivals is None:
        return _without_arrivals(question)
    rows = tuple(
        (
            f"{days:g}",
            f"{users:,.0f}",
            NONE if change is None else question.unit.change(change, sign=False),
        )
        for days, users, change in question.findable
    )
    text = "Different users since the test's beginning, and the smallest change that they find."
    if question.arrivals.growth < 1:
        text += " Who comes back is no new user, so twice the days bring less than twice the users."
    blocks: list[Block] = [Table(("days", "users", "smallest change"), rows)]
    if picture := _curve(question):
        blocks.append(picture)
    return Section("What can be found in a time", (text,), tuple(blocks))


def _without_arrivals(question: PowerQuestion) -> Section | None:
    """By users, where nobody has said how many come in a day."""
    needed, design = question.needed, question.design
    if needed is None:
        return None
    found = [
        (needed.challenger * part, smallest_effect(design, needed.champion * part, needed.challenger * part))
        for part in USUAL_PARTS
    ]
    known = [(users, change) for users, change in found if change is not None]
    text = (
        "Fewer users find only larger changes. How many days that takes: say `--users-per-day`, or `--log`."
    )
    if len(known) < 2:
        return Section("How long it takes", (text,))
    picture = _smallest(question, [f"{users:,.0f}" for users, _ in known], [change for _, change in known])
    return Section("What more or fewer users find", (text,), (picture,))


def _curve(question: PowerQuestion) -> Picture | None:
    """The smallest change over days, from the first week on; None where it is none."""
    days, changes = [], []
    for week in range(7, USUAL_DAYS[-1] + 1, 7):
        if (change := question.found_in(week).change) is not None:
            days.append(str(week))
            changes.append(change)
    return _smallest(question, days, changes, days=True) if len(days) >= 2 else None


def _smallest(
    question: PowerQuestion, along: Sequence[str], changes: Sequence[float], *, days: bool = False
) -> Picture:
    """The smallest change that is found, over users of the challenger or days, with the one asked for."""
    in_points = question.design.kind is Kind.PROPORTION
    of = "days" if days else "users of the challenger"
    first, last = (question.unit.change(value, sign=False) for value in (changes[0], changes[-1]))
    return pictures.over_days(
        along,
        [pictures.Line("smallest change that is found", changes, "challenger")],
        ylabel="points" if in_points else "change",
        xlabel=of,
        caption="The smallest change that is found"
        + ("; the dashed line is the change asked for." if question.effect else "."),
        alt=f"{first} with {along[0]} {of}, {last} with {along[-1]}.",
        limit=("asked for", question.effect) if question.effect else None,
        unit="points" if in_points else None,
    )


def _method(question: PowerQuestion) -> Section:
    design = question.design
    text = [
        f"Two-sided, alpha {design.alpha:g}: of 100 tests of two equal models {100 * design.alpha:g} find a "
        f"difference. Power {design.power:g}.",
        {
            Kind.PROPORTION: "Arcsine: `NormalIndPower` of statsmodels. Two proportions: pooled variance "
            "without a difference, unpooled with one (`samplesize_proportions_2indep_onetail`). Fleiss: the "
            "same with the continuity correction for arms of any sizes.",
            Kind.MEAN: "Normal approximation, with the same standard deviation in both arms: "
            f"{design.deviation or 0:g}. In unequal arms the test errs where the measure is skewed: N is as"
            " large as it takes that this adds a fifth of alpha at most (Edgeworth's expansion of t, Hall"
            " 1992).",
            Kind.COUNT: "Normal approximation of the difference of two counts per user; variance = mean + "
            f"{design.dispersion:g} * mean**2 (0 is Poisson).",
        }[design.kind],
        "The unit is the user, not the request. A reading that may be repeated at any time "
        "(`abtest report --sequential`) needs about as many users in half of the tests, and half as many "
        "again in one of five, if the change is just as large as planned; fewer if it is larger.",
        *question.sources,
    ]
    return Section("Method", tuple(text))


def _from_to(design: Design, side: float, unit: Unit) -> str:
    return f"{unit.level(design.baseline)} to {unit.level(design.baseline + side)}"


def _whole(users: float) -> str:
    return f"{ceil(users - 1e-9):,}"
