"""Settings of the flags command line, from CANARIO_* variables or files that CANARIO_*_FILE name."""

from pathlib import Path

from pydantic import Field, SecretStr

from common.address import UnleashUrl
from common.config import StrictModel


class FlagsSettings(StrictModel):
    """What every command of `python -m flags` but `bootstrap` needs."""

    unleash_url: UnleashUrl = Field(description="where Unleash lies, without /api")
    unleash_admin_token: SecretStr = Field(
        description="personal access token (user:...) of this process' user"
    )
    unleash_project: str = Field("default", min_length=1, description="project that holds the flags")
    unleash_environment: str = Field("production", min_length=1, description="environment to act on")


class BootstrapSettings(StrictModel):
    """What `python -m flags bootstrap` needs. The password may be absent while all tokens work."""

    unleash_url: UnleashUrl = Field(description="where Unleash lies, without /api")
    unleash_admin_user: str = Field("admin", min_length=1, description="user with the root role Admin")
    unleash_admin_password: SecretStr | None = Field(None, description="its password")
    unleash_project: str = Field("default", min_length=1, description="project that holds the flags")
    unleash_environment: str = Field("production", min_length=1, description="environment to act on")


class ModelsFolder(StrictModel):
    """Where champion and challenger are named."""

    models: Path = Field(description="models folder with roles.json, which the service follows")
