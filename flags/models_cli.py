"""`python -m flags models`: who is champion and challenger, promote, and the way back."""

import getpass
import json
import os
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, Final

import click
from pydantic import Field, SecretStr

from common.config import load_settings
from common.model_store import ModelStore
from common.release import Note, Release
from flags.admin import UnleashAdmin
from flags.fleet import fleet
from flags.promote import PATIENCE_SECONDS, Done, Promoter
from flags.settings import FlagsSettings, ModelsFolder

KEPT: Final = 5
FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
REASON = click.option("--reason", default="", help="Why, for whoever reads the history.")


class ModelsSettings(ModelsFolder, FlagsSettings):
    """What changing the roles of models needs."""

    canary_flag: str = Field("canary", min_length=1, description="flag that decides who gets the challenger")
    service_url: str = Field(
        description="the service, or several with commas between; dns+http://HOST:PORT: every address there"
    )
    admin_token: SecretStr = Field(description="bearer token of the service's admin routes")


def _promoter(command: Callable[..., Done]) -> Callable[..., None]:
    """Give a command its promoter and a note, and tell what it returns."""

    @click.option("--json", "as_json", is_flag=True, help="Print JSON.")
    @click.option(
        "--wait",
        type=click.FloatRange(0, min_open=True),
        default=PATIENCE_SECONDS,
        show_default=True,
        help="Seconds for every worker to serve the models.",
    )
    @REASON
    @wraps(command)
    def wrapped(*args: Any, as_json: bool, wait: float, reason: str, **rest: Any) -> None:
        settings = load_settings(ModelsSettings)
        admin = UnleashAdmin(
            settings.unleash_url,
            settings.unleash_admin_token,
            project=settings.unleash_project,
            environment=settings.unleash_environment,
        )
        urls = [each.strip() for each in settings.service_url.split(",") if each.strip()]
        asked = fleet(urls, settings.admin_token)
        promoter = Promoter(ModelStore(settings.models), admin, settings.canary_flag, asked, wait)
        _tell(command(promoter, Note(_who(), reason), *args, **rest), as_json)

    return wrapped


@click.group("models")
def models() -> None:
    """Champion and challenger of the models folder CANARIO_MODELS, which the service follows while it runs.

    CANARIO_SERVICE_URL and CANARIO_ADMIN_TOKEN tell where it runs: a change counts when every worker serves
    it, and is undone when one refuses.
    """


@models.command("init")
@click.option("--champion", type=FOLDER, required=True, help="Artifact folder; it is copied in.")
@click.option("--challenger", type=FOLDER, help="The same.")
def init_(champion: Path, challenger: Path | None) -> None:
    """Make the models folder with its first models; does nothing where there are some already."""
    store = ModelStore(load_settings(ModelsFolder).models)
    _show(store.install(champion, challenger, Note(_who())), as_json=False)


@models.command("show")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def show_(as_json: bool) -> None:
    """Show who has which role, and the last changes."""
    _show(ModelStore(load_settings(ModelsFolder).models).read(), as_json)


@models.command("challenger")
@click.argument("folder", type=FOLDER, required=False)
@click.option("--none", is_flag=True, help="There is to be no challenger.")
@_promoter
def challenger_(promoter: Promoter, note: Note, folder: Path | None, none: bool) -> Done:
    """Make the model in the artifact folder FOLDER the challenger, while the flag is at 0%."""
    if (folder is None) is not none:
        raise click.UsageError("name a folder, or say --none")
    return promoter.challenge(folder, note)


@models.command("promote")
@click.option("--any-share", is_flag=True, help="Also while the challenger has less than 100%, or is off.")
@_promoter
def promote_(promoter: Promoter, note: Note, any_share: bool) -> Done:
    """Make the challenger the champion, set the flag to 0%, and keep the old champion for `back`.

    No request fails, and no user gets the old champion again. Run it again when it was cut off.
    """
    return promoter.promote(note, expect=None if any_share else 100)


@models.command("back")
@_promoter
def back_(promoter: Promoter, note: Note) -> Done:
    """Make the champion before the last promotion the champion again, at once."""
    return promoter.back(note)


@models.command("prune")
@click.option(
    "--keep",
    type=click.IntRange(0),
    default=KEPT,
    show_default=True,
    help="Models without a role that stay, those that were used last.",
)
@click.option("--dry-run", is_flag=True, help="Only say what would go.")
def prune_(keep: int, dry_run: bool) -> None:
    """Remove the folders of models that nobody needs any more.

    Champion, challenger and the way back always stay; the others that are kept are for a second thought.
    """
    removed = ModelStore(load_settings(ModelsFolder).models).prune(keep, dry_run=dry_run)
    for folder in removed:
        click.echo(f"{'would remove' if dry_run else 'removed'} {folder.name}")
    if not removed:
        click.echo("nothing to remove")


def _who() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a user without a name, in a container
        return f"user {os.getuid()}"


def _tell(done: Done, as_json: bool) -> None:
    _show(done.release, as_json)
    if not as_json:
        click.echo(f"every worker serves this, after {done.seconds:.1f} s")
        if done.state:
            click.echo(f"the flag {done.state.flag}: {done.state.percent}%")


def _show(release: Release, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(release.model_dump(mode="json"), indent=2))
        return
    roles = release.roles
    click.echo(f"champion    {roles.champion}")
    click.echo(f"challenger  {roles.challenger or 'none'}")
    click.echo(f"previous    {roles.previous or 'none'}")
    last = release.last
    why = f": {last.reason}" if last.reason else ""
    click.echo(f"revision {release.revision}, {last.kind} {last.time:%Y-%m-%d %H:%M:%S} by {last.by}{why}")
    if not roles.settled:
        click.echo("not finished: the flag has not been seen at 0% since; run the same command again")
