"""What the commands of `python -m flags` have in common: exit codes, options, and how a failure is told."""

import json
import os
import re
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, Final

import click

from common.config import ConfigError, load_settings
from common.errors import CanarioError
from common.model_store import ModelStore
from common.options import Parsed
from common.release import ReleaseError
from flags import report
from flags.admin import UnleashAdmin
from flags.canary import CanaryState
from flags.desired import DEFAULT_FILE, NAME
from flags.errors import AdminError, FlagError
from flags.quarantine import deployed, label
from flags.settings import FlagsSettings

EXIT_CONFIG: Final = 2
EXIT_UNLEASH: Final = 3
EXIT_FLAG: Final = 4
EXIT_MODELS: Final = 5
EXIT_DUE: Final = 10


class Cli(click.Group):
    """Tells an expected failure by its own sentences and the exit code of its family."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except CanarioError as error:
            for line in str(error).splitlines():
                click.echo(f"error: {line}", err=True)
            codes = {ConfigError: EXIT_CONFIG, AdminError: EXIT_UNLEASH, FlagError: EXIT_FLAG}
            codes[ReleaseError] = EXIT_MODELS
            return ctx.exit(next((code for kind, code in codes.items() if isinstance(error, kind)), 1))


def _flag_name(text: str) -> str:
    if not re.fullmatch(NAME, text):
        raise ValueError("a flag's name has letters, digits and . _ ~ - only")
    return text


def _reason(text: str) -> str:
    if len(text.strip()) < 2:
        raise ValueError("give a reason of two letters at least: the event log of Unleash keeps it")
    return text


FLAG_NAME: Final = Parsed("name", _flag_name)
REASON: Final = Parsed("reason", _reason)

FILE = click.option(
    "--file",
    type=click.Path(path_type=Path),
    default=DEFAULT_FILE,
    help="Desired flags; the default is the flags.yaml of this package.",
)
FORCE = click.option(
    "--force-share",
    is_flag=True,
    help="Set shares and switches to what the file says, even where a person set them.",
)
AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
OVERRIDE = click.option(
    "--override", type=REASON, help="Why a version in quarantine is given to users all the same, this once."
)
WHY = click.option("--reason", type=REASON, required=True, help="Why; Unleash's event log keeps 50 letters.")


def with_settings(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of the server, and the admin client and settings they make."""

    @click.option("--url", help="Unleash, instead of CANARIO_UNLEASH_URL.")
    @click.option("--project", help="Instead of CANARIO_UNLEASH_PROJECT.")
    @click.option("--environment", help="Instead of CANARIO_UNLEASH_ENVIRONMENT.")
    @wraps(command)
    def wrapped(url: str | None, project: str | None, environment: str | None, **rest: Any) -> None:
        given = {"URL": url, "PROJECT": project, "ENVIRONMENT": environment}
        told = {f"CANARIO_UNLEASH_{name}": value for name, value in given.items() if value is not None}
        settings = load_settings(FlagsSettings, {**os.environ, **told})
        admin = UnleashAdmin(
            settings.unleash_url,
            settings.unleash_admin_token,
            project=settings.unleash_project,
            environment=settings.unleash_environment,
        )
        command(admin, settings, **rest)

    return wrapped


def with_admin(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of the server, and the admin client they make."""

    @with_settings
    @wraps(command)
    def wrapped(admin: UnleashAdmin, _: FlagsSettings, **rest: Any) -> None:
        command(admin, **rest)

    return wrapped


def changing(command: Callable[..., tuple[CanaryState, bool]]) -> Callable[..., None]:
    """Give a command admin, settings and a flag's NAME; tell the state that it returns, as asked or not."""

    @click.argument("name", type=FLAG_NAME)
    @with_settings
    @AS_JSON
    @wraps(command)
    def wrapped(*args: Any, as_json: bool, **rest: Any) -> None:
        state, done = command(*args, **rest)
        click.echo(json.dumps(state.as_json(), indent=2) if as_json else report.sentence(state))
        for line in report.remarks(state):  # users may have another model than this sounds like
            click.echo(f"! {line}", err=True)
        if not done:
            raise FlagError(f"{state.flag} is not as it was just set: somebody changed it at the same time")

    return wrapped


def version_of(settings: FlagsSettings) -> str | None:
    """The deployed challenger, None where the settings do not say. Raises ConfigError."""
    if settings.models:
        challenger = ModelStore(settings.models).read().roles.challenger
        return label(challenger.version, challenger.sha256) if challenger else None
    return deployed(settings.challenger) if settings.challenger else None
