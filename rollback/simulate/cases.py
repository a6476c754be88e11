"""Which rollouts are played: the whole plan with equal models, and each regression at each share."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

from common.durations import format_duration, parse_duration
from rollback.simulate.study import Case, PlayedStage
from rollback.simulate.traffic import Behaviour

RUNBOOK_PLAN = (
    PlayedStage(0.01, timedelta(hours=24)),
    PlayedStage(0.05, timedelta(hours=24)),
    PlayedStage(0.25, timedelta(hours=48)),
)
_WATCHED = timedelta(hours=12)  # after the regression; what is not found by then counts as not found
_LATE = timedelta(hours=6)


@dataclass(frozen=True)
class Regression:
    """How the challenger becomes worse than the champion."""

    name: str
    errors: float = 1.0
    slower: float = 1.0
    added: float = 0.0
    after: timedelta = timedelta()


REGRESSIONS = (
    Regression("errors x2", errors=2),
    Regression("errors x2 after 6h", errors=2, after=_LATE),
    Regression("p99 x1.2", slower=1.2),
    Regression("p99 x1.3", slower=1.3),
    Regression("p99 x1.5", slower=1.5),
    Regression("p99 x2", slower=2),
    Regression("every call +0.5 s", added=0.5),
)


def equal_models(plan: tuple[PlayedStage, ...], champion: Behaviour) -> Case:
    """A rollout through the whole plan in which nothing is wrong."""
    return Case("equal models", plan, champion)


def regressions(plan: tuple[PlayedStage, ...], champion: Behaviour) -> Iterator[Case]:
    """Each regression at each share of the plan, one stage by itself."""
    number = 1
    for regression in REGRESSIONS:
        worse = champion.worse(errors=regression.errors, slower=regression.slower, added=regression.added)
        for stage in plan:
            stages = (PlayedStage(stage.share, regression.after + _WATCHED),)
            yield Case(regression.name, stages, worse, regression.after, number)
            number += 1


def harms(world: str, plan: tuple[PlayedStage, ...], champion: Behaviour) -> Iterator[Case]:
    """Each stage of the plan by itself, in a world in which the challenger is worse."""
    for number, stage in enumerate(plan, 1):
        yield Case(world, (stage,), champion, number=number)


def parse_plan(text: str) -> tuple[PlayedStage, ...]:
    """Read a plan such as "1%:24h,5%:24h,25%:48h".

    Raises:
        ValueError: it is none.
    """
    stages = []
    for part in text.split(","):
        share, _, lasts = part.strip().partition("%:")
        try:
            percent = float(share)
        except ValueError:
            raise ValueError(
                f"{part.strip()!r} is no stage; write a share and a time, as in 5%:24h"
            ) from None
        if not 0 < percent < 100:
            raise ValueError(f"a share of {share}% leaves one of the models without traffic")
        stages.append(PlayedStage(percent / 100, parse_duration(lasts)))
    return tuple(stages)


def format_plan(plan: tuple[PlayedStage, ...]) -> str:
    """Write a plan as `parse_plan` reads it."""
    return ",".join(f"{100 * stage.share:g}%:{format_duration(stage.lasts)}" for stage in plan)
