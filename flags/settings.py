"""Settings of the flags command line, from CANARIO_* variables or files that CANARIO_*_FILE name."""

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr
from pydantic_core import PydanticCustomError

from common.config import StrictModel


def _server(url: str) -> str:
    """The address of a server, without a slash at its end. Values are not told: one may hold a password."""
    parts = urlsplit(url.strip())
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.port == 0:
        raise _fault("is no address like http://127.0.0.1:4242")
    if parts.username or parts.password:
        raise _fault("holds a user name: give the address alone, and the token by its own setting")
    if parts.query or parts.fragment:
        raise _fault("ends in ? or #: give the address alone")
    if parts.path.rstrip("/").endswith("/api"):
        raise _fault("ends in /api: give the address of the server, as in http://127.0.0.1:4242")
    return url.strip().rstrip("/")


def _fault(text: str) -> PydanticCustomError:
    return PydanticCustomError("address", text)


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
