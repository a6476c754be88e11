"""Settings of the flags command line, from CANARIO_* variables or files that CANARIO_*_FILE name."""

from datetime import timedelta
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr
from pydantic_core import PydanticCustomError

from common.config import Followed, StrictModel, UnleashUrl
from common.durations import parse_duration
from flags.unleash.admin import STICKY


def read_lease(text: object) -> timedelta | None:
    """A duration, or None for `off`. Raises ValueError."""
    return None if text in ("off", None) else parse_duration(text)


def _page(address: str) -> str:
    if not address.startswith(("http://", "https://")) or any(one.isspace() for one in address):
        raise PydanticCustomError("page", "is no address of a page, like https://wiki.example/runbook")
    return address


LeaseLength = Annotated[timedelta | None, BeforeValidator(read_lease)]
Page = Annotated[str, AfterValidator(_page)]


class FlagsSettings(StrictModel):
    """What every command of `python -m flags` but `bootstrap` needs."""

    unleash_url: UnleashUrl = Field(description="where Unleash lies, without /api")
    unleash_admin_token: Followed = Field(
        description="personal access token (user:...) of this process' user"
    )
    unleash_project: str = Field("default", min_length=1, description="project that holds the flags")
    unleash_environment: str = Field("production", min_length=1, description="environment to act on")
    stickiness: str = Field(STICKY, min_length=1, description="by what the flag must draw its share")
    lease: LeaseLength = Field(
        timedelta(minutes=15), description="how long the challenger is given without a renewal, or off"
    )
    models: Path | None = Field(None, description="models folder with roles.json, to know who is challenger")
    challenger: Path | None = Field(
        None, description="without it, folder of the challenger, to know a rolled back version"
    )
    runbook_url: Page | None = Field(None, description="page that the flags' pages link to as Runbook")
    board_url: Page | None = Field(None, description="page that the flags' pages link to as Dashboard")


class BootstrapSettings(StrictModel):
    """What `./canario bootstrap` needs. The password may be absent while all tokens work."""

    unleash_url: UnleashUrl = Field(description="where Unleash lies, without /api")
    unleash_admin_user: str = Field("admin", min_length=1, description="user with the root role Admin")
    unleash_admin_password: SecretStr | None = Field(None, description="its password")
    unleash_project: str = Field("default", min_length=1, description="project that holds the flags")
    unleash_environment: str = Field("production", min_length=1, description="environment to act on")


class MovesAlias(StrictModel):
    """What a promotion does beside the promotion."""

    mlflow_alias: str = Field(
        "",
        max_length=255,
        description="alias of MLflow that a promotion moves to the new champion, as champion; empty: none",
    )


class ModelsFolder(StrictModel):
    """Where champion and challenger are named."""

    models: Path = Field(description="models folder with roles.json, which the service follows")
