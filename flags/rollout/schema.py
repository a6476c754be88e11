"""The rollout plan as data, validated whole: what each stage needs before the next one begins."""

from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Field, model_validator

from common.config import StrictModel, load_yaml
from common.durations import Duration, format_duration
from flags.rollout.windows import Calendar, Freeze, Window

DEFAULT_FILE: Final = Path(__file__).parents[1] / "rollout.yaml"
WHOLE: Final = 100
SHORTEST_SPAN: Final = timedelta(seconds=10)

Count = Annotated[int, Field(ge=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]


class ShadowReportRule(StrictModel):
    """A file of `./canario report shadow --format json`, all of whose limits must have held."""

    file: Path
    """Where it lies; from the folder in which the job runs, if it is no whole path."""
    max_age: Duration = timedelta(days=1)
    """How old it may be."""


class NoWorse(StrictModel):
    """Evidence that the challenger loses no more than a margin, before more users get it.

    What the rollout names no signal for is not asked for, nor an outcome that nobody tells.
    """

    errors: Annotated[float, Field(gt=1, le=10)] | None = None
    """The challenger's share of failed calls is at most so many times the champion's."""
    p99: Annotated[float, Field(gt=1, le=10)] | None = None
    """So is its p99 latency, by the calls that take longer than the champion's p99."""
    outcomes: dict[str, Annotated[float, Field(gt=0, lt=1)]] = Field(default_factory=dict)
    """By outcome: the challenger's share of requests with it is at least so many times the champion's."""
    lag: Duration = timedelta(minutes=30)
    """How long after the stage's beginning outcomes count: they come after the call."""
    tolerated_errors: Annotated[float, Field(ge=0, lt=1)] = 0.001
    """Up to this share of failed calls is no loss, however few the champion has."""
    tolerated_slow: Annotated[float, Field(ge=0, lt=1)] = 0.0025
    """The same of slow calls."""
    floor: Duration = timedelta(milliseconds=10)
    """Calls faster than this are never slow."""
    span: Duration = timedelta(minutes=10)
    """It is counted in whole spans of so long, from the stage's beginning on; in longer ones where there are
    more than 432 of them."""

    @model_validator(mode="after")
    def _asks_something(self) -> "NoWorse":
        if self.errors is None and self.p99 is None and not self.outcomes:
            raise ValueError("name errors, p99 or outcomes, each with a margin")
        if self.span < SHORTEST_SPAN:
            raise ValueError(f"span: {format_duration(SHORTEST_SPAN)} at least, for scrapes to lie in it")
        return self


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
    windows: Window | Literal["any_time"] | None = None
    """When this stage may begin; default: that of the plan."""
    freezes: tuple[Freeze, ...] | None = None
    """When it may not; default: those of the plan."""
    requests: Count = 0
    """Requests of users that were given the challenger, at least."""
    outcomes: Count = 0
    """Feedback on those, at least."""
    share_within: Annotated[float, Field(gt=0, lt=1)] | None = None
    """How far the challenger's part of the requests may be from its share, as a part of the share."""
    no_worse: NoWorse | None = None
    """Evidence that the next stage needs, and the promotion after a last one of 100%."""
    samples: Count = 0
    """Of the shadow stage: requests that both models answered, at least."""
    agreement: Fraction | None = None
    """Of the shadow stage: the share of those whose answers are the same, at least."""
    rank_correlation: Annotated[float, Field(ge=-1, le=1)] | None = None
    """Of the shadow stage: how alike both order requests by score, at least; from -1 to 1, beyond chance."""
    rare_agreement: Fraction | None = None
    """Of the shadow stage: of the requests with the rarer class, those where both chose it, beyond chance."""
    score_shift: Fraction | None = None
    """How far their scores' distributions are apart at most (Kolmogorov-Smirnov): of the shadow stage on the
    same requests, of a share between the users of both models at the same time."""
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
        of_shadow = self.model_fields_set & {
            "samples",
            "agreement",
            "rank_correlation",
            "rare_agreement",
            "failures",
            "shadow_report",
        }
        of_canary = {"requests", "outcomes", "share_within", "no_worse"} & self.model_fields_set
        if wrong := of_canary if self.shadow else of_shadow:
            kind, other = ("shadow", "share") if self.shadow else ("share", "shadow")
            raise ValueError(f"{', '.join(sorted(wrong))}: for a stage with {other}, and this has {kind}")
        for name in ("no_worse", "score_shift"):
            if getattr(self, name) is not None and self.share == WHOLE:
                raise ValueError(
                    f"{name}: at 100% there is no champion to compare with; ask in the stage before"
                )
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


class RolloutPlan(StrictModel):
    """The whole of rollout.yaml."""

    must_judge: Annotated[tuple[str, ...], AfterValidator(_check_once)] = ()
    """Guardrails that must have judged the challenger well; the others must only not be breached."""
    guard_silent_for: Duration = timedelta(minutes=2)
    """How old the rollback job's last iteration may be."""
    begin: Literal["by_itself", "by_hand"] = "by_hand"
    """Who starts the rollout of a version; until then nothing is raised, wherever the flag stands."""
    promote: Literal["by_itself", "by_hand"] = "by_hand"
    """Who makes the challenger the champion at the end."""
    windows: Window | None = None
    """When stages may begin, and the challenger may be promoted by itself; default: at any time."""
    freezes: tuple[Freeze, ...] = ()
    """Days on which they may not."""
    stages: Annotated[tuple[Stage, ...], AfterValidator(_check_order)]

    @model_validator(mode="after")
    def _check_end(self) -> "RolloutPlan":
        if self.promote == "by_itself" and self.stages[-1].share != WHOLE:
            raise ValueError("promote: by_itself needs a last stage of 100%: else most users change at once")
        return self

    @property
    def canaries(self) -> tuple[Stage, ...]:
        """The stages in which users get the challenger's answers."""
        return tuple(stage for stage in self.stages if stage.share)

    def calendar(self, stage: Stage | None) -> Calendar:
        """When `stage` may begin, or, where that is None, the challenger be promoted."""
        window: Window | str | None = self.windows
        freezes: tuple[Freeze, ...] | None = self.freezes
        if stage is not None:
            window = window if stage.windows is None else stage.windows
            freezes = freezes if stage.freezes is None else stage.freezes
        return Calendar(window if isinstance(window, Window) else None, freezes or ())

    def no_worse_than(self, stage: Stage | None) -> NoWorse | None:
        """The evidence that what follows `stage` needs; at 100%, that of the last stage that asks any."""
        if stage is None or stage.canary_share < WHOLE:
            return stage.no_worse if stage else None
        return next((one.no_worse for one in reversed(self.stages) if one.no_worse), None)

    @property
    def shadow(self) -> Stage | None:
        """The shadow stage, if there is one."""
        return self.stages[0] if self.stages[0].shadow else None

    def faster(self, speed: float) -> "RolloutPlan":
        """The same plan for a world in which a day takes 1/`speed` of a day: for drills and tests.

        Times shrink, and so do numbers of requests, because the traffic does not grow. Windows and freezes,
        which are times of the calendar, are left out; so is evidence, which takes the calls that it takes.
        """

        def quick(stage: Stage) -> Stage:
            changes = {
                name: round(getattr(stage, name) / speed)
                for name in ("requests", "outcomes", "samples")
                if name in stage.model_fields_set
            }
            return stage.model_copy(
                update=changes
                | {"least": stage.least / speed if stage.least is not None else None}
                | {"windows": None, "freezes": None, "no_worse": None}
            )

        if speed == 1:
            return self
        return self.model_copy(
            update={"stages": tuple(map(quick, self.stages)), "windows": None, "freezes": ()}
        )


def load_plan(path: Path = DEFAULT_FILE) -> RolloutPlan:
    """Read and check a plan.

    Raises:
        ConfigError: with `file:line` for every fault.
    """
    return load_yaml(path, RolloutPlan)
