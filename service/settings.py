"""Settings of the service: environment variables `CANARIO_...`, validated whole at start."""

from pathlib import Path
from typing import Annotated

from pydantic import Field, SecretStr

from common.config import StrictModel

Seconds = Annotated[float, Field(gt=0, le=60)]
HttpUrl = Annotated[str, Field(pattern=r"^https?://[^\s/]+")]


class Settings(StrictModel):
    """Each field is the variable `CANARIO_<FIELD>`; every one may be given as `CANARIO_<FIELD>_FILE`."""

    champion: Path = Field(description="Artifact folder of the champion.")
    challenger: Path | None = Field(
        None, description="Artifact folder of the challenger; without it, no canary."
    )
    unleash_url: HttpUrl = Field(description="Unleash server, without /api.")
    unleash_sdk_token: SecretStr = Field(description="Backend token; decides project and environment.")
    unleash_project: str = Field("default", description="Project of the flags, for the admin routes.")
    unleash_environment: str = Field(
        "production", description="Environment of the flags, for the admin routes."
    )
    unleash_admin_token: SecretStr | None = Field(
        None, description="Personal access token of the service's Unleash user, for the admin routes."
    )
    admin_token: SecretStr | None = Field(
        None, min_length=16, description="Bearer token of /admin; without it the admin routes are off."
    )
    admin_calls_per_minute: int = Field(
        60, ge=1, description="Calls of /admin that one address may make of each worker."
    )
    canary_flag: str = Field("canary", min_length=1, description="Flag that decides who gets the challenger.")
    state_dir: Path = Field(
        Path(".canario/service"), description="Folder for the last known flags and metrics."
    )
    refresh_seconds: int = Field(
        1, ge=1, le=60, description="Interval at which each worker asks Unleash for flags."
    )
    bind: str = Field("127.0.0.1:8000", pattern=r".+:\d+$", description="Address and port to listen on.")
    workers: int = Field(2, ge=1, le=64, description="Worker processes.")
    threads: int = Field(8, ge=2, le=256, description="Threads of each worker.")
    guest_deadline_seconds: Seconds = Field(
        0.25, description="How long a user waits for the challenger before the champion answers instead."
    )
    guest_hang_seconds: Seconds = Field(
        5.0, description="How long a reply of the challenger may be owed before its process is ended."
    )
    guest_memory_mb: int = Field(1024, ge=128, description="Memory of the challenger's process, in MiB.")
    guest_concurrency: int = Field(
        4, ge=1, description="Calls of the challenger in flight per worker, at most."
    )
    max_body_bytes: int = Field(
        65_536, ge=1024, description="Largest request body; a larger one is answered 413."
    )
    drill_file: Path | None = Field(
        None,
        description="File that switches faults of the challenger on, for drills; unset: no faults possible.",
    )
