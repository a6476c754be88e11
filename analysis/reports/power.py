"""The report before a test: how many users it needs, how long that takes, and what fewer would find."""

from datetime import timedelta
from math import ceil, inf, isfinite
from typing import Any

from analysis.measures.metric import Kind
from analysis.reports.document import Report
from analysis.reports.measure_words import Unit
from analysis.reports.power_parts import findable, method, sizes, up_or_down
from analysis.reports.power_question import Question, Reachable, days_until, reachable
from analysis.statistics import skewness
from analysis.statistics.power import Need, figures, for_skewness, need, sides, size


def power_report(question: Question) -> Report:
    """Make the report.

    Raises:
        ValueError: the measure can neither rise nor drop by the effect.
    """
    design = question.design
    unit = Unit(design.kind, question.effect or 0.1 * design.baseline)
    needed = need(design, question.effect) if question.effect else None
    time, reach = days_until(question, needed), reachable(question)
    evidence = []
    if question.effect and needed:
        evidence.append(sizes(question, question.effect, needed, unit))
    if reach:
        evidence.append(findable(question, reach, unit))
    return Report(
        title="How many users does the test need?",
        answer=_answer(question, needed, time, reach, unit),
        tone="plain",
        evidence=tuple(evidence),
        method=(method(question),),
        numbers=_numbers(question, needed, time, reach),
        warnings=_warnings(question, needed, time),
    )


def _answer(
    question: Question,
    needed: Need | None,
    time: float | None,
    reach: Reachable,
    unit: Unit,
) -> str:
    design = question.design
    if needed is None or question.effect is None:
        days, users, smallest = next((each for each in reach if each[0] == question.days), reach[0])
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
        f"{arms}: that finds a change of {unit.change(question.effect, sign=False)}, "
        f"{up_or_down(design, question.effect)} from "
        f"{unit.level(design.baseline)}, in {100 * design.power:.0f} of 100 tests"
        f"{' and more' if for_skewness(design) > size(design, needed.side) else ''}."
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
    reach: Reachable,
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
            fits = skewness.allowed(needed.champion, needed.challenger, design.alpha)
            numbers["skewness_allowed"] = fits if isfinite(fits) else None
        numbers["days"] = time if time is None or isfinite(time) else None
        numbers["never"] = time is not None and not isfinite(time)
    numbers["smallest"] = [
        {"days": days, "users": round(users), "change": smallest} for days, users, smallest in reach
    ]
    return numbers
