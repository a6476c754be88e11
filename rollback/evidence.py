"""What a verdict rests on, as JSON, and the same verdict from that JSON alone.

Whoever doubts a rollback can judge it again, without Prometheus and long after its data are gone: `rejudge`
is given the evidence and runs the code of the job. Verdicts without a measurement carry only their sentence.
"""

import math
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import numpy as np

from common.sequential import Counts, Values
from rollback.edges import Edges
from rollback.guardrails import Guardrail, LateStart, Threshold, read_guardrail
from rollback.kinds.sequential import Form
from rollback.measurement import Measurement, Reading
from rollback.tally import Tally
from rollback.verdict import Status, Verdict, judge
from rollback.weigh import evidence_needed, path, weigh
from rollback.window import Grid, Window

ARMS = ("champion_total", "champion_bad", "challenger_total", "challenger_bad")


def of_measurement(measured: Measurement) -> dict[str, Any]:
    """The evidence of a threshold guardrail."""
    return {
        "kind": "threshold",
        "guardrail": _fields(measured.guardrail),
        "value_query": measured.value.query,
        "sample_query": measured.sample.query,
        "window_seconds": measured.window.span.total_seconds(),
        "looks": [look.isoformat() for look in measured.window.looks],
        "values": [_written(point) for point in measured.value.points],
        "samples": [_written(point) for point in measured.sample.points],
        "fault": measured.sample.fault or measured.value.fault,
    }


def of_tally(tally: Tally) -> dict[str, Any]:
    """The evidence of a sequential guardrail."""
    log_es = path(tally)
    needed = evidence_needed(tally)
    beyond = np.flatnonzero(log_es >= needed)
    late = tally.late_start
    return {
        "kind": "sequential",
        "guardrail": _fields(tally.guardrail),
        "query": tally.query,
        "began": tally.grid.start.isoformat(),
        "until": tally.grid.now.isoformat(),
        "step_seconds": tally.grid.step.total_seconds(),
        "last_step_seconds": tally.grid.last.total_seconds(),
        "edges": tally.edges
        and {"champion": float(tally.edges.champion), "challenger": float(tally.edges.challenger)},
        "counts": {arm: _whole(getattr(tally.counts, arm)) for arm in ARMS},
        "missing": tally.missing,
        "alpha": tally.alpha,
        "late_start": late and late.model_dump(mode="json"),
        "log_e": float(log_es[-1]),
        "log_e_highest": float(log_es.max()),
        "limit": needed,
        "breached_at": tally.grid.end(int(beyond[0])).isoformat() if len(beyond) else None,
    }


def of_nothing(guardrail: Guardrail, verdict: Verdict) -> dict[str, Any]:
    """The evidence of a verdict that rests on no numbers."""
    return {
        "kind": "none",
        "guardrail": _fields(guardrail),
        "status": verdict.status.value,
        "sentence": verdict.sentence,
    }


def rejudge(evidence: dict[str, Any]) -> tuple[Status, str, float | None]:
    """Judge evidence again: verdict, sentence, and log e (None but for sequential guardrails).

    Raises:
        KeyError, TypeError, ValueError: it is no evidence.
    """
    if evidence["kind"] == "none":
        return Status(evidence["status"]), str(evidence["sentence"]), None
    guardrail = read_guardrail(evidence["guardrail"])
    if isinstance(guardrail, Threshold):
        verdict = judge(_measurement(guardrail, evidence))
    else:
        verdict = weigh(_tally(guardrail, evidence))
    return verdict.status, verdict.sentence, verdict.log_e


def _measurement(guardrail: Threshold, evidence: dict[str, Any]) -> Measurement:
    looks = tuple(datetime.fromisoformat(look) for look in evidence["looks"])
    return Measurement(
        guardrail,
        Window(timedelta(seconds=evidence["window_seconds"]), looks),
        value=Reading(evidence["value_query"], _read(evidence["values"]), evidence["fault"]),
        sample=Reading(evidence["sample_query"], _read(evidence["samples"])),
    )


def _tally(guardrail: Form, evidence: dict[str, Any]) -> Tally:
    counts = [np.array(evidence["counts"][arm], dtype=np.float64) for arm in ARMS]
    edges, late = evidence["edges"], evidence["late_start"]
    return Tally(
        guardrail=guardrail,
        alpha=evidence["alpha"],
        late_start=late and LateStart.model_validate(late),
        query=evidence["query"],
        grid=Grid(
            start=datetime.fromisoformat(evidence["began"]),
            step=timedelta(seconds=evidence["step_seconds"]),
            whole=len(counts[0]) - 1,
            now=datetime.fromisoformat(evidence["until"]),
        ),
        edges=edges and Edges(str(edges["champion"]), str(edges["challenger"])),
        counts=Counts(*counts),
        missing=evidence["missing"],
    )


def _fields(guardrail: Guardrail) -> dict[str, Any]:
    """As they stand in the file."""
    return guardrail.model_dump(mode="json", by_alias=True)


def _written(point: float | None) -> float | str | None:
    """A number that JSON can hold: NaN and the infinities as text."""
    return point if point is None or math.isfinite(point) else str(point)


def _read(points: Sequence[float | str | None]) -> tuple[float | None, ...]:
    return tuple(None if point is None else float(point) for point in points)


def _whole(values: Values) -> list[float | int]:
    """Counts, which are whole numbers but for counters that count fractions."""
    return [int(value) if value.is_integer() else value for value in values.tolist()]
