"""A pass told to others: one log line, one JSON document, one table. All three have the same fields."""

import math
from datetime import UTC
from typing import Any

from rich.table import Table
from rich.text import Text

from common.durations import format_duration
from common.figures import in_unit
from common.terminal import Console
from flags.canary import CanaryState
from rollback.act import Canary
from rollback.outcome import Pass, Rollback
from rollback.stop import Stop
from rollback.verdict import Status, Verdict

_STYLES = {
    Status.OK: "green",
    Status.BREACH: "bold red",
    Status.NO_DATA: "yellow",
    Status.CANNOT_MEASURE: "bold yellow",
}


def number(value: float | None) -> float | str | None:
    """A float that JSON can hold: NaN and the infinities, of which it knows nothing, as text."""
    return value if value is None or math.isfinite(value) else str(value)


def verdict_fields(verdict: Verdict, *, brief: bool = False) -> dict[str, Any]:
    """A verdict as JSON; `brief` for the line of each pass, without what guardrails.yaml says."""
    fields: dict[str, Any] = {
        "guardrail": verdict.guardrail,
        "verdict": verdict.status.value,
        "value": number(verdict.value),
        "limit": verdict.limit,
        "sample": number(verdict.sample),
        "log_e": verdict.log_e,
        "log_e_needed": verdict.log_e_needed,
        "sentence": verdict.sentence,
    }
    if brief:
        return fields
    return fields | {
        "smallest_sample": verdict.smallest_sample,
        "window": format_duration(verdict.window) if verdict.window else None,
        "query": verdict.query,
        "action": verdict.action.value,
        "breached_at": verdict.breached_at.isoformat() if verdict.breached_at else None,
    }


def flag_fields(canary: Canary, state: CanaryState | None) -> dict[str, Any]:
    """The flag as it was read: all None but its name where it could not be."""
    changed_at = state.changed_at if state else None
    return {
        "flag": canary.flag,
        "environment": canary.environment,
        "exposed": state.exposed if state else None,
        "share": state.percent if state else None,
        "changed_by": state.changed_by if state else None,
        "changed_at": changed_at.isoformat() if changed_at else None,
    }


def rollback_fields(
    rollback: Rollback, verdict: Verdict, canary: Canary, state: CanaryState | None
) -> dict[str, Any]:
    """A rollback as a line of the log: what was breached, who made the stage, what became of the order."""
    return {
        **verdict_fields(verdict),
        **flag_fields(canary, state),
        "verified": rollback.verified,
        "fault": rollback.fault,
        "seconds": round(rollback.seconds, 3),
    }


def pass_fields(done: Pass, canary: Canary, *, brief: bool = False) -> dict[str, Any]:
    """A pass as JSON."""
    rollback = done.rollback
    return {
        "outcome": done.summary,
        "exit_code": int(done.exit_code),
        "dry_run": done.dry_run,
        **flag_fields(canary, done.state),
        "flag_fault": done.flag_fault,
        "verdicts": [verdict_fields(verdict, brief=brief) for verdict in done.verdicts],
        "rollback": rollback
        and {
            "guardrail": rollback.guardrail,
            "verified": rollback.verified,
            "fault": rollback.fault,
            "seconds": round(rollback.seconds, 3),
        },
        "stop": done.stop and stop_fields(done.stop),
        "seconds": round(done.seconds, 3),
    }


def stop_fields(stop: Stop) -> dict[str, Any]:
    """Whether the challenger was seen to stop, as JSON."""
    return {
        "state": stop.state.value,
        "sentence": stop.sentence,
        "off_at": stop.off.at.isoformat(),
        "last_answer": stop.last_answer.isoformat() if stop.last_answer else None,
        "stopped_at": stop.stopped_at.isoformat() if stop.stopped_at else None,
    }


def _numbers(verdict: Verdict) -> list[str]:
    """Value, limit and test score, in their units."""
    both = (verdict.value, verdict.limit)
    measured = ["" if each is None else in_unit(each, verdict.unit) for each in both]
    if verdict.log_e is None or verdict.log_e_needed is None:
        return [*measured, ""]
    return [*measured, f"{verdict.log_e:.1f} of {verdict.log_e_needed:.1f}"]


def show(done: Pass, canary: Canary, console: Console) -> None:
    """Print a pass for a person."""
    console.print(Text(f"{canary.flag} in {canary.environment}: {done.summary}", "bold"))
    if done.flag_fault:
        console.print(Text(done.flag_fault, "bold yellow"))
    if done.state and done.state.exposed and done.state.changed_at:
        share = "?" if done.state.percent is None else f"{done.state.percent}%"
        since = f"{done.state.changed_at.astimezone(UTC):%d %B %H:%M:%S} UTC"
        console.print(Text(f"{share} of the users since {since}, by {done.state.changed_by}"))
    if done.verdicts:
        table = Table("guardrail", "value", "limit", "evidence", "verdict", "why")
        for verdict in done.verdicts:
            table.add_row(
                Text(verdict.guardrail),
                *(Text(cell, justify="right") for cell in _numbers(verdict)),
                Text(verdict.status.value, _STYLES[verdict.status]),
                Text(verdict.sentence),
            )
        console.print(table)
    if done.rollback and done.rollback.fault:
        console.print(Text(done.rollback.fault, "bold red"))
    if done.stop and (done.rollback or done.stop.failed):
        style = "bold red" if done.stop.failed else "green"
        console.print(Text(f"after the flag went off: {done.stop.state.value}; {done.stop.sentence}", style))
