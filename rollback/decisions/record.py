"""A decision as it is kept: what was known, what was decided, what came of it. One JSON document each.

Everything in it is data of the time of the decision, so that anybody can judge again without Prometheus.
"""

import secrets
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Literal

from pydantic import AwareDatetime, ConfigDict, Field

from common.arms import ServedModel
from common.config import StrictModel
from flags.canary.state import CanaryState
from rollback.actions.instances import Instance
from rollback.actions.stop import Stop
from rollback.actions.turn_off import Canary, Rollback
from rollback.decisions.traces import ExampleTrace
from rollback.guardrails.verdict import Verdict
from rollback.iteration import verdict_fields


class Kind(StrEnum):
    """What was decided."""

    ORDERED = "rollback-ordered"
    """Written before the order is sent; a later document of the same id says what came of it."""
    ROLLBACK = "rollback"
    FAILED = "rollback-failed"
    EXCLUDED = "segment-excluded"
    """The same for the users of one segment, who keep the champion; the others have what they had."""
    VERDICT = "verdict"
    """A guardrail turned to pause, warn or cannot measure, or back."""
    BLIND = "blind"
    """Nothing could be measured for longer than the policy allows."""
    STOPPED = "stop-verified"
    NOT_STOPPED = "stop-not-verified"


# Of the id, and so of the file's name: what is told apart without opening files.
GROUPS = {
    Kind.ORDERED: "rollback",
    Kind.ROLLBACK: "rollback",
    Kind.FAILED: "rollback",
    Kind.EXCLUDED: "rollback",
    Kind.STOPPED: "stop",
    Kind.NOT_STOPPED: "stop",
}


class RollbackRecord(StrictModel):
    """The order to turn the flag off, or to exclude a segment from it."""

    guardrail: str
    excluded: str | None = None
    """The segment, as country=NO; None where the order is about everybody."""
    breached_at: AwareDatetime | None
    """When the guardrail was first breached, by the clock of Prometheus; None where it does not say."""
    ordered_at: AwareDatetime | None = None
    verified: bool | None = None
    """Whether Unleash said off afterwards; None where the job ended before it could tell."""
    fault: str | None = None
    seconds: float | None = None
    """From the order to Unleash's word for it."""
    seconds_from_breach: float | None = None
    off_at: AwareDatetime | None = None
    """When the flag went off, by Unleash's event log."""
    off_by: str | None = None
    off_revision: int | None = None
    attempts: int = 1


class StopRecord(StrictModel):
    """Whether the challenger was seen to stop."""

    state: str
    sentence: str
    off_at: AwareDatetime
    off_by: str | None
    off_revision: int | None
    looked_at: AwareDatetime
    limit_seconds: float
    last_answer: AwareDatetime | None
    stopped_at: AwareDatetime | None
    instances: tuple[Instance, ...]
    rollback: str | None = None
    """Id of the rollback that this is about, where the same process did it."""
    seconds_from_breach: float | None = None


class Turn(StrictModel):
    """A guardrail that changed its verdict; `flag` stands for the reading of the flag itself."""

    guardrail: str
    before: str
    after: str


class Decision(StrictModel):
    """One document of the decisions log."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    id: str
    version: Literal[1] = Field(1, alias="schema")
    time: AwareDatetime
    kind: Kind
    flag: str
    environment: str
    share: int | None = None
    """The flag before the decision, with who made it so; all None when Unleash could not be asked."""
    flag_revision: int | None = None
    changed_by: str | None = None
    changed_at: AwareDatetime | None = None
    models: dict[str, ServedModel] = Field(default_factory=dict)
    verdicts: tuple[dict[str, Any], ...] = ()
    """As `rollback.iteration` tells them, with `evidence`."""
    rollback: RollbackRecord | None = None
    stop: StopRecord | None = None
    turns: tuple[Turn, ...] = ()
    sentence: str | None = None
    """What there is to say beside the verdicts."""
    traces: tuple[ExampleTrace, ...] = ()
    """Of a rollback: some of the calls behind the counts, to look up."""


def new_id(kind: Kind, time: datetime) -> str:
    """An id that sorts by time, and differs between two jobs that decide at the same moment."""
    stamp = f"{time.astimezone(UTC):%Y%m%dT%H%M%S.%f}"  # one job decides twice within a millisecond
    return f"{stamp}Z-{GROUPS.get(kind, kind.value)}-{secrets.token_hex(2)}"


def begin(kind: Kind, canary: Canary, state: CanaryState | None, **fields: Any) -> Decision:
    """A new decision of this moment about the flag in `state`."""
    now = datetime.now(UTC)
    return Decision(
        id=new_id(kind, now),
        time=now,
        kind=kind,
        flag=canary.flag,
        environment=canary.environment,
        share=state.percent if state else None,
        flag_revision=state.revision if state else None,
        changed_by=state.changed_by if state else None,
        changed_at=state.changed_at if state else None,
        **fields,
    )


def verdict_record(verdict: Verdict) -> dict[str, Any]:
    """A verdict with all that is needed to come to it again."""
    return {**verdict_fields(verdict), "evidence": verdict.evidence}


def model_versions(*verdicts: Verdict) -> dict[str, ServedModel]:
    """The models that these are about, by role; none where that is not known."""
    return {role.value: each for verdict in verdicts for role, each in verdict.models.items()}


def breached_at(verdict: Verdict) -> datetime | None:
    """When the breach came about, by the clock of Prometheus: for a threshold at the last look."""
    looks = verdict.evidence.get("looks")
    return verdict.breached_at or (datetime.fromisoformat(looks[-1]) if looks else None)


def rollback_record(rollback: Rollback, breach: Verdict) -> RollbackRecord:
    """What became of an order."""
    after = rollback.after
    return RollbackRecord(
        guardrail=rollback.guardrail,
        excluded=rollback.excluded,
        breached_at=breached_at(breach),
        ordered_at=rollback.ordered_at,
        verified=rollback.verified,
        fault=rollback.error,
        seconds=round(rollback.seconds, 3),
        seconds_from_breach=seconds_to_off(rollback, breach),
        off_at=after.changed_at if after and rollback.verified else None,
        off_by=after.changed_by if after and rollback.verified else None,
        off_revision=after.revision if after and rollback.verified else None,
    )


def seconds_to_off(rollback: Rollback, breach: Verdict) -> float | None:
    """From the breach to Unleash's word that the flag is off; None unless both are known."""
    began = breached_at(breach)
    if not rollback.verified or began is None or rollback.ordered_at is None:
        return None
    return round(max(0.0, (rollback.ordered_at - began).total_seconds() + rollback.seconds), 3)


def stop_record(stop: Stop, rollback: Decision | None) -> StopRecord:
    """What was seen after the flag went off, by the rollback of which document."""
    began = rollback.rollback.breached_at if rollback and rollback.rollback else None
    seconds = (stop.stopped_at - began).total_seconds() if stop.stopped_at and began else None
    return StopRecord(
        state=stop.state.value,
        sentence=stop.sentence,
        off_at=stop.off.at,
        off_by=stop.off.by,
        off_revision=stop.off.revision,
        looked_at=stop.looked_at,
        limit_seconds=stop.limit.total_seconds(),
        last_answer=stop.last_answer,
        stopped_at=stop.stopped_at,
        instances=stop.instances,
        rollback=rollback.id if rollback else None,
        seconds_from_breach=seconds,
    )
