"""Sections of the shadow report, from the limits and the agreement to single requests."""

from collections.abc import Iterator
from math import nan

from analysis.log.columns import ROLES
from analysis.metric import Kind
from analysis.render.document import Block, Section, Table
from analysis.render.pictures import Interval, Line, histograms, intervals, over_days
from analysis.render.words import Unit, chance, counted, signed
from analysis.shadow.aggregates import MOST_DIFFERENT
from analysis.shadow.figures import ENOUGH, LEVEL, ClassShare, ShadowFigures, farthest, thresholds
from analysis.statistics.requests import Rate, merged
from common.figures import number, percent, seconds

BARS = 40  # of a histogram that is drawn
SHOWN = 15  # segments or classes, of which all are in the JSON
SAME = 1.1  # times as often that are told as none


def evidence(figures: ShadowFigures) -> Iterator[Section]:
    """What was found; a section may be empty."""
    yield _limits(figures)
    if not figures.enough:
        yield _unsaid(figures)
        yield _errors(figures)
    else:
        yield _agreement(figures)
        yield _disagreements(figures)
        yield _scores(figures)
        yield _errors(figures)
        yield _latency(figures)
        yield _days(figures)
    yield _single_requests(figures)


def _limits(figures: ShadowFigures) -> Section:
    """What was asked by --fail-on."""
    rows = tuple(
        (
            each.limit.name,
            each.limit.told(each.figure),
            each.limit.words,
            "breached" if each.breached else "holds",
        )
        for each in figures.checked
    )
    if not rows:
        return Section("The limits")
    broken = frozenset(place for place, each in enumerate(figures.checked) if each.breached)
    return Section("The limits", (), (Table(("figure", "found", "asked for", ""), rows, marked=broken),))


def _unsaid(figures: ShadowFigures) -> Section:
    reading = figures.reading
    seen = (
        f"So far they agree on {counted(reading.agreements, 'request')} of {reading.answered:,}: a true"
        f" share anywhere from {_interval(figures.agreement)} fits that."
        if reading.answered
        else "Not one request was answered by both models."
    )
    rare = 3 / max(reading.records, 1)  # the rule of three
    return Section(
        "What cannot be said yet",
        (
            seen,
            f"Errors that hit fewer than about {percent(min(rare, 1.0))} of requests may not have shown at"
            " all, the slowest hundredth is a handful of requests, and segments hold too few to compare.",
            f"{counted(ENOUGH - reading.answered, 'more request')} are needed. More users in the flag"
            " `shadow` bring them sooner.",
        ),
    )


def _agreement(figures: ShadowFigures) -> Section:
    agreement, confusion = figures.agreement, figures.reading.confusion
    text = [f"They agree on {percent(agreement.value)} of requests, 95% interval {_interval(agreement)}."]
    if figures.design > 1.1:
        text.append(
            f"Requests of one user resemble each other, so the interval is that of"
            f" {figures.reading.answered / figures.design:,.0f} requests of as many users."
        )
    blocks: list[Block] = []
    if confusion:
        total, classes = sum(confusion.values()), sorted({name for pair in confusion for name in pair})
        if moved := sorted(((n, pair) for pair, n in confusion.items() if pair[0] != pair[1]), reverse=True):
            n, (ours, theirs) = moved[0]
            text.append(
                f"The most common disagreement: the champion says {ours}, the challenger {theirs}"
                f" ({counted(n, 'request')}, {percent(n / total)})."
            )
        counts = [[confusion.get((ours, theirs), 0) for theirs in classes] for ours in classes]
        rows = tuple(
            (f"champion: {ours}", *(f"{n:,} ({percent(n / total)})" for n in row))
            for ours, row in zip(classes, counts, strict=True)
        )
        columns = ("", *(f"challenger: {name}" for name in classes))
        blocks.append(Table(columns, rows, "Requests by what each model said"))
    if figures.classes:
        text.append(_most_changed(figures.classes[0]))
        blocks.append(_by_class(figures))
    return Section("Do they agree?", tuple(text), tuple(blocks))


def _most_changed(most: ClassShare) -> str:
    if most.times < SAME:
        return "Both models choose each class about as often as the other does."
    return (
        f"The class whose share changes most is {most.name}: the champion says it to {percent(most.champion)}"
        f" of requests, the challenger to {percent(most.challenger)}."
    )


def _by_class(figures: ShadowFigures) -> Table:
    rows = tuple(
        (
            each.name,
            percent(each.champion),
            percent(each.challenger),
            f"{number(each.ratio)} times",
            percent(each.both),
        )
        for each in figures.classes[:SHOWN]
    )
    more = len(figures.classes) - len(rows)
    caption = (
        "How often each class is chosen; the last column: of requests to which either model says it, both do"
        f"{f'; {more} more classes are in the JSON' if more else ''}"
    )
    return Table(("class", *ROLES, "challenger / champion", "both"), rows, caption)


def _disagreements(figures: ShadowFigures) -> Section:
    every, title = figures.disagreements, "Where do they disagree?"
    shown, more = every[:SHOWN], len(every[SHOWN:])
    if not shown:
        return Section(title, ("No property of the context tells segments apart.",))
    worse = [each.segment.name for each in every if each.worse]
    text = (
        f"They disagree more than elsewhere where {', '.join(worse[:5])}: more than chance makes of"
        f" {len(every)} segments."
        if worse
        else "In no segment do they disagree more than elsewhere by more than chance."
    )
    rows = tuple(
        (
            each.segment.name,
            f"{each.segment.requests:,}",
            percent(each.rate.value),
            _interval(each.rate),
            percent(each.elsewhere),
            signed(each.segment.difference),
            chance(each.p),
        )
        for each in shown
    )
    columns = ("segment", "requests", "disagree", "95% interval", "elsewhere", "shift", "p (Holm)")
    marked = frozenset(place for place, each in enumerate(shown) if each.worse)
    everywhere = figures.agreement.others.value
    drawn = []
    for each in shown:
        low, high = each.rate.interval
        drawn.append(
            Interval(each.segment.name, low, each.rate.value, high, "bad" if each.worse else "plain")
        )
    picture = intervals(
        drawn,
        xlabel="requests on which they disagree (dashed: of all)",
        caption="Disagreement by segment, 95% intervals",
        alt=f"{shown[0].segment.name} has the most, {percent(shown[0].rate.value)}; "
        f"of all requests it is {percent(everywhere)}",
        line=everywhere,
        unit="percent",
    )
    caption = f"The largest shares first{f'; {more} more are in the JSON' if more else ''}"
    return Section(title, (text,), (picture, Table(columns, rows, caption, marked)))


def _interval(rate: Rate) -> str:
    return " to ".join(percent(end) for end in rate.interval)


def _scores(figures: ShadowFigures) -> Section:
    reading, words = figures.reading, figures.reading.score.words
    champion, challenger = (number(reading.means[role]) for role in ROLES)
    low, high = reading.difference.interval
    text = [
        f"Mean {words}: {champion} by the champion, {challenger} by the challenger: a difference of"
        f" {signed(figures.difference)}, 95% interval {signed(low)} to {signed(high)}"
        + ("." if low > 0 or high < 0 else ", which may be none.")
    ]
    if reading.score.kind == "value":
        relative = figures.difference / reading.means["champion"] if reading.means["champion"] else nan
        text.append(
            f"That is {percent(abs(relative))} {'more' if figures.difference > 0 else 'less'}; one answer"
            f" differs by {number(reading.absolute)} in the mean, and the correlation of both is"
            f" {number(reading.correlation)}."
        )
    change = "small" if figures.psi < 0.1 else "moderate" if figures.psi < 0.25 else "large"
    text.append(
        f"The distribution as a whole: a {change} shift (population stability index {number(figures.psi, 2)};"
        f" by convention 0.1 is small and 0.25 large). Kolmogorov-Smirnov distance {number(reading.ks)}"
        f" (p {chance(figures.ks_p)})."
    )
    fine = len(reading.champion)
    ends = sorted({round(fine * (bar + 1) / BARS) for bar in range(BARS)} - {0})
    blocks: list[Block] = [
        histograms(
            [reading.edges[place] for place in (0, *ends)],
            {
                "champion": merged(reading.champion, ends).tolist(),
                "challenger": merged(reading.challenger, ends).tolist(),
            },
            xlabel=words,
            caption=f"What both models answered: {words}",
            alt=f"both distributions; means {champion} (champion) and {challenger} (challenger), greatest"
            f" distance {percent(reading.ks)}",
        )
    ]
    if reading.score.kind != "value":
        blocks.append(_at_thresholds(figures))
        text.append(
            "The distance is the most by which the share of requests above any one threshold differs, at"
            f" {farthest(reading).at:.3g}."
        )
    return Section("Are the scores distributed alike?", tuple(text), tuple(blocks))


def _at_thresholds(figures: ShadowFigures) -> Table:
    rows = tuple(
        (
            f"{each.at:.2f}",
            percent(each.champion),
            percent(each.challenger),
            Unit(Kind.PROPORTION, 0.1).change(each.challenger - each.champion),
        )
        for each in thresholds(figures.reading)
        if min(each.champion, each.challenger) < 1
    )
    caption = f"Share of requests with a {figures.reading.score.words} of at least the threshold"
    return Table(("threshold", *ROLES, "difference"), rows, caption)


def _errors(figures: ShadowFigures) -> Section:
    failed, reading = figures.errors, figures.reading
    title = "What is its error rate?"
    if not failed.hits:
        up_to = percent(failed.interval[1])
        return Section(
            title,
            (f"0%: all {reading.records:,} copies were answered; a true rate of up to {up_to} fits that.",),
        )
    rows = tuple(
        (kind, f"{count:,}", percent(count / reading.records)) for kind, count in reading.errors.items()
    )
    text = (
        f"{percent(failed.value)}, 95% interval {_interval(failed)}: no usable answer to"
        f" {counted(failed.hits, 'request')} of {reading.records:,}. In a canary such users get the"
        " champion's answer."
    )
    return Section(title, (text,), (Table(("kind", "requests", "share"), rows),))


def _latency(figures: ShadowFigures) -> Section:
    rows = tuple(
        (
            name,
            *(seconds(figures.reading.latency[role][place]) for role in ROLES),
            f"{number(figures.latency_ratios[place])} times",
        )
        for place, name in enumerate(("p50", "p95", "p99"))
    )
    text = (
        "The challenger answers copies in batches, and its time is its share of the batch: a bound from"
        " below. The canary measures what users wait."
    )
    columns = ("latency", *ROLES, "challenger / champion")
    return Section("Is it slower?", (text,), (Table(columns, rows),))


def _days(figures: ShadowFigures) -> Section:
    days, title = figures.reading.days, "Does it change over time?"
    if len(days) < 2:
        return Section(title)
    rates = [Rate(day.agreements, day.answered, figures.design) for day in days]
    first, last = rates[0].value, rates[-1].value
    trend = (
        f"Agreement {'falls' if last < first else 'rises'} over the days, more than chance makes"
        if figures.drift_p < LEVEL
        else "Agreement has no trend over the days that chance would not make"
    )
    dates = [day.day for day in days]
    lows, highs = zip(*(rate.interval for rate in rates), strict=True)
    agreement = over_days(
        dates,
        [Line("agreement", [rate.value for rate in rates], low=lows, high=highs)],
        ylabel="agreement",
        caption="Agreement by day (UTC), 95% intervals",
        alt=f"{percent(first)} on {dates[0]}, {percent(last)} on {dates[-1]}",
        unit="percent",
    )
    means = over_days(
        dates,
        [
            Line("champion", [day.champion for day in days], "champion"),
            Line("challenger", [day.challenger for day in days], "challenger"),
        ],
        ylabel="mean",
        caption=f"Mean {figures.reading.score.words} by day",
        alt=f"champion {number(days[0].champion)} to {number(days[-1].champion)}, challenger"
        f" {number(days[0].challenger)} to {number(days[-1].challenger)}",
    )
    return Section(title, (f"{trend} (p {chance(figures.drift_p)}).",), (agreement, means))


def _single_requests(figures: ShadowFigures) -> Section:
    rows = tuple(
        (
            f"{row['time']:%Y-%m-%d %H:%M}",
            *(_said(row, role) for role in ROLES),
            number(row["far"]),
            ", ".join(f"{name}={value}" for name, value in row["context"].items()),
            row["request_id"],
        )
        for row in figures.reading.most_different
    )
    title = "Which requests differ most?"
    if not rows:
        return Section(title)
    columns = ("time (UTC)", *ROLES, "difference", "context", "request id")
    about = f"The {min(MOST_DIFFERENT, len(rows))} requests whose answers lie farthest apart"
    return Section(title, (), (Table(columns, rows, about),))


def _said(row: dict[str, object], role: str) -> str:
    value, name = float(str(row[role])), row[f"{role}_class_name"]
    return number(value) if name is None else f"{name} ({number(value)})"
