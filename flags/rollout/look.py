"""All that a decision rests on, read from Unleash, Prometheus and the models folder. Changes nothing."""

from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from common.model_store import ModelStore
from common.prometheus import Prometheus
from common.selector import DEFAULT
from common.served import Arms
from flags.admin import UnleashAdmin
from flags.errors import ChangedMeanwhile, NotFound
from flags.marks import BEGIN, PAUSE
from flags.people import Change, held, history
from flags.quarantine import label
from flags.rollout.place import place_of
from flags.rollout.readings import read
from flags.rollout.schema import Plan
from flags.rollout.shadow_report import read_report
from flags.rollout.situation import Models, Readings, Situation
from flags.snapshot import take
from flags.state import CanaryState, state_of

TRIES = 4


@dataclass(frozen=True)
class Rollout:
    """One rollout: its plan, its flags, and where to ask.

    Attributes:
        prometheus: None where nobody said where it is; then every gate that needs it is shut.
        models: the models folder, None where there is none.
        selector: matchers of the service's series in Prometheus.
    """

    plan: Plan
    admin: UnleashAdmin
    flag: str
    shadow_flag: str
    prometheus: Prometheus | None = None
    models: Path | None = None
    selector: str = DEFAULT

    @property
    def arms(self) -> Arms:
        """Where Prometheus sees both models."""
        return Arms(self.flag, self.admin.environment, self.selector)

    def look(self) -> Situation:
        """What is so now.

        Raises:
            AdminError: Unleash does not answer, or not so.
            ConfigError: the models folder has no roles, or unreadable ones.
        """
        canary, changes = self._flag(self.flag)
        marks = _marks(self.admin, self.flag)
        seen = Situation(
            canary=canary,
            changes=changes,
            now=datetime.now(UTC),
            paused=marks.get(PAUSE, ()),
            begun=marks.get(BEGIN, ()),
            models=self.deployed(),
            hold=held(changes),
        )
        if self.plan.shadow is not None:
            shadow, of_shadow = self._flag(self.shadow_flag)
            seen = replace(
                seen,
                shadow=shadow,
                shadow_changes=of_shadow,
                shadow_hold=held(of_shadow),
                shadow_report=read_report(rule.file) if (rule := self.plan.shadow.shadow_report) else None,
            )
        return replace(seen, readings=self.measure(seen))

    def deployed(self) -> Models:
        """What the models folder says. Raises ConfigError."""
        return models_of(self.models)

    def _flag(self, flag: str) -> tuple[CanaryState, tuple[Change, ...]]:
        """A flag and its log, of one and the same moment: a hold that is missed would be overrun."""
        for _ in range(TRIES):
            state = state_of(take(self.admin, flag))
            changes = history(self.admin, flag)
            last = next((one.id for one in reversed(changes) if one.tag is None), None)
            if last == state.revision:
                return state, changes
        raise ChangedMeanwhile(f"{flag} changes again and again while it is read: nothing was changed")

    def measure(self, seen: Situation) -> Readings:
        """What Prometheus knows of the stage that the flags show; a fault of it is a reading too."""
        if self.prometheus is None:
            return Readings(fault="where Prometheus is was not said: set CANARIO_PROMETHEUS_URL")
        return read(self.prometheus, self.arms, place_of(self.plan, seen).began, seen.now)


def models_of(folder: Path | None) -> Models:
    """Who is challenger, by the models folder. Raises ConfigError."""
    if folder is None:
        return Models()
    release = ModelStore(folder).read()
    challenger = release.roles.challenger
    return Models(
        known=True,
        challenger=label(challenger.version, challenger.sha256) if challenger else None,
        unfinished=release.last.kind == "promoted" and not release.roles.settled,
        promoted=release.last.kind == "promoted" and release.roles.previous is not None,
    )


def _marks(admin: UnleashAdmin, flag: str) -> dict[str, tuple[str, ...]]:
    """The tags on the flag's page: their values, by their type."""
    found: dict[str, tuple[str, ...]] = {}
    with suppress(NotFound):
        for tag in sorted(admin.tags.of(flag), key=lambda one: one.value):
            found[tag.type] = (*found.get(tag.type, ()), tag.value)
    return found
