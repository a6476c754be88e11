"""The report before a test: how many users it needs, how long that takes, and what fewer would find."""

from dataclasses import dataclass, replace
from datetime import date, timedelta
from math import ceil, inf, isfinite
from typing import Any

from analysis.measures.metric import Kind
from analysis.reports.document import Block, Picture, Report, Section, Table
from analysis.reports.measure_words import Unit
from analysis.reports.words import NONE
from analysis.show import pictures
from analysis.statistics.arrivals import Arrivals
from analysis.statistics.power import Design, Need, figures, need, sides, size, smallest_effect

_USUAL_DAYS = (7, 14, 28, 56)


@dataclass(frozen=True)
class Question:
    """What was asked.

    Attributes:
        design: of the test.
        effect: smallest change that must not be missed, above 0; None: only what can be found is asked.
        arrivals: of new users; None: not known.
        window: how long an outcome counts; a test takes so much longer.
        days: a number of days to tell the smallest change for.
        sources: where figures come from, for the method.
        today: the day that days are counted from.
    """

    design: Design
    effect: float | None
    arrivals: Arrivals | None = None
    window: timedelta = timedelta()
    days: float | None = None
    sources: tuple[str, ...] = ()
    today: date = date(1970, 1, 1)


def power_report(question: Question) -> Report:
    """Make the report.

    Raises:
        ValueError: the measure can neither rise nor drop by the effect.
    """
    design = question.design
    unit = Unit(design.kind, question.effect or 0.1 * design.baseline)
    needed = need(design, question.effect) if question.effect else None
    time = _days(question, needed)
    reachable = _reachable(question)
    evidence = []
    if question.effect and needed:
        evidence.append(_sizes(question, question.effect, needed, unit))
    if reachable:
        evidence.append(_findable(question, reachable, unit))
    return Report(
        title="How many users does the test need?",
        answer=_answer(question, needed, time, reachable, unit),
        tone="plain",
        evidence=tuple(evidence),
        method=(_method(question),),
        numbers=_numbers(question, needed, time, reachable),
        warnings=_warnings(question, needed, time),
    )


def _days(question: Question, needed: Need | None) -> float | None:
    """Until the users have come; infinite where they never do; None where arrivals are not known."""
    if question.arrivals is None or needed is None:
        return None
    return question.arrivals.days_until(needed.total)


def _reachable(question: Question) -> tuple[tuple[float, float, float | None], ...]:
    """Days, users by then, the smallest change that they find."""
    if question.arrivals is None:
        return ()
    days = sorted({*_USUAL_DAYS, *([question.days] if question.days else [])})
    found = []
    for day in days:
        users = question.arrivals.users_after(day)
        share = question.design.share
        found.append((day, users, smallest_effect(question.design, users * (1 - share), users * share)))
    return tuple(found)


def _answer(
    question: Question,
    needed: Need | None,
    time: float | None,
    reachable: tuple[tuple[float, float, float | None], ...],
    unit: Unit,
) -> str:
    design = question.design
    if needed is None or question.effect is None:
        days, users, smallest = next((each for each in reachable if each[0] == question.days), reachable[0])
        found = "no change at all" if smallest is None else f"a change of {unit.change(smallest, sign=False)}"
        return (
            f"{days:g} days bring some {users:,.0f} users, who find {found}, up or down from "
            f"{unit.level(design.baseline)}, in {100 * design.power:.0f} of 100 tests."
        )
    arms = (
        f"Plan {needed.challenger:,} users of each model"
        if needed.champion == needed.challenger
        else f"Plan {needed.challenger:,} users of the challenger and {needed.champion:,} of the champion"
    )
    text = (
        f"{arms}: that finds a change of {unit.change(question.effect, sign=False)}, up or down from "
        f"{unit.level(design.baseline)}, in {100 * design.power:.0f} of 100 tests."
    )
    if time is None:
        return text
    if not isfinite(time):
        return f"{text} So many different users do not come, as the traffic is now."
    window = f", and the last outcomes {_span(question.window)} more" if question.window else ""
    return f"{text} As users come now, that takes {_span(timedelta(days=min(time, 36_500)))}{window}."


def _span(time: timedelta) -> str:
    days = time.total_seconds() / 86_400
    if days >= 2:
        return f"{ceil(days - 1e-9):,} days"
    hours = time.total_seconds() / 3600
    return f"{ceil(hours - 1e-9)} hours" if hours >= 2 else f"{ceil(time.total_seconds() / 60)} minutes"


def _sizes(question: Question, effect: float, needed: Need, unit: Unit) -> Section:
    design = question.design
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
    if not equal:
        text.append(
            f"The challenger has {100 * design.share:g}% of the users, so the champion needs "
            f"{design.ratio:.3g} times as many: {needed.champion:,}, {needed.total:,} users in all. With "
            f"equal shares it would be {need(replace(design, share=0.5), effect).total:,} in all."
        )
    return Section("Users", tuple(text), (Table(columns, tuple(rows), whose),))


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


def _findable(
    question: Question, reachable: tuple[tuple[float, float, float | None], ...], unit: Unit
) -> Section:
    rows = tuple(
        (
            f"{days:g}",
            f"{users:,.0f}",
            NONE if smallest is None else unit.change(smallest, sign=False),
            NONE
            if smallest is None or question.design.baseline <= 0
            else f"{100 * smallest / question.design.baseline:.1f}%",
        )
        for days, users, smallest in reachable
    )
    text = "Different users since the test's beginning, and the smallest change that they find."
    if question.arrivals and question.arrivals.growth < 1:
        text += " Who comes back is no new user, so twice the days bring less than twice the users."
    blocks: list[Block] = [Table(("days", "users", "smallest change", "relative"), rows)]
    if picture := _curve(question):
        blocks.append(picture)
    return Section("What can be found in a time", (text,), tuple(blocks))


def _curve(question: Question) -> Picture | None:
    """The smallest change over days, from the first week on; None where it is none."""
    design, arrivals = question.design, question.arrivals
    if arrivals is None:
        return None
    days, changes = [], []
    for day in range(7, _USUAL_DAYS[-1] + 1, 7):
        users = arrivals.users_after(day)
        smallest = smallest_effect(design, users * (1 - design.share), users * design.share)
        if smallest is not None:
            days.append(question.today + timedelta(days=day))
            changes.append(smallest)
    if len(days) < 2:
        return None
    percent = design.kind is Kind.PROPORTION
    first, last = (
        f"{100 * value:.1f} points" if percent else f"{value:.3g}" for value in (changes[0], changes[-1])
    )
    return pictures.over_days(
        days,
        [pictures.Line("smallest change", changes, "challenger")],
        ylabel="points" if percent else "smallest change",
        caption="The smallest change that is found, if the test begins today"
        + ("; the line is the change asked for." if question.effect else "."),
        alt=f"{first} after {days[0]}, {last} after {days[-1]}.",
        limit=question.effect,
        percent=percent,
    )


def _method(question: Question) -> Section:
    design = question.design
    text = [
        f"Two-sided, alpha {design.alpha:g}: of 100 tests of two equal models {100 * design.alpha:g} find a "
        f"difference. Power {design.power:g}.",
        {
            Kind.PROPORTION: "Arcsine: `NormalIndPower` of statsmodels. Two proportions: pooled variance "
            "without a difference, unpooled with one (`samplesize_proportions_2indep_onetail`). Fleiss: the "
            "same with the continuity correction for arms of any sizes.",
            Kind.MEAN: "Normal approximation, with the same standard deviation in both arms: "
            f"{design.deviation or 0:g}.",
            Kind.COUNT: "Normal approximation of the difference of two counts per user; variance = mean + "
            f"{design.dispersion:g} * mean**2 (0 is Poisson).",
        }[design.kind],
        "The unit is the user, not the request. A reading that may be repeated at any time "
        "(`abtest report --sequential`) needs about as many users in half of the tests, and half as many "
        "again in one of five, if the change is just as large as planned; fewer if it is larger.",
        *question.sources,
    ]
    return Section("Method", tuple(text))


def _warnings(question: Question, needed: Need | None, time: float | None) -> tuple[str, ...]:
    found, design = [], question.design
    if needed and design.kind is Kind.PROPORTION:
        rarer = min(design.baseline, 1 - design.baseline) * min(needed.champion, needed.challenger)
        if rarer < 10:
            found.append(
                f"Only {rarer:.0f} events are expected in the smaller arm: there the formulas are rough."
            )
    if time is not None and 365 < time < inf:
        found.append("That is more than a year: take a larger change, a larger share, or another metric.")
    return tuple(found)


def _numbers(
    question: Question,
    needed: Need | None,
    time: float | None,
    reachable: tuple[tuple[float, float, float | None], ...],
) -> dict[str, Any]:
    design = question.design
    numbers: dict[str, Any] = {
        "kind": design.kind.value,
        "baseline": design.baseline,
        "effect": question.effect,
        "alpha": design.alpha,
        "power": design.power,
        "share": design.share,
        "deviation": design.deviation,
        "dispersion": design.dispersion,
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
        numbers["days"] = time if time is None or isfinite(time) else None
        numbers["never"] = time is not None and not isfinite(time)
    numbers["smallest"] = [
        {"days": days, "users": round(users), "change": smallest} for days, users, smallest in reachable
    ]
    return numbers


def _from_to(design: Design, side: float, unit: Unit) -> str:
    return f"{unit.level(design.baseline)} to {unit.level(design.baseline + side)}"


def _whole(users: float) -> str:
    return f"{ceil(users - 1e-9):,}"
