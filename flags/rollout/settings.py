"""Settings of `python -m flags rollout`, and the rollout that they make."""

from pathlib import Path

from pydantic import Field, SecretStr

from common.address import PrometheusUrl
from common.config import ConfigError
from common.model_store import ModelStore
from common.prometheus import Prometheus
from common.selector import DEFAULT, SELECTOR, Matchers
from flags.admin import UnleashAdmin
from flags.fleet import fleet
from flags.promote import Promoter
from flags.rollout.advance import MakePromoter
from flags.rollout.look import Rollout
from flags.rollout.schema import DEFAULT_FILE, load_plan
from flags.settings import FlagsSettings


class RolloutSettings(FlagsSettings):
    """What the commands of the rollout plan need."""

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


class RolloutJobSettings(RolloutSettings):
    """What the job needs that repeats `advance`."""

    rollout_metrics_bind: str = Field(
        "", pattern=r"^(.+:\d{1,5})?$", description="address and port of the job's own /metrics; none without"
    )


def rollout_of(settings: RolloutSettings) -> Rollout:
    """The rollout that the settings mean. Raises ConfigError."""
    return Rollout(
        plan=load_plan(settings.rollout_plan).faster(settings.rollout_speed),
        admin=UnleashAdmin(
            settings.unleash_url,
            settings.unleash_admin_token,
            project=settings.unleash_project,
            environment=settings.unleash_environment,
        ),
        flag=settings.canary_flag,
        shadow_flag=settings.shadow_flag,
        prometheus=Prometheus(settings.prometheus_url.get_secret_value())
        if settings.prometheus_url
        else None,
        models=settings.models,
        selector=settings.selector,
    )


def promoter_of(settings: RolloutSettings, rollout: Rollout) -> MakePromoter | None:
    """What promotes the challenger; None where the settings do not say how."""
    if settings.models is None or settings.service_url is None or settings.admin_token is None:
        return None
    urls = [each.strip() for each in settings.service_url.split(",") if each.strip()]
    folder, token = settings.models, settings.admin_token
    return lambda: Promoter(ModelStore(folder), rollout.admin, rollout.flag, fleet(urls, token))


def required_promoter(settings: RolloutSettings, rollout: Rollout) -> Promoter:
    """The same. Raises ConfigError where the settings do not say how."""
    make = promoter_of(settings, rollout)
    if make is None:
        raise ConfigError(
            "to change the roles of models set CANARIO_MODELS, CANARIO_SERVICE_URL and CANARIO_ADMIN_TOKEN"
        )
    return make()
