"""The charts, from what Prometheus remembers and from Unleash's event log. Pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

import numpy as np
from numpy.typing import NDArray

from board.document import Chart, Charts, Line
from board.facts import Facts
from board.history import History, Values, plain
from board.series import missing
from common.names import Model, Recorded
from common.rate import wilson
from flags.canary.history import Change

MOST_OUTCOMES: Final = 4  # with a chart; the table has all


def charts_of(facts: Facts) -> Charts | None:
    """All of them; None before Prometheus was read once."""
    history = facts.history.value
    if history is None:
        return None
    found = (
        _traffic(facts, history),
        *_outcomes(facts, history),
        *_models(history, missing(facts.signals)),
        *((_agreement(history),) if facts.plan.shadow else ()),
        *_guardrails(facts, history),
    )
    return Charts(history.span.value, facts.history.at, history.times, found)


def _traffic(facts: Facts, history: History) -> Chart:
    """The challenger's share, in per cent: as the flag wants it, and of the answers of a minute."""
    changes = facts.seen.changes if facts.seen else ()
    rates = [history.lines.get((Recorded.REQUEST_RATE, model)) for model in Model]
    champion, challenger = (
        np.zeros(len(history.times)) if one is None else np.nan_to_num(one, nan=0.0) for one in rates
    )
    total = champion + challenger
    with np.errstate(invalid="ignore", divide="ignore"):
        observed = np.where(total > 0, 100 * challenger / total, np.nan)
    return Chart(
        "traffic",
        (Line("wanted", wanted(changes, history.times)), Line("observed", plain(observed))),
    )


def wanted(changes: Sequence[Change], times: Iterable[int]) -> tuple[float | None, ...]:
    """Per cent of the users that the flag gave the challenger at each of these times; None before all."""
    moves = [(one.at.timestamp(), one.after.reach) for one in changes if one.tag is None]
    found: list[float | None] = []
    place = -1
    for time in times:
        while place + 1 < len(moves) and moves[place + 1][0] <= time:
            place += 1
        found.append(float(moves[place][1]) if place >= 0 else None)
    return tuple(found)


def _outcomes(facts: Facts, history: History) -> Iterator[Chart]:
    """What users did with the answers of each model: the commonest outcomes, no more than fit the page.

    Each point counts from the beginning of its stage and version. Over a change of the share the comparison
    could turn round: the models would have had their users at different times.
    """
    counts, begins = history.counts, _begins(facts, history)
    still = np.zeros(len(history.times) - 1)
    names = sorted({outcome for outcome, _ in (*counts.outcomes, *counts.outcomes_before)})
    totals = {
        name: [
            _since_begin(
                counts.outcomes.get((name, model), still),
                counts.outcomes_before.get((name, model), 0.0),
                begins,
            )
            for model in Model
        ]
        for name in names
    }
    runs = [
        _since_begin(counts.requests.get(model, still), counts.requests_before.get(model, 0.0), begins)
        for model in Model
    ]
    common = sorted(names, key=lambda name: (-sum(float(one.max()) for one in totals[name]), name))
    since = counts.since if counts.since and len(begins) == 1 else _moment(history.times[begins[-1]])
    for name in sorted(common[:MOST_OUTCOMES]):  # by name, so that none changes its place
        told = np.sum(totals[name], axis=0) > 0
        lines = tuple(
            _share(model, hits, asked, told)
            for model, hits, asked in zip(Model, totals[name], runs, strict=True)
        )
        yield Chart(f"outcome/{name}", lines, since=since)


def _begins(facts: Facts, history: History) -> list[int]:
    """The places of the moments from which on one stage and version is counted; the first is the edge."""
    changes = facts.seen.changes if facts.seen else ()
    moves = {one.at.timestamp() for one in changes if one.tag is None}
    if facts.fresh:
        moves.add(facts.fresh.since.timestamp())
    first, last = history.times[0], history.times[-1]
    places = {int(np.searchsorted(history.times, move)) for move in moves if first < move <= last}
    return sorted({0, *places, *history.counts.swaps})


def _since_begin(steps: Values, before: float, begins: Sequence[int]) -> Values:
    """Counts at each moment since the begin before it. The step in which a stage changes belongs to none."""
    whole = before + np.concatenate(([0.0], np.cumsum(steps)))
    found = whole.copy()
    for place in begins[1:]:
        found[place:] = whole[place:] - whole[place]
    return found


def _share(model: Model, hits: Values, runs: Values, told: NDArray[np.bool_]) -> Line:
    """With its interval; 0 where a model has requests, and no such outcome while the other has."""
    some = told & (runs > 0)
    asked = np.where(some, runs, 1.0)
    known = np.clip(np.where(some, hits, 0.0) / asked, 0.0, 1.0)  # feedback may name a request of before
    low, high = (np.clip(side, 0.0, 1.0) for side in wilson(known, asked))
    return Line(model.value, *(plain(np.where(some, each, np.nan)) for each in (known, low, high)))


def _moment(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _models(history: History, lacks: Mapping[str, str]) -> Iterator[Chart]:
    for key, name in (("p99", Recorded.LATENCY_P99), ("errors", Recorded.ERROR_RATE)):
        if name in lacks:
            yield Chart(key, (), missing=lacks[name])
        else:
            yield Chart(key, tuple(_line(history, name, model) for model in Model))


def _agreement(history: History) -> Chart:
    return Chart("agreement", (_line(history, Recorded.AGREEMENT_RATE, "", title="agreement"),))


def _guardrails(facts: Facts, history: History) -> Iterator[Chart]:
    for rule in facts.policy.guardrails:
        title, name, limit = rule.chart
        yield Chart(
            f"guardrail/{rule.name}",
            (_line(history, name, rule.name, title=title),),
            _last(history.lines.get((limit, rule.name))),
        )


def _line(history: History, name: str, of: str, *, title: str = "") -> Line:
    values = history.lines.get((name, of))
    return Line(title or of, plain(values) if values is not None else (None,) * len(history.times))


def _last(values: Values | None) -> float | None:
    known = [value for value in plain(values) if value is not None] if values is not None else []
    return known[-1] if known else None
