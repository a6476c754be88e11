"""The sections of the report before a test."""

from dataclasses import replace
from datetime import timedelta
from math import ceil

from analysis.measures.metric import Kind
from analysis.reports.document import Block, Picture, Section, Table
from analysis.reports.measure_words import Unit
from analysis.reports.power_question import USUAL_DAYS, Question, Reachable
from analysis.reports.words import NONE
from analysis.show import pictures
from analysis.statistics.power import Design, Need, figures, for_skewness, need, sides, size, smallest_effect
from analysis.statistics.skewness import allowed


def sizes(question: Question, effect: float, needed: Need, unit: Unit) -> Section:
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


def findable(question: Question, reachable: Reachable, unit: Unit) -> Section:
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
    for day in range(7, USUAL_DAYS[-1] + 1, 7):
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
        limit=("asked for", question.effect) if question.effect else None,
        percent=percent,
    )


def method(question: Question) -> Section:
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


def up_or_down(design: Design, effect: float) -> str:
    """Which of the two the level allows."""
    possible = sides(design, effect)
    return "up or down" if len(possible) > 1 else "up" if possible[0] > 0 else "down"


def _from_to(design: Design, side: float, unit: Unit) -> str:
    return f"{unit.level(design.baseline)} to {unit.level(design.baseline + side)}"


def _whole(users: float) -> str:
    return f"{ceil(users - 1e-9):,}"
