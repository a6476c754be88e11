"""Settings of the job, from CANARIO_* variables or the files that CANARIO_*_FILE name."""

from datetime import timedelta
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field, SecretStr

from common.address import PrometheusUrl, UnleashUrl
from common.config import Followed, StrictModel
from common.durations import Duration
from common.selector import DEFAULT, SELECTOR, Matchers
from flags.settings import LeaseLength
from rollback.notify import open_channels


def _check_addresses(text: SecretStr) -> SecretStr:
    open_channels(text)
    return text


class DecisionSettings(StrictModel):
    """Where decisions are kept; all that `python -m rollback explain` needs."""

    decisions_dir: Path | None = Field(None, description="folder of the decisions log; none is kept without")
    decisions_megabytes: int = Field(
        256, ge=1, description="what routine decisions may fill it to; rollbacks are kept"
    )


class PrometheusSettings(StrictModel):
    """All that `python -m rollback backtest` needs."""

    prometheus_url: PrometheusUrl = Field(description="where Prometheus lies; it may hold a password")
    selector: Matchers = Field(DEFAULT, description=SELECTOR)


class RollbackSettings(DecisionSettings):
    """What `python -m rollback` needs."""

    unleash_url: UnleashUrl = Field(description="where Unleash lies, without /api")
    unleash_admin_token: Followed = Field(
        description="personal access token (user:...) of the job's own user"
    )
    unleash_project: str = Field("default", min_length=1, description="project that holds the flag")
    unleash_environment: str = Field("production", min_length=1, description="environment to turn off")
    prometheus_url: PrometheusUrl = Field(description="where Prometheus lies; it may hold a password")
    selector: Matchers = Field(DEFAULT, description=SELECTOR)
    canary_flag: str = Field("canary", min_length=1, description="flag that gives users the challenger")
    models: Path | None = Field(
        None, description="models folder with roles.json, to know which version is rolled back"
    )
    lease: LeaseLength = Field(
        timedelta(minutes=15), description="how long users have the challenger without a renewal, or off"
    )
    lease_every: Duration = Field(
        timedelta(minutes=5), description="how much of that may be used up before the job renews it"
    )
    stop_limit: Duration = Field(
        timedelta(minutes=1), description="how long the challenger may go on after the flag is off"
    )
    notify_urls: Annotated[SecretStr, AfterValidator(_check_addresses)] = Field(
        SecretStr(""),
        description="whom to tell of rollbacks, as Apprise writes it; several by spaces or lines",
    )
    rollback_metrics_bind: str = Field(
        "", pattern=r"^(.+:\d{1,5})?$", description="address and port of the job's own /metrics; none without"
    )
