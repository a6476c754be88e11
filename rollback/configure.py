"""What the commands of this package share: reading guardrails and environment, and options of their kind."""

from datetime import timedelta
from pathlib import Path

import click

from common.config import ConfigError, load_settings
from flags.admin import UnleashAdmin
from rollback.durations import parse_duration
from rollback.guardrails import Policy, load_policy
from rollback.settings import RollbackSettings


class DurationType(click.ParamType[timedelta]):
    """An option that takes 15s, 5m or 1h30m."""

    name = "duration"

    def convert(
        self, value: str | timedelta, param: click.Parameter | None, ctx: click.Context | None
    ) -> timedelta:
        if isinstance(value, timedelta):
            return value
        try:
            return parse_duration(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


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
