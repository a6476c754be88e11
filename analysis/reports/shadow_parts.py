"""The sections of the shadow report."""

from collections.abc import Iterator

import numpy as np

from analysis.measures.shadow import MOST_DIFFERENT, ROLES
from analysis.reports.document import Block, Picture, Section, Table
from analysis.reports.limits import Held
from analysis.reports.shadow_figures import ENOUGH, LEVEL, ShadowFigures
from analysis.reports.words import NONE, chance, counted, milliseconds, number, percent, signed
from analysis.show.pictures import Interval, Line, histograms, intervals, over_days
from analysis.statistics.distributions import merged
from analysis.statistics.rates import Rate

BARS = 40  # of a histogram that is drawn
SHOWN = 15  # segments, of which all are in the JSON
_NAMES = {
    "agreement": "they agree too seldom",
    "errors": "it fails too often",
    "psi": "its answers are spread differently",
    "ks": "its answers are spread differently",
    "difference": "its answers lie elsewhere in the mean",
    "requests": "too few requests were compared",
    "p50": "it is slower",
    "p95": "it is slower",
    "p99": "it is slower",
}
_SHARES = {"agreement", "errors"}


def reason(held: Held) -> str:
    """Why a limit keeps the challenger from users, in words."""
    found, asked = (
        NONE if each is None else percent(each) if held.limit.name in _SHARES else f"{each:.3g}"
        for each in (held.figure, held.limit.value)
    )
    side = "at least" if held.limit.sign == "<" else "at most"
    return f"{_NAMES[held.limit.name]} ({held.limit.name} {found}, {side} {asked} is asked for)"


def limits(figures: ShadowFigures) -> tuple[Section, ...]:
    """What was asked by --fail-on."""
    if not figures.held:
        return ()
    rows = tuple(
        (
            each.limit.name,
            "cannot be told" if each.figure is None else f"{each.figure:.4g}",
            ("at least " if each.limit.sign == "<" else "at most ") + f"{each.limit.value:g}",
            "breached" if each.breached else "holds",
        )
        for each in figures.held
    )
    broken = frozenset(place for place, each in enumerate(figures.held) if each.breached)
    return (Section("The limits", (), (Table(("figure", "found", "asked for", ""), rows, marked=broken),)),)


def evidence(figures: ShadowFigures) -> tuple[Section, ...]:
    """What was found."""
    if not figures.enough:
        return (_unsaid(figures), _failures(figures), _unlike(figures))
    every = (
        _agreement(figures),
        _segments(figures),
        _distribution(figures),
        _failures(figures),
        _latency(figures),
        _days(figures),
        _unlike(figures),
    )
    return tuple(section for section in every if section.text or section.blocks)


def _unsaid(figures: ShadowFigures) -> Section:
    reading = figures.reading
    low, high = figures.agreement.interval
    seen = (
        f"So far they agree for {counted(reading.agreements, 'request')} of {reading.answered:,}: a true"
        f" share anywhere from {percent(low)} to {percent(high)} fits that."
        if reading.answered
        else "Not one request was answered by both models."
    )
    rare = 3 / max(reading.records, 1)  # the rule of three
    return Section(
        "What cannot be said yet",
        (
            seen,
            f"Faults that hit fewer than about {percent(min(rare, 1.0))} of requests may not have shown at"
            " all, the slowest hundredth is a handful of requests, and segments hold too few to compare.",
            f"{counted(ENOUGH - reading.answered, 'more request')} are needed. More users in the flag"
            " `shadow` bring them sooner.",
        ),
    )


def _agreement(figures: ShadowFigures) -> Section:
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
    return Section("Do they agree?", tuple(text), (Table(columns, rows, "Requests by what each model said"),))


def _segments(figures: ShadowFigures) -> Section:
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


def _distribution(figures: ShadowFigures) -> Section:
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
    return Section("Are the answers spread the same?", tuple(text), (_drawn(figures),))


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


def _failures(figures: ShadowFigures) -> Section:
    failed, reading = figures.errors, figures.reading
    low, high = failed.interval
    if not failed.hits:
        return Section(
            "Does it fail?",
            (
                f"No. All {reading.records:,} copies were answered; a true share of up to {percent(high)}"
                " fits that.",
            ),
        )
    rows = tuple(
        (kind, f"{count:,}", percent(count / reading.records)) for kind, count in reading.errors.items()
    )
    return Section(
        "Does it fail?",
        (
            f"It gave no usable answer to {counted(failed.hits, 'request')} of {reading.records:,}:"
            f" {percent(failed.value)}, 95% interval {percent(low)} to {percent(high)}. In a canary such"
            " users get the old model's answer.",
        ),
        (Table(("kind", "requests", "share"), rows),),
    )


def _latency(figures: ShadowFigures) -> Section:
    latency = figures.reading.latency
    rows = tuple(
        (name, *(milliseconds(latency[role][place]) for role in ROLES), f"{number(figures.ratios[place])} x")
        for place, name in enumerate(("half within (p50)", "95% within (p95)", "99% within (p99)"))
    )
    return Section(
        "Is it slow?",
        (
            "The new model answers copies in batches, and its time is its share of the batch: a bound from"
            " below. The canary measures what users wait.",
        ),
        (Table(("", "old model", "new model", "new / old"), rows),),
    )


def _days(figures: ShadowFigures) -> Section:
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


def _unlike(figures: ShadowFigures) -> Section:
    rows = tuple(
        (
            f"{row['time']:%Y-%m-%d %H:%M}",
            *(_said(row, role) for role in ROLES),
            number(row["far"]),
            ", ".join(f"{name}={value}" for name, value in row["context"].items()),
            row["request_id"],
        )
        for row in figures.reading.unlike
    )
    if not rows:
        return Section("Which requests differ most?")
    columns = ("time (UTC)", "old model", "new model", "difference", "context", "request id")
    about = f"The {min(MOST_DIFFERENT, len(rows))} requests whose answers lie farthest apart"
    return Section("Which requests differ most?", (), (Table(columns, rows, about),))


def _said(row: dict[str, object], role: str) -> str:
    value, name = float(str(row[role])), row[f"{role}_class_name"]
    return number(value) if name is None else f"{name} ({number(value)})"


def warnings(figures: ShadowFigures) -> tuple[str, ...]:
    """What spoils the answer, or may."""
    return tuple(_warnings(figures))


def _warnings(figures: ShadowFigures) -> Iterator[str]:
    if figures.bad:
        yield f"{figures.bad}."
    for other in figures.reading.others:
        yield (
            f"{counted(other.records, 'record')} of {other} were left out: the report is of the two models"
            " that were compared last."
        )


def method(figures: ShadowFigures) -> tuple[Section, ...]:
    """How it was found."""
    reading = figures.reading
    return (
        Section(
            "What was compared",
            (
                f"{counted(reading.records, 'shadow record')} from {reading.first:%Y-%m-%d %H:%M} to"
                f" {reading.last:%Y-%m-%d %H:%M} UTC: requests that {' '.join(reading.pair.champion)}"
                f" answered and {' '.join(reading.pair.challenger)} saw a copy of."
                " Nobody got the new model's answer.",
                "Agreement says that both are alike, not which of them is right: that takes outcomes, and an"
                " A/B test.",
                {
                    "class": f"A record has the probability of the class that was chosen. It was turned into"
                    f" the {reading.scale.words} for both models.",
                    "chosen": "Probabilities are those of the class that each model chose, which need not be"
                    " the same class.",
                    "value": "Both predict a number; they agree where the numbers differ by no more than the"
                    " new model's own tolerance (model.json).",
                }[reading.scale.kind],
            ),
        ),
        Section(
            "Statistics",
            (
                "Shares have Wilson intervals, means normal ones, all at 95%. Both take requests of one user"
                " as one cluster (variance of a ratio of sums over users). Errors and days are taken as"
                " requests.",
                "The shift is the mean of new minus old. Segments are compared with all other requests by a"
                " z test of two shares; p-values are corrected by Holm, because one false alarm among many"
                " segments would be one too many, and because segments overlap. Segments with fewer than 30"
                f" requests are left out. At {LEVEL:g} they are marked.",
                "The Kolmogorov-Smirnov distance is exact, of all values. Its p-value takes both samples as"
                " independent; they are of the same requests, so the true p-value is smaller. With many"
                " requests any difference is significant: look at the distance, not at p.",
                "The population stability index has ten bins with a tenth of the old model's answers each."
                " The trend over days is Cochran and Armitage's test.",
            ),
        ),
    )
