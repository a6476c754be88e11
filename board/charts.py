"""The charts, from what Prometheus remembers and from Unleash's event log. Pure."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from board.document import Chart, Charts, Line
from board.facts import Facts
from board.history import History, Values, plain
from common.names import JobMetric, Model, Recorded
from common.rate import wilson
from flags.people import Change
from rollback.guardrails import Sequential

MOST_OUTCOMES: Final = 4  # with a chart; the table has all


def charts_of(facts: Facts) -> Charts | None:
    """All of them; None before Prometheus was read once."""
    history = facts.history.value
    if history is None:
        return None
    found = (
        _traffic(facts, history),
        *_outcomes(history),
        *_models(history),
        _agreement(history),
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


def _outcomes(history: History) -> Iterator[Chart]:
    """What users did with the answers of each model: the commonest outcomes, no more than fit the page."""
    assigned = {model: history.lines.get((Recorded.ASSIGNED, model)) for model in Model}
    common = sorted({outcome for outcome, _ in history.outcomes}, key=lambda name: _common(history, name))
    for outcome in sorted(common[:MOST_OUTCOMES]):  # by name, so that none changes its place
        found = [history.outcomes.get((outcome, model)) for model in Model]
        told = np.any([np.isfinite(one) for one in found if one is not None], axis=0)
        lines = tuple(
            _share(model, share, runs, told)
            for (model, runs), share in zip(assigned.items(), found, strict=True)
        )
        yield Chart(f"outcome/{outcome}", lines)


def _common(history: History, outcome: str) -> tuple[float, str]:
    """Sorts before others what happened to more of the requests."""
    shares = [line for (name, _), line in history.outcomes.items() if name == outcome]
    return -max(float(np.max(line, initial=0.0, where=np.isfinite(line))) for line in shares), outcome


def _share(model: Model, share: Values | None, runs: Values | None, told: NDArray[np.bool_]) -> Line:
    """With its interval; 0 where a model has requests, and no such outcome while the other has."""
    if runs is None:
        nothing = (None,) * len(told)
        return Line(model.value, nothing, nothing, nothing)
    some = told & (np.nan_to_num(runs) > 0)
    known = np.zeros(len(told)) if share is None else np.clip(np.nan_to_num(share), 0.0, 1.0)
    low, high = (np.clip(side, 0.0, 1.0) for side in wilson(known, np.where(some, runs, 1.0)))
    return Line(model.value, *(plain(np.where(some, each, np.nan)) for each in (known, low, high)))


def _models(history: History) -> Iterator[Chart]:
    for key, name in (("p99", Recorded.LATENCY_P99), ("errors", Recorded.ERROR_RATE)):
        yield Chart(key, tuple(_line(history, name, model) for model in Model))


def _agreement(history: History) -> Chart:
    return Chart("agreement", (_line(history, Recorded.AGREEMENT_RATE, "", title="agreement"),))


def _guardrails(facts: Facts, history: History) -> Iterator[Chart]:
    for rule in facts.policy.guardrails:
        weighed = isinstance(rule, Sequential)
        name, limit = (
            (JobMetric.LOG_E, JobMetric.LOG_E_LIMIT) if weighed else (JobMetric.VALUE, JobMetric.LIMIT)
        )
        title = "evidence" if weighed else "value"
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
