"""A rollout's file with its plan, the settings of `./canario rollout`, and the rollout of both."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

from pydantic import Field, PlainValidator, SecretStr, WithJsonSchema

from common.arms import Arms
from common.config import ConfigError, PrometheusUrl, StrictModel, load_settings
from common.model_store import ModelStore
from common.prometheus import Prometheus
from common.rollouts import FOLDER, Chosen, RolloutFile, choose, read_all
from common.selector import DEFAULT, SELECTOR, Matchers
from flags.promotion.fleet import fleet
from flags.promotion.promote import Promoter
from flags.rollout.controller import MakePromoter
from flags.rollout.schema import DEFAULT_FILE, RolloutPlan, load_plan
from flags.rollout.situation import Rollout
from flags.settings import FlagsSettings, MovesAlias
from flags.unleash.admin import admin_from

TEMPLATES: Final = {
    "canary": DEFAULT_FILE.with_name("templates") / "canary.yaml",
    "shadow-canary": DEFAULT_FILE,
}


def _plan(given: object) -> RolloutPlan | str:
    return given if isinstance(given, RolloutPlan | str) else RolloutPlan.model_validate(given)


AnyPlan = Annotated[
    RolloutPlan | str,
    PlainValidator(_plan),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "object"}]}),
]
"""A template, a file beside the rollout's, or the plan itself."""


class PlannedFile(RolloutFile):
    """A rollout's file with its plan."""

    plan: AnyPlan = "canary"


class RolloutSettings(MovesAlias, FlagsSettings):
    """What the commands of the rollout plan need."""

    rollouts: Path = Field(FOLDER, description="folder of rollouts, each NAME/rollout.yaml")
    rollout: str | None = Field(None, description="which of them, for commands about one; or --rollout NAME")
    canary_flag: str = Field("canary", min_length=1, description="flag that decides who gets the challenger")
    shadow_flag: str = Field(
        "shadow", min_length=1, description="flag that decides whose requests it gets copies of"
    )
    rollout_plan: Path = Field(DEFAULT_FILE, description="file of the plan")
    rollout_speed: float = Field(
        1.0, ge=1, le=1e6, description="for drills: how many times faster the plan's times pass"
    )
    prometheus_url: PrometheusUrl | None = Field(None, description="where Prometheus lies")
    selector: Matchers = Field(DEFAULT, description=SELECTOR)
    service_url: str | None = Field(
        None,
        description="the service, or several with commas between; dns+http://HOST:PORT: every address there",
    )
    admin_token: SecretStr | None = Field(None, description="bearer token of the service's admin routes")


class RolloutJobSettings(StrictModel):
    """What is of the job that repeats `advance`, and of no rollout."""

    rollouts: Path = Field(FOLDER, description="folder of rollouts, each NAME/rollout.yaml")
    rollout_metrics_bind: str = Field(
        "", pattern=r"^(.+:\d{1,5})?$", description="address and port of the job's own /metrics; none without"
    )


@dataclass(frozen=True)
class Planned:
    """One rollout, ready to be looked at."""

    name: str
    plan: RolloutPlan
    arms: Arms
    settings: RolloutSettings

    def rollout(self) -> Rollout:
        """With clients of its own. Raises ConfigError."""
        settings = self.settings
        return Rollout(
            plan=self.plan.faster(settings.rollout_speed),
            admin=admin_from(settings, stickiness=settings.stickiness),
            arms=self.arms,
            shadow_flag=settings.shadow_flag,
            prometheus=Prometheus(settings.prometheus_url.get_secret_value())
            if settings.prometheus_url
            else None,
            models=settings.models,
        )


def plan_of(chosen: Chosen[PlannedFile]) -> RolloutPlan:
    """The plan of a rollout. Raises ConfigError."""
    said, overruled = chosen.file.plan, chosen.environment.get("CANARIO_ROLLOUT_PLAN")
    if overruled:
        found = load_plan(Path(overruled))
    elif isinstance(said, RolloutPlan):
        found = said
    else:
        found = load_plan(TEMPLATES.get(said) or chosen.beside(said))
    if found.shadow and (chosen.file.flag.shadow is None or chosen.file.signals.shadow is None):
        lacks = "flag.shadow" if chosen.file.flag.shadow is None else "signals.shadow"
        raise ConfigError(
            f"{chosen.path}: plan: it begins with a shadow stage, and the file names no {lacks}"
        )
    return found


def planned(chosen: Chosen[PlannedFile]) -> Planned:
    """A rollout with its settings. Raises ConfigError."""
    settings = load_settings(RolloutSettings, chosen.environment)
    arms = chosen.arms(settings.canary_flag, settings.unleash_environment, settings.selector)
    return Planned(chosen.name, plan_of(chosen), arms, settings)


def one(name: str | None, said: Mapping[str, str], *, program: str = "flags") -> Planned:
    """The rollout of that name, or the only one; `said` overrules its variables. Raises ConfigError."""
    return planned(choose(PlannedFile, program, name, {**os.environ, **said}))


def every(
    program: str, environment: Mapping[str, str] = os.environ
) -> Iterator[tuple[str, Planned | ConfigError]]:
    """All of them, or what is wrong with one. Raises ConfigError: of the folder."""
    for name, chosen in read_all(PlannedFile, program, environment):
        if isinstance(chosen, ConfigError):
            yield name, chosen
            continue
        try:
            yield name, planned(chosen)
        except ConfigError as error:
            yield name, error


def promoter_of(settings: RolloutSettings, rollout: Rollout) -> MakePromoter | None:
    """What promotes the challenger; None where the settings do not say how."""
    if settings.models is None or settings.service_url is None or settings.admin_token is None:
        return None
    store, asked = ModelStore(settings.models), fleet(settings.service_url, settings.admin_token)
    return lambda: Promoter(store, rollout.admin, rollout.flag, asked, alias=settings.mlflow_alias)


def required_promoter(settings: RolloutSettings, rollout: Rollout) -> Promoter:
    """The same. Raises ConfigError where the settings do not say how."""
    make = promoter_of(settings, rollout)
    if make is None:
        raise ConfigError(
            "to change the roles of models set CANARIO_MODELS, CANARIO_SERVICE_URL and CANARIO_ADMIN_TOKEN"
        )
    return make()
