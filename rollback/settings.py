"""Settings of the job, from CANARIO_* variables or the files that CANARIO_*_FILE name."""

from datetime import timedelta
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field, SecretStr

from common.config import Followed, PrometheusUrl, StrictModel, UnleashUrl
from common.durations import Duration
from common.rollouts import FOLDER
from common.selector import DEFAULT, SELECTOR, Matchers
from flags.settings import LeaseLength
from flags.unleash.admin import STICKY
from rollback.notify import open_channels


def _check_addresses(text: SecretStr) -> SecretStr:
    open_channels(text)
    return text


class RolloutChoice(StrictModel):
    """Which rollout a command is about."""

    rollouts: Path = Field(FOLDER, description="folder of rollouts, each NAME/rollout.yaml")
    rollout: str | None = Field(None, description="which of them, for commands about one; or --rollout NAME")


class DecisionSettings(RolloutChoice):
    """Where decisions are kept; all that `./canario explain` needs."""

    decisions_dir: Path | None = Field(None, description="folder of the decisions log; none is kept without")
    decisions_megabytes: int = Field(
        256, ge=1, description="what routine decisions may fill it to; rollbacks are kept"
    )


def decisions_of(folder: Path | None, rollout: tuple[str, bool]) -> Path | None:
    """Where the decisions of a rollout are kept: in the folder where it is alone, else in one of its own."""
    name, is_alone = rollout
    return folder if folder is None or is_alone else folder / name


class PrometheusSettings(RolloutChoice):
    """All that `./canario backtest` needs."""

    prometheus_url: PrometheusUrl = Field(description="where Prometheus lies; it may hold a password")
    selector: Matchers = Field(DEFAULT, description=SELECTOR)


class JobSettings(StrictModel):
    """What is of the process, and of no rollout."""

    rollouts: Path = Field(FOLDER, description="folder of rollouts, each NAME/rollout.yaml")
    rollback_metrics_bind: str = Field(
        "", pattern=r"^(.+:\d{1,5})?$", description="address and port of the job's own /metrics; none without"
    )


class RollbackSettings(DecisionSettings, JobSettings):
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
    stickiness: str = Field(STICKY, min_length=1, description="by what the flag must draw its share")
    models: Path | None = Field(
        None, description="models folder with roles.json, to know which version is rolled back"
    )
    lease: LeaseLength = Field(
        timedelta(minutes=15),
        description="safety timeout (lease): how long users have the challenger without a renewal, or off",
    )
    lease_every: Duration = Field(
        timedelta(minutes=5), description="how much of that may be used up before the job renews it"
    )
    stop_limit: Duration = Field(
        timedelta(minutes=1), description="how long the challenger may go on after the flag is off"
    )
    prediction_log: Path | None = Field(
        None, description="folder of the prediction log, for example traces in rollbacks; none without"
    )
    notify_urls: Annotated[SecretStr, AfterValidator(_check_addresses)] = Field(
        SecretStr(""),
        description="whom to tell of rollbacks, as Apprise writes it; several by spaces or lines",
    )
