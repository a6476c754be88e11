"""The rollout plan as data, validated whole: what each stage needs before the next one begins."""

from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Field, model_validator

from common.config import StrictModel, load_yaml
from common.durations import Duration

DEFAULT_FILE: Final = Path(__file__).parents[1] / "rollout.yaml"
WHOLE: Final = 100

Count = Annotated[int, Field(ge=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]


class ShadowReportRule(StrictModel):
    """A file of `python -m analysis shadow --format json`, all of whose limits must have held."""

    file: Path
    """Where it lies; from the folder in which the job runs, if it is no whole path."""
    max_age: Duration = timedelta(days=1)
    """How old it may be."""


class Stage(StrictModel):
    """A share of the users, and what must hold before the next stage.

    Either `shadow` or `share` is given: the per cent of the users whose requests the challenger sees a copy
    of, or who get its answers.
    """

    shadow: Annotated[int, Field(ge=1, le=100)] | None = None
    share: Annotated[int, Field(ge=1, le=100)] | None = None
    approval: bool = False
    """A person must approve before this stage begins."""
    least: Duration | None = None
    """How long it lasts at least."""
    requests: Count = 0
    """Requests of users that were given the challenger, at least."""
    outcomes: Count = 0
    """Feedback on those, at least."""
    share_within: Annotated[float, Field(gt=0, lt=1)] | None = None
    """How far the challenger's part of the requests may be from its share, as a part of the share."""
    samples: Count = 0
    """Of the shadow stage: requests that both models answered, at least."""
    agreement: Fraction | None = None
    """Of the shadow stage: the share of those for which both chose the same, at least."""
    failures: Fraction | None = None
    """Of the shadow stage: the share of copies without a usable answer of the challenger, at most."""
    shadow_report: ShadowReportRule | None = None
    """Of the shadow stage: a report on this challenger that holds its own limits."""

    @property
    def name(self) -> str:
        """`shadow`, or the share: `5%`."""
        return f"{self.share}%" if self.share else "shadow"

    @property
    def canary_share(self) -> int:
        """The users that get the challenger's answers, in per cent."""
        return self.share or 0

    @property
    def lasts(self) -> timedelta:
        """`least`, or no time."""
        return self.least or timedelta()

    @model_validator(mode="after")
    def _check(self) -> "Stage":
        if (self.shadow is None) == (self.share is None):
            raise ValueError("give either share or shadow")
        of_shadow = {"samples", "agreement", "failures", "shadow_report"} & self.model_fields_set
        of_canary = {"requests", "outcomes", "share_within"} & self.model_fields_set
        if wrong := of_canary if self.shadow else of_shadow:
            kind, other = ("shadow", "share") if self.shadow else ("share", "shadow")
            raise ValueError(f"{', '.join(sorted(wrong))}: for a stage with {other}, and this has {kind}")
        return self


def _check_order(stages: tuple[Stage, ...]) -> tuple[Stage, ...]:
    if not any(stage.share for stage in stages):
        raise ValueError("no stage has a share, so nobody would ever get the challenger")
    shares = [stage.canary_share for stage in stages]
    if shares != sorted(set(shares)):
        raise ValueError(f"shares must grow from stage to stage, a shadow stage first; they are {shares}")
    return stages


def _check_once(names: tuple[str, ...]) -> tuple[str, ...]:
    if twice := [name for name, times in Counter(names).items() if times > 1]:
        raise ValueError(f"stands here twice: {', '.join(twice)}")
    return names


class Plan(StrictModel):
    """The whole of rollout.yaml."""

    must_judge: Annotated[tuple[str, ...], AfterValidator(_check_once)] = ()
    """Guardrails that must have judged the challenger well; the others must only not be breached."""
    guard_silent_for: Duration = timedelta(minutes=2)
    """How old the rollback job's last pass may be."""
    begin: Literal["by_itself", "by_hand"] = "by_hand"
    """Who begins the rollout of a version; until then nothing is raised, wherever the flag stands."""
    promote: Literal["by_itself", "by_hand"] = "by_hand"
    """Who makes the challenger the champion at the end."""
    stages: Annotated[tuple[Stage, ...], AfterValidator(_check_order)]

    @model_validator(mode="after")
    def _check_end(self) -> "Plan":
        if self.promote == "by_itself" and self.stages[-1].share != WHOLE:
            raise ValueError("promote: by_itself needs a last stage of 100%: else most users change at once")
        return self

    @property
    def canaries(self) -> tuple[Stage, ...]:
        """The stages in which users get the challenger's answers."""
        return tuple(stage for stage in self.stages if stage.share)

    @property
    def shadow(self) -> Stage | None:
        """The shadow stage, if there is one."""
        return self.stages[0] if self.stages[0].shadow else None

    def faster(self, speed: float) -> "Plan":
        """The same plan for a world in which a day takes 1/`speed` of a day: for drills and tests.

        Times shrink, and so do numbers of requests, because the traffic does not grow.
        """

        def quick(stage: Stage) -> Stage:
            changes = {
                name: round(getattr(stage, name) / speed)
                for name in ("requests", "outcomes", "samples")
                if name in stage.model_fields_set
            }
            return stage.model_copy(
                update=changes | {"least": stage.least / speed if stage.least is not None else None}
            )

        return self if speed == 1 else self.model_copy(update={"stages": tuple(map(quick, self.stages))})


def load_plan(path: Path = DEFAULT_FILE) -> Plan:
    """Read and check a plan.

    Raises:
        ConfigError: with `file:line` for every fault.
    """
    return load_yaml(path, Plan)
