"""What the commands of this package share: reading guardrails and environment."""

from pathlib import Path

from common.config import ConfigError, load_settings
from flags.admin import UnleashAdmin
from rollback.guardrails import Policy, load_policy
from rollback.settings import RollbackSettings


def configure(file: Path) -> tuple[Policy, RollbackSettings, UnleashAdmin]:
    """Read guardrails and environment. Raises ConfigError with the faults of both."""
    faults = []
    try:
        policy = load_policy(file)
    except ConfigError as error:
        faults.append(str(error))
    try:
        settings = load_settings(RollbackSettings)
        admin = UnleashAdmin(
            settings.unleash_url,
            settings.unleash_admin_token,
            project=settings.unleash_project,
            environment=settings.unleash_environment,
        )
    except ConfigError as error:
        faults.append(str(error))
    if faults:
        raise ConfigError("\n".join(faults))
    return policy, settings, admin
