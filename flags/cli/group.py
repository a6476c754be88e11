"""What the commands of `python -m flags` have in common: exit codes, options, and what wraps a command."""

import getpass
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
from common.release import Note, ReleaseError
from common.rollouts import environment_of
from flags.canary import marks
from flags.canary.marks import deployed, label
from flags.canary.snapshot import take
from flags.canary.state import CanaryState, require_present
from flags.cli import tables
from flags.desired.file import DEFAULT_FILE, NAME
from flags.settings import FlagsSettings
from flags.unleash.admin import UnleashAdmin, admin_from
from flags.unleash.errors import AdminError, FlagError

EXIT_CONFIG: Final = 2
EXIT_UNLEASH: Final = 3
EXIT_FLAG: Final = 4
EXIT_MODELS: Final = 5
EXIT_DUE: Final = 10
EXIT_CODES: Final[dict[type[CanarioError], int]] = {
    ConfigError: EXIT_CONFIG,
    AdminError: EXIT_UNLEASH,
    FlagError: EXIT_FLAG,
    ReleaseError: EXIT_MODELS,
}


def _flag_name(text: str) -> str:
    if not re.fullmatch(NAME, text):
        raise ValueError("a flag's name has letters, digits and . _ ~ - only")
    return text


def _reason(text: str) -> str:
    if len(text.strip()) < 2:
        raise ValueError("give a reason of two letters at least: the event log of Unleash keeps it")
    return text


ROLLOUT: Final = click.option(
    "--rollout", "rollout_name", metavar="NAME", help="The rollout that is meant, where there are several."
)
PLAN_FILE: Final = click.option(
    "--plan", "file", type=click.Path(path_type=Path), help="Plan, instead of what the rollout's file says."
)


def said_by(file: Path | None) -> dict[str, str]:
    """What --plan says, as a variable."""
    return {"CANARIO_ROLLOUT_PLAN": str(file)} if file else {}


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
    "--override", type=REASON, help="Why a blocked version is given to users all the same, this once."
)
WHY = click.option("--reason", type=REASON, required=True, help="Why; Unleash's event log keeps 50 letters.")

FOR_HISTORY = click.option("--reason", default="", help="Why, for whoever reads the history.")
ANY_SHARE = click.option(
    "--any-share", is_flag=True, help="Also while the challenger has less than 100%, or is off."
)


def with_settings(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of the server, and the admin client and settings they make."""

    @click.option("--url", help="Unleash, instead of CANARIO_UNLEASH_URL.")
    @click.option("--project", help="Instead of CANARIO_UNLEASH_PROJECT.")
    @click.option("--environment", help="Instead of CANARIO_UNLEASH_ENVIRONMENT.")
    @wraps(command)
    def wrapped(url: str | None, project: str | None, environment: str | None, **rest: Any) -> None:
        given = {"URL": url, "PROJECT": project, "ENVIRONMENT": environment}
        told = {f"CANARIO_UNLEASH_{name}": value for name, value in given.items() if value is not None}
        flag = rest.get("name")
        where = environment_of(flag, "flags") if isinstance(flag, str) else os.environ
        settings = load_settings(FlagsSettings, {**where, **told})
        admin = admin_from(settings, stickiness=settings.stickiness)
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
        click.echo(json.dumps(state.as_json(), indent=2) if as_json else tables.sentence(state))
        for line in tables.remarks(state):  # users may have another model than this sounds like
            click.echo(f"! {line}", err=True)
        if not done:
            raise FlagError(f"{state.flag} is not as it was just set: somebody changed it at the same time")

    return wrapped


def note(reason: str = "") -> Note:
    """Who changes roles of models by this command, and why."""
    try:
        who = getpass.getuser()
    except (OSError, KeyError):  # a user without a name, in a container
        who = f"user {os.getuid()}"
    return Note(who, reason)


def let_go_on(admin: UnleashAdmin, flag: str, reason: str, *, after_pause: bool) -> None:
    """A person's word that automation may raise the share of `flag` again; `after_pause`: also out of one.

    Raises FlagMissing or FlagArchived: Unleash itself would say that the user may not. And AdminError.
    """
    require_flag(admin, flag)
    if after_pause:
        marks.unpause(admin, flag)
    marks.resume(admin, flag, reason)


def require_flag(admin: UnleashAdmin, flag: str) -> None:
    """Raises FlagMissing, FlagArchived and AdminError."""
    require_present(take(admin, flag))


def version_of(settings: FlagsSettings) -> str | None:
    """The deployed challenger, None where the settings do not say. Raises ConfigError."""
    if settings.models:
        challenger = ModelStore(settings.models).read().roles.challenger
        return label(challenger.version, challenger.sha256) if challenger else None
    return deployed(settings.challenger) if settings.challenger else None
