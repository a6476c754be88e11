"""Settings of the flags command line, from CANARIO_* variables or files that CANARIO_*_FILE name."""

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr

from common.config import StrictModel


def _server(url: str) -> str:
    """An address of a server as Unleash's clients want it. Values are not told: one may hold a password."""
    parts = urlsplit(url.strip())
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("is no address like http://127.0.0.1:4242")
    if parts.username or parts.password:
        raise ValueError("holds a user name; a token goes into CANARIO_UNLEASH_ADMIN_TOKEN")
    if parts.query or parts.fragment:
        raise ValueError("ends in ? or #")
    if parts.path.rstrip("/").endswith("/api"):
        raise ValueError("ends in /api: give the address of the server, as in http://127.0.0.1:4242")
    return url.strip().rstrip("/")


ServerUrl = Annotated[str, AfterValidator(_server)]


class FlagsSettings(StrictModel):
    """What every command of `python -m flags` but `bootstrap` needs."""

    unleash_url: ServerUrl = Field(description="where Unleash lies, without /api")
    unleash_admin_token: SecretStr = Field(
        description="personal access token (user:...) of this process' user"
    )
    unleash_project: str = Field("default", min_length=1, description="project that holds the flags")
    unleash_environment: str = Field("production", min_length=1, description="environment to act on")


class BootstrapSettings(StrictModel):
    """What `python -m flags bootstrap` needs. The password may be absent while all tokens work."""

    unleash_url: ServerUrl = Field(description="where Unleash lies, without /api")
    unleash_admin_user: str = Field("admin", min_length=1, description="user with the root role Admin")
    unleash_admin_password: SecretStr | None = Field(None, description="its password")
    unleash_project: str = Field("default", min_length=1, description="project that holds the flags")
    unleash_environment: str = Field("production", min_length=1, description="environment to act on")
