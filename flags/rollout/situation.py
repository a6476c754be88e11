"""What is known about a rollout at one moment, and where it therefore stands.

The stage is read off the flag, never remembered: a share that a person set is a stage like any other, and
has the conditions of the last planned stage that is not larger.
"""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path

from common.arms import Arms
from common.model_store import ModelStore
from common.prometheus import Prometheus
from flags.canary.history import Change, Hold, held, history_until
from flags.canary.marks import BEGIN, PAUSE, label, values
from flags.canary.snapshot import Snapshot, take
from flags.canary.state import CanaryState, state_of
from flags.rollout.evidence import EvidenceCache
from flags.rollout.readings import Compared, Readings, read
from flags.rollout.schema import WHOLE, RolloutPlan, Stage
from flags.rollout.shadow_report import ShadowReport, read_report
from flags.unleash.admin import UnleashAdmin
from flags.unleash.errors import ChangedMeanwhile

TRIES = 4
EPOCH = datetime.fromtimestamp(0, UTC)


@dataclass(frozen=True)
class DeployedModels:
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
    """A rollout at one moment: all that a decision rests on.

    Attributes:
        canary, shadow: the two flags; `shadow` is None where the plan has no shadow stage.
        changes: what was done to the canary's flag, the oldest first.
        shadow_changes: the same of the shadow's flag.
        paused: the reasons of the pauses on the flag's page.
        begun: versions that a person has approved to start with, by the marks there.
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
    models: DeployedModels = field(default_factory=DeployedModels)
    readings: Readings = field(default_factory=Readings)
    shadow_report: ShadowReport | None = None

    @cached_property
    def hold(self) -> Hold | None:
        """What a person lowered."""
        return held(self.changes)

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

    @property
    def share(self) -> int:
        """Per cent of the users that may get the challenger, by the flag; the lease is another matter."""
        canary = self.canary
        if not canary.exists or not canary.enabled:
            return 0
        return 100 if canary.percent is None else canary.percent


@dataclass(frozen=True)
class RolloutPosition:
    """Where the rollout stands.

    Attributes:
        share: per cent of the users that may get the challenger.
        rules: the stage whose conditions count; None before the first.
        following: the next stage; None in the last.
        began: when this share, or this version of the challenger, began.
        change: what began it, where the log tells.
    """

    share: int
    rules: Stage | None
    following: Stage | None
    began: datetime
    change: Change | None = None

    @property
    def name(self) -> str:
        """`5%`, `shadow`, or `not begun`."""
        if self.share:
            return f"{self.share}%"
        return self.rules.name if self.rules else "not begun"

    @property
    def is_planned(self) -> bool:
        """False for a share that only a person can have set."""
        return self.rules is None or self.rules.canary_share == self.share


def position_of(plan: RolloutPlan, seen: Situation) -> RolloutPosition:
    """The stage that the flags show."""
    share, changes = seen.share, [one for one in seen.changes if one.tag is None]
    rules: Stage | None = None
    following: Stage | None = plan.stages[0]
    if share:
        rules = next((one for one in reversed(plan.canaries) if one.canary_share <= share), plan.canaries[0])
        following = next((one for one in plan.canaries if one.canary_share > share), None)
    elif plan.shadow and seen.shadow and seen.shadow.enabled and seen.shadow.percent != 0:
        rules, following = plan.shadow, plan.canaries[0]
        changes = [*changes[-1:], *(one for one in seen.shadow_changes if one.tag is None)]
    last = max(changes, key=lambda one: one.id, default=None)
    began = max(filter(None, (last.at if last else EPOCH, seen.readings.version_since)))
    return RolloutPosition(share, rules, following, began, last)


def last_compared(seen: Situation, position: RolloutPosition) -> tuple[datetime, datetime]:
    """When both models last had users before a stage of 100%: from the last share there was, until the next.

    No time at all where there was none.
    """
    until = position.change.at if position.change else position.began
    moved = [one for one in seen.changes if one.tag is None and one.before.reach != one.after.reach]
    moved = [one for one in moved if one.at <= until]
    for began, ended in zip(moved[-2::-1], moved[:0:-1], strict=True):
        if 0 < began.after.reach < WHOLE:
            return began.at, ended.at
    return until, until


@dataclass(frozen=True)
class Rollout:
    """One rollout: its plan, its flags, and where to ask.

    Attributes:
        prometheus: None where nobody said where it is; then no condition that needs it holds.
        models: the models folder, None where there is none.
        arms: where Prometheus sees both models.
        cache: of what is known of how the models compare.
    """

    plan: RolloutPlan
    admin: UnleashAdmin
    arms: Arms
    shadow_flag: str
    prometheus: Prometheus | None = None
    models: Path | None = None
    cache: EvidenceCache = field(default_factory=EvidenceCache, compare=False)

    @property
    def flag(self) -> str:
        """The flag that gives users the challenger."""
        return self.arms.flag

    def look(self) -> Situation:
        """What is so now: read from Unleash, the models folder, the shadow report and Prometheus.

        Raises:
            AdminError: Unleash does not answer, or not so.
            ChangedMeanwhile: the flag changes again and again.
            ConfigError: the models folder has no roles, or unreadable ones.
        """
        shot, changes = self._flag(self.flag)
        seen = Situation(
            canary=state_of(shot),
            changes=changes,
            now=datetime.now(UTC),
            paused=values(shot.tags, PAUSE),
            begun=values(shot.tags, BEGIN),
            models=self.deployed(),
        )
        if self.plan.shadow is not None:
            shadow, of_shadow = self._flag(self.shadow_flag)
            rule = self.plan.shadow.shadow_report
            report = read_report(rule.file) if rule else None
            seen = replace(seen, shadow=state_of(shadow), shadow_changes=of_shadow, shadow_report=report)
        return replace(seen, readings=self.measure(seen))

    def deployed(self) -> DeployedModels:
        """What the models folder says. Raises ConfigError."""
        return models_of(self.models)

    def measure(self, seen: Situation) -> Readings:
        """What Prometheus knows of the stage that the flags show; an error of it is a reading too."""
        if self.prometheus is None:
            return Readings(fault="where Prometheus is was not said: set CANARIO_PROMETHEUS_URL")
        position = position_of(self.plan, seen)
        compared = None
        if position.share and (rules := self.plan.no_worse_than(position.rules)):
            period = last_compared(seen, position) if position.share == WHOLE else None
            compared = Compared(rules, self.cache, period)
        return read(self.prometheus, self.arms, position.began, seen.now, compared)

    def _flag(self, flag: str) -> tuple[Snapshot, tuple[Change, ...]]:
        """A flag and its history, of one and the same moment: a hold that is missed would be overrun."""
        for _ in range(TRIES):
            shot = take(self.admin, flag)
            changes = history_until(self.admin, flag, shot.here)
            last = next((one.id for one in reversed(changes) if one.tag is None), None)
            if last == (shot.last_change.id if shot.last_change else None):
                return shot, changes
        raise ChangedMeanwhile(f"{flag} changes again and again while it is read: nothing was changed")


def models_of(folder: Path | None) -> DeployedModels:
    """Who is challenger, by the models folder. Raises ConfigError."""
    if folder is None:
        return DeployedModels()
    release = ModelStore(folder).read()
    challenger = release.roles.challenger
    promoted = release.last.kind == "promoted"
    return DeployedModels(
        known=True,
        challenger=label(challenger.version, challenger.sha256) if challenger else None,
        unfinished=promoted and not release.roles.settled,
        promoted=promoted and release.roles.previous is not None,
    )
