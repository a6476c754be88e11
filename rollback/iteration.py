"""What one iteration came to: its exit code, its line of the log, its JSON document and its table.

Names of fields and outcomes are formats that others read; they stay.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC
from enum import IntEnum
from functools import cached_property
from typing import Any

from rich.table import Column, Table
from rich.text import Text

from common.arms import ServedModel
from common.durations import format_duration
from common.names import Model
from common.terminal import Console
from flags.canary.state import CanaryState
from rollback.actions.stop import Stop
from rollback.actions.turn_off import Canary, Rollback
from rollback.guardrails.verdict import Action, Status, Verdict

_STYLES = {
    Status.OK: "green",
    Status.BREACH: "bold red",
    Status.NO_DATA: "yellow",
    Status.CANNOT_MEASURE: "bold yellow",
}

NOT_EXPOSED = "not exposed"


class ExitCode(IntEnum):
    """Exit codes of one iteration; 2 is wrong usage or configuration, found before there is an iteration."""

    FINE = 0
    """Nothing is breached, or there is no data, or nobody gets the challenger."""
    BREACHED = 1
    """A guardrail was breached, and the flag is verified to be off (dry run: would have been turned off); or
    the segment to be excluded."""
    MISCONFIGURED = 2
    CANNOT_MEASURE = 3
    """Prometheus or Unleash could not be asked, a guardrail could not be measured, or the flag is broken."""
    CANNOT_ACT = 4
    """A rollback was due, and the flag is not known to be off; or it is, and the challenger goes on."""


_OUTCOMES = {
    ExitCode.FINE: "fine",
    ExitCode.BREACHED: "rolled back",
    ExitCode.CANNOT_MEASURE: "cannot measure",
    ExitCode.CANNOT_ACT: "cannot act",
}


@dataclass(frozen=True)
class Iteration:
    """One iteration of the job."""

    state: CanaryState | None
    """The flag before it; None when Unleash could not be asked."""
    flag_error: str | None
    """Why the flag is not known, or what a person must mend in it; None when all is well."""
    dry_run: bool
    seconds: float
    verdicts: tuple[Verdict, ...] = ()
    """In the order of the file; none when nobody gets the challenger."""
    rollback: Rollback | None = None
    stop: Stop | None = None
    """Whether the challenger was seen to stop; None while somebody is to get it, or nobody looked."""

    @cached_property
    def challenger(self) -> ServedModel | None:
        """The model that was judged, as the service was seen to serve it; None where none was."""
        return next((each for one in self.verdicts if (each := one.models.get(Model.CHALLENGER))), None)

    @cached_property
    def could_measure(self) -> bool:
        """Tell whether the flag and every guardrail could be read, as far as there was anything to judge."""
        blind = any(verdict.status is Status.CANNOT_MEASURE for verdict in self.verdicts)
        return not self.flag_error and not blind

    @cached_property
    def exit_code(self) -> ExitCode:
        """The gravest of what happened."""
        if self.stop is not None and self.stop.failed:
            return ExitCode.CANNOT_ACT
        if self.rollback is not None:
            return ExitCode.BREACHED if self.rollback.verified else ExitCode.CANNOT_ACT
        if any(verdict.calls_for_rollback for verdict in self.verdicts):  # only in a dry run
            return ExitCode.BREACHED
        return ExitCode.FINE if self.could_measure else ExitCode.CANNOT_MEASURE

    @cached_property
    def outcome(self) -> str:
        """It in two or three words."""
        if self.stop is not None and self.stop.failed and (self.rollback is None or self.rollback.verified):
            return "off, and not seen to stop"
        if self.exit_code is ExitCode.FINE and self.state is not None and not self.state.exposed:
            return NOT_EXPOSED
        if self.rollback and self.rollback.excluded:
            return "segment excluded"
        if self.exit_code is ExitCode.BREACHED and self.dry_run:
            calling = [one.action for one in self.verdicts if one.calls_for_rollback]
            return "would exclude a segment" if calling == [Action.EXCLUDE] else "would roll back"
        return _OUTCOMES[self.exit_code]


def iteration_fields(iteration: Iteration, canary: Canary, *, brief: bool = False) -> dict[str, Any]:
    """An iteration as JSON; `brief` for a line of the log, without what guardrails.yaml says."""
    rollback, stop = iteration.rollback, iteration.stop
    return {
        "outcome": iteration.outcome,
        "exit_code": int(iteration.exit_code),
        "dry_run": iteration.dry_run,
        **_flag_fields(canary, iteration.state),
        "flag_fault": iteration.flag_error,
        "verdicts": [verdict_fields(verdict, brief=brief) for verdict in iteration.verdicts],
        "rollback": rollback and {"guardrail": rollback.guardrail, **_order_fields(rollback)},
        "stop": stop
        and {
            "state": stop.state.value,
            "sentence": stop.sentence,
            "off_at": stop.off.at.isoformat(),
            "last_answer": stop.last_answer.isoformat() if stop.last_answer else None,
            "stopped_at": stop.stopped_at.isoformat() if stop.stopped_at else None,
        },
        "seconds": round(iteration.seconds, 3),
    }


def rollback_fields(
    rollback: Rollback, breach: Verdict, canary: Canary, state: CanaryState | None
) -> dict[str, Any]:
    """A rollback as a line of the log: what was breached, who made the stage, what became of the order."""
    return verdict_fields(breach) | _flag_fields(canary, state) | _order_fields(rollback)


def verdict_fields(verdict: Verdict, *, brief: bool = False) -> dict[str, Any]:
    """A verdict as JSON; `brief` without what guardrails.yaml says."""
    fields: dict[str, Any] = {
        "guardrail": verdict.guardrail,
        "segment": verdict.segment,
        "verdict": verdict.status.value,
        "value": _json_number(verdict.value),
        "limit": verdict.limit,
        "sample": _json_number(verdict.sample),
        "unit": verdict.unit,
        "champion": _json_number(verdict.effect.champion) if verdict.effect else None,
        "difference_low": verdict.effect.low if verdict.effect else None,
        "difference_high": verdict.effect.high if verdict.effect else None,
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
        "fewer_is_worse": verdict.fewer,
        "breached_at": verdict.breached_at.isoformat() if verdict.breached_at else None,
    }


def _order_fields(rollback: Rollback) -> dict[str, Any]:
    return {
        "excluded": rollback.excluded,
        "verified": rollback.verified,
        "fault": rollback.error,
        "seconds": round(rollback.seconds, 3),
    }


def _flag_fields(canary: Canary, state: CanaryState | None) -> dict[str, Any]:
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


def _json_number(value: float | None) -> float | str | None:
    """A float that JSON can hold: NaN and the infinities, of which it knows nothing, as text."""
    return value if value is None or math.isfinite(value) else str(value)


def show(iteration: Iteration, canary: Canary, console: Console) -> None:
    """Print an iteration for a person."""
    state, stop = iteration.state, iteration.stop
    console.print(Text(f"{canary.flag} in {canary.environment}: {iteration.outcome}", "bold"))
    if iteration.flag_error:
        console.print(Text(iteration.flag_error, "bold yellow"))
    if state and state.exposed and state.changed_at:
        share = "?" if state.percent is None else f"{state.percent}%"
        since = f"{state.changed_at.astimezone(UTC):%d %B %H:%M:%S} UTC"
        console.print(Text(f"{share} of the users since {since}, by {state.changed_by}"))
    if iteration.verdicts:
        console.print(_table(iteration.verdicts))
        for told in _sentences(iteration.verdicts):
            console.print(told)
    if iteration.rollback and iteration.rollback.error:
        console.print(Text(iteration.rollback.error, "bold red"))
    if stop and (iteration.rollback or stop.failed):
        style = "bold red" if stop.failed else "green"
        console.print(Text(f"after the flag went off: {stop.state.value}; {stop.sentence}", style))


def _table(verdicts: tuple[Verdict, ...]) -> Table:
    """Figures only: sentences stand below, where they have room."""
    name = Column("guardrail", no_wrap=True)
    table = Table(name, "challenger", "champion", "difference", "limit", "verdict")
    for verdict in verdicts:
        measured = verdict.measured
        told = dict(measured.rows())
        apart = [told[name] for name in ("Difference", "Interval") if name in told]
        figures = (
            told.get("Challenger") or told.get("Value", ""),
            told.get("Champion", ""),
            "\n".join(apart).replace(", 95%", ",\n95%"),
            told.get("Limit", ""),
        )
        words = dict.fromkeys((verdict.status.value, measured.status))
        table.add_row(
            Text(verdict.guardrail),
            *(Text(cell, justify="right") for cell in figures),
            Text("\n".join(words), _STYLES[verdict.status]),
        )
    return table


def _sentences(verdicts: tuple[Verdict, ...]) -> Iterator[Text]:
    for verdict in verdicts:
        sure = verdict.measured.sure
        told = f"{verdict.sentence}. How sure: {sure}." if sure else f"{verdict.sentence}."
        yield Text.assemble((f"{verdict.guardrail}: ", "bold"), told)
