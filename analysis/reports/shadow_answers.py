"""Sections of the shadow report about what both models answered: the same, how spread, over time."""

import numpy as np

from analysis.measures.metric import Kind
from analysis.reports.document import Block, Picture, Section, Table
from analysis.reports.measure_words import Unit
from analysis.reports.shadow_classes import ClassShare, farthest, thresholds
from analysis.reports.shadow_figures import LEVEL, ShadowFigures
from analysis.reports.words import chance, counted, number, percent, signed
from analysis.show.pictures import Interval, Line, histograms, intervals, over_days
from analysis.statistics.distributions import merged
from analysis.statistics.rates import Rate

BARS = 40  # of a histogram that is drawn
SHOWN = 15  # segments or classes, of which all are in the JSON
SAME = 1.1  # times as often that are told as none


def agreement(figures: ShadowFigures) -> Section:
    low, high = figures.agreement.interval
    text = [
        f"Both say the same for {percent(figures.agreement.value)} of requests, 95% interval {percent(low)}"
        f" to {percent(high)}."
    ]
    if figures.design > 1.1:
        text.append(
            f"Requests of one user resemble each other, so the interval is that of"
            f" {figures.reading.answered / figures.design:,.0f} requests of as many users."
        )
    confusion = figures.reading.confusion
    classes = sorted({name for pair in confusion for name in pair})
    if not classes:
        return Section("Do they agree?", tuple(text))
    total = sum(confusion.values())
    moved = sorted(((n, pair) for pair, n in confusion.items() if pair[0] != pair[1]), reverse=True)
    if moved:
        n, (ours, theirs) = moved[0]
        text.append(
            f"The most common disagreement: the old model says {ours}, the new one {theirs}"
            f" ({counted(n, 'request')}, {percent(n / total)})."
        )
    rows = tuple(
        (
            f"old: {ours}",
            *(
                f"{confusion.get((ours, theirs), 0):,} ({percent(confusion.get((ours, theirs), 0) / total)})"
                for theirs in classes
            ),
        )
        for ours in classes
    )
    columns = ("", *(f"new: {name}" for name in classes))
    blocks: list[Block] = [Table(columns, rows, "Requests by what each model said")]
    if figures.classes:
        text.append(_most_changed(figures.classes[0]))
        blocks.append(_by_class(figures))
    return Section("Do they agree?", tuple(text), tuple(blocks))


def _most_changed(most: ClassShare) -> str:
    if most.times < SAME:
        return "Both models choose each class about as often as the other does."
    return (
        f"The class whose share changes most is {most.name}: the old model says it to {percent(most.old)} of"
        f" requests, the new one to {percent(most.new)}."
    )


def _by_class(figures: ShadowFigures) -> Table:
    shown = figures.classes[:SHOWN]
    rows = tuple(
        (
            each.name,
            percent(each.old),
            percent(each.new),
            f"{number(each.times if each.more else 1 / each.times)} x",
            percent(each.both),
        )
        for each in shown
    )
    more = len(figures.classes) - len(shown)
    caption = (
        "How often each class is chosen; the last column: of requests to which either model says it, both do"
        f"{f'; {more} more classes are in the JSON' if more else ''}"
    )
    return Table(("class", "old model", "new model", "new / old", "both"), rows, caption)


def segments(figures: ShadowFigures) -> Section:
    shown = figures.segments[:SHOWN]
    if not shown:
        return Section("Where do they disagree?", ("No property of the context tells segments apart.",))
    worse = [each.segment.name for each in figures.segments if each.worse]
    text = (
        f"They disagree more than elsewhere where {', '.join(worse[:5])}: more than chance makes of"
        f" {len(figures.segments)} segments."
        if worse
        else "In no segment do they disagree more than elsewhere by more than chance."
    )
    rows = tuple(
        (
            each.segment.name,
            f"{each.segment.requests:,}",
            percent(each.disagreement.value),
            _between(each.disagreement),
            percent(each.rest),
            signed(each.segment.difference),
            chance(each.p),
        )
        for each in shown
    )
    columns = ("segment", "requests", "disagree", "95% interval", "elsewhere", "shift", "p (Holm)")
    marked = frozenset(place for place, each in enumerate(shown) if each.worse)
    drawing = intervals(
        [
            Interval(
                each.segment.name,
                each.disagreement.interval[0],
                each.disagreement.value,
                each.disagreement.interval[1],
                "bad" if each.worse else "plain",
            )
            for each in shown
        ],
        xlabel="requests for which they disagree (dashed: of all)",
        caption="Disagreement by segment, 95% intervals",
        alt=f"{shown[0].segment.name} has the most, {percent(shown[0].disagreement.value)}; "
        f"of all requests it is {percent(figures.agreement.others.value)}",
        line=figures.agreement.others.value,
        percent=True,
    )
    more = len(figures.segments) - len(shown)
    caption = f"The largest shares first; {more} more are in the JSON" if more else "The largest shares first"
    return Section("Where do they disagree?", (text,), (drawing, Table(columns, rows, caption, marked)))


def _between(rate: Rate) -> str:
    return " to ".join(percent(end) for end in rate.interval)


def distribution(figures: ShadowFigures) -> Section:
    reading, words = figures.reading, figures.reading.scale.words
    low, high = reading.difference.interval
    sure = "more" if figures.difference > 0 else "less"
    text = [
        f"Mean {words}: {number(reading.means['champion'])} by the old model, "
        f"{number(reading.means['challenger'])} by the new one: a difference of"
        f" {signed(figures.difference)}, 95% interval {signed(low)} to {signed(high)}"
        + ("." if low > 0 or high < 0 else ", which may be none.")
    ]
    if reading.scale.kind == "value":
        relative = figures.difference / reading.means["champion"] if reading.means["champion"] else np.nan
        text.append(
            f"That is {percent(abs(relative))} {sure}; one answer differs by {number(reading.absolute)} in"
            f" the mean, and the correlation of both is {number(reading.correlation)}."
        )
    change = "small" if figures.psi < 0.1 else "moderate" if figures.psi < 0.25 else "great"
    text.append(
        f"The distribution as a whole: a {change} shift (population stability index {number(figures.psi, 2)};"
        f" custom has 0.1 small and 0.25 great). Kolmogorov-Smirnov distance {number(reading.ks)}"
        f" (p {chance(figures.ks_p)})."
    )
    blocks: list[Block] = [_drawn(figures)]
    if reading.scale.kind != "value":
        blocks.append(_at_thresholds(figures))
        text.append(
            "The distance is the most by which the share of requests above any one threshold differs, at"
            f" {farthest(reading).at:.3g}."
        )
    return Section("Are the answers spread the same?", tuple(text), tuple(blocks))


def _at_thresholds(figures: ShadowFigures) -> Table:
    rows = tuple(
        (
            f"{each.at:.2f}",
            percent(each.old),
            percent(each.new),
            Unit(Kind.PROPORTION, 0.1).change(each.new - each.old),
        )
        for each in thresholds(figures.reading)
        if min(each.old, each.new) < 1
    )
    return Table(
        ("threshold", "old model", "new model", "difference"),
        rows,
        f"Share of requests with a {figures.reading.scale.words} of at least the threshold",
    )


def _drawn(figures: ShadowFigures) -> Picture:
    reading = figures.reading
    fine = len(reading.champion)
    ends = sorted({round(fine * (bar + 1) / BARS) for bar in range(BARS)} - {0})
    return histograms(
        [reading.edges[place] for place in (0, *ends)],
        {
            "old model": merged(reading.champion, ends).tolist(),
            "new model": merged(reading.challenger, ends).tolist(),
        },
        xlabel=reading.scale.words,
        caption=f"What both models answered: {reading.scale.words}",
        alt=f"both distributions; means {number(reading.means['champion'])} (old) and"
        f" {number(reading.means['challenger'])} (new), greatest distance {percent(reading.ks)}",
    )


def days(figures: ShadowFigures) -> Section:
    days = figures.reading.days
    if len(days) < 2:
        return Section("Does it change over time?")
    drifts = figures.drift_p < LEVEL
    rates = [Rate(day.agreements, day.answered, figures.design) for day in days]
    first, last = rates[0].value, rates[-1].value
    text = (
        f"Agreement {'falls' if last < first else 'rises'} over the days, more than chance makes"
        if drifts
        else "Agreement has no trend over the days that chance would not make"
    )
    both = [
        over_days(
            [day.day for day in days],
            [
                Line(
                    "agreement",
                    [rate.value for rate in rates],
                    low=[rate.interval[0] for rate in rates],
                    high=[rate.interval[1] for rate in rates],
                )
            ],
            ylabel="agreement",
            caption="Agreement by day (UTC), 95% intervals",
            alt=f"{percent(first)} on {days[0].day}, {percent(last)} on {days[-1].day}",
            percent=True,
        ),
        over_days(
            [day.day for day in days],
            [
                Line("old model", [day.champion for day in days], "champion"),
                Line("new model", [day.challenger for day in days], "challenger"),
            ],
            ylabel="mean",
            caption=f"Mean {figures.reading.scale.words} by day",
            alt=f"old model {number(days[0].champion)} to {number(days[-1].champion)}, new model"
            f" {number(days[0].challenger)} to {number(days[-1].challenger)}",
        ),
    ]
    blocks: tuple[Block, ...] = tuple(both)
    return Section("Does it change over time?", (f"{text} (p {chance(figures.drift_p)}).",), blocks)
