"""What is known about a rollout at one moment: everything that the decision rests on, and nothing else."""

from dataclasses import dataclass, field
from datetime import datetime

from flags.people import Change, Held
from flags.rollout.shadow_report import ShadowReport
from flags.state import CanaryState

OK, BREACH, NO_DATA = "ok", "breach", "no data"  # as rollback.verdict names them


@dataclass(frozen=True)
class Guarded:
    """A guardrail as the rollback job's last pass judged it.

    Attributes:
        verdict: ok, breach, no data or cannot measure.
        binding: False where it only warns.
        value, limit: of a threshold, in its own unit.
        log_e, log_e_needed: of a sequential guardrail.
    """

    name: str
    verdict: str
    binding: bool = True
    value: float | None = None
    limit: float | None = None
    log_e: float | None = None
    log_e_needed: float | None = None


@dataclass(frozen=True)
class Readings:
    """What Prometheus says. Counts are since the stage began.

    Attributes:
        fault: why nothing is known; None where all was read.
        guardrails: none while nobody gets the challenger.
        last_pass: end of the rollback job's last pass, by the reader's own clock.
        judged: the flag's revision (Unleash's event id) that this pass judged; None where it judged none.
        champion_requests, challenger_requests: users' requests by the model that the flag gave them.
        outcomes: feedback on the challenger's.
        samples, agreements, failures: of the shadow.
        judged_version: the challenger that this pass judged, as marks name it.
        version: the challenger that is seen to be served, as marks name it; None where none is.
        version_since: when every instance began to serve it, where that was after the stage began.
        mixed: why what was counted is not the work of one challenger on every instance; None where it is.
    """

    fault: str | None = None
    guardrails: tuple[Guarded, ...] = ()
    last_pass: datetime | None = None
    judged: int | None = None
    judged_version: str | None = None
    champion_requests: float = 0.0
    challenger_requests: float = 0.0
    outcomes: float = 0.0
    samples: float = 0.0
    agreements: float = 0.0
    failures: float = 0.0
    version: str | None = None
    version_since: datetime | None = None
    mixed: str | None = None


@dataclass(frozen=True)
class Models:
    """What the models folder says, where there is one.

    Attributes:
        known: False without a models folder: then `Readings.version` is all there is.
        challenger: the version in that role, as marks name it; None where there is none.
        unfinished: a promotion was begun and not seen through.
        promoted: the champion came from the last promotion, and there is a way back.
    """

    known: bool = False
    challenger: str | None = None
    unfinished: bool = False
    promoted: bool = False


@dataclass(frozen=True)
class Situation:
    """A rollout at one moment.

    Attributes:
        canary, shadow: the two flags; `shadow` is None where the plan has no shadow stage.
        changes: what was done to the canary's flag, the oldest first.
        shadow_changes: the same of the shadow's flag.
        paused: the reasons of the pauses on the flag's page.
        begun: versions whose rollout a person has begun, by the marks there.
        models: the models folder.
        readings: Prometheus.
        shadow_report: the report that the plan's shadow stage asks for; None where it asks for none.
        now: the time, in UTC.
    """

    canary: CanaryState
    changes: tuple[Change, ...]
    now: datetime
    shadow: CanaryState | None = None
    shadow_changes: tuple[Change, ...] = ()
    paused: tuple[str, ...] = ()
    begun: tuple[str, ...] = ()
    models: Models = field(default_factory=Models)
    readings: Readings = field(default_factory=Readings)
    shadow_report: ShadowReport | None = None
    hold: Held | None = None
    shadow_hold: Held | None = None

    @property
    def version(self) -> str | None:
        """The deployed challenger; None where there is none, or it is not known."""
        return self.models.challenger if self.models.known else self.readings.version

    @property
    def no_challenger(self) -> bool:
        """Whether it is known that there is none."""
        if self.models.known:
            return self.models.challenger is None
        readings = self.readings
        return readings.fault is None and readings.mixed is None and readings.version is None
