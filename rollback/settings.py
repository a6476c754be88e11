"""Settings of the job, from CANARIO_* variables or the files that CANARIO_*_FILE name."""

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr

from common.address import UnleashUrl
from common.config import StrictModel


def _check_prometheus(url: SecretStr) -> SecretStr:
    """An address, perhaps with user and password or a path prefix. Its value is never told."""
    text = url.get_secret_value().strip().rstrip("/")
    parts = urlsplit(text)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("is no address like http://127.0.0.1:9090")
    if parts.query or parts.fragment:
        raise ValueError("ends in ? or #")
    if parts.path.endswith("/api/v1"):
        raise ValueError("ends in /api/v1: give the address of the server, as in http://127.0.0.1:9090")
    return SecretStr(text)


PrometheusUrl = Annotated[SecretStr, AfterValidator(_check_prometheus)]


class RollbackSettings(StrictModel):
    """What `python -m rollback` needs."""

    unleash_url: UnleashUrl = Field(description="where Unleash lies, without /api")
    unleash_admin_token: SecretStr = Field(
        description="personal access token (user:...) of the job's own user"
    )
    unleash_project: str = Field("default", min_length=1, description="project that holds the flag")
    unleash_environment: str = Field("production", min_length=1, description="environment to turn off")
    prometheus_url: PrometheusUrl = Field(description="where Prometheus lies; it may hold a password")
    canary_flag: str = Field("canary", min_length=1, description="flag that gives users the challenger")
