"""`./canario models`: who is champion and challenger, promote, and the way back."""

import json
import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import wraps
from pathlib import Path
from typing import Any, Final

import click
from pydantic import Field, SecretStr

from common.config import load_settings
from common.model_store import ModelStore
from common.options import SettingsGroup
from common.release import Note, Release
from flags.cli.group import ANY_SHARE, AS_JSON, FOR_HISTORY, note
from flags.mlflow_registry import Export, RegistryError
from flags.promotion.fleet import fleet
from flags.promotion.promote import PATIENCE_SECONDS, Done, Promoter
from flags.registry import Fetched, fetched
from flags.settings import FlagsSettings, ModelsFolder, MovesAlias
from flags.unleash.admin import admin_from

Fetch = Callable[[str], AbstractContextManager[Fetched]]

KEPT: Final = 5
FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)


class ModelsSettings(ModelsFolder, MovesAlias, FlagsSettings):
    """What changing the roles of models needs."""

    canary_flag: str = Field("canary", min_length=1, description="flag that decides who gets the challenger")
    service_url: str = Field(
        description="the service, or several with commas between; dns+http://HOST:PORT: every address there"
    )
    admin_token: SecretStr = Field(description="bearer token of the service's admin routes")


def _promoter(command: Callable[..., Done]) -> Callable[..., None]:
    """Give a command its promoter and a note, and tell what it returns."""

    @AS_JSON
    @click.option(
        "--wait",
        type=click.FloatRange(0, min_open=True),
        default=PATIENCE_SECONDS,
        show_default=True,
        help="Seconds for every worker to serve the models.",
    )
    @FOR_HISTORY
    @wraps(command)
    def wrapped(*args: Any, as_json: bool, wait: float, reason: str, **rest: Any) -> None:
        settings = load_settings(ModelsSettings)
        store, asked = ModelStore(settings.models), fleet(settings.service_url, settings.admin_token)
        promoter = Promoter(
            store, admin_from(settings), settings.canary_flag, asked, wait, settings.mlflow_alias
        )
        _tell(command(promoter, note(reason), *args, **rest), as_json)

    return wrapped


@click.group("models", cls=SettingsGroup, settings=ModelsSettings, beside=FlagsSettings)
def models() -> None:
    """Champion and challenger of the models folder CANARIO_MODELS, which the service follows while it runs.

    CANARIO_SERVICE_URL and CANARIO_ADMIN_TOKEN tell where it runs: a change counts when every worker serves
    it, and is undone when one refuses.
    """


@models.command("init")
@click.option("--champion", type=FOLDER, required=True, help="Artifact folder; it is copied in.")
@click.option("--challenger", type=FOLDER, help="The same.")
def init_(champion: Path, challenger: Path | None) -> None:
    """Make the models folder with its first models; where there are some, it says so and changes none."""
    store = ModelStore(load_settings(ModelsFolder).models)
    if store.roles_file.exists():
        click.echo(
            f"{store.folder} has models already, and nothing was changed: another model comes by "
            "`./canario models challenger FOLDER`, and becomes the champion by `promote`",
            err=True,
        )
    _show(store.install(champion, challenger, note()), as_json=False)


@models.command("show")
@AS_JSON
def show_(as_json: bool) -> None:
    """Show who has which role, and the last changes."""
    _show(ModelStore(load_settings(ModelsFolder).models).read(), as_json)


def _source(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command what `fetched` takes beside the source."""

    @click.option("--sha256", help="Of the archive at an address.")
    @click.option(
        "--like",
        type=FOLDER,
        help="Model folder of the same features and classes, for MLflow's flavour onnx.",
    )
    @click.option(
        "--rows",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        help="Held-out rows as .parquet or .csv, to export MLflow's flavours sklearn, xgboost and lightgbm.",
    )
    @click.option(
        "--unpickle",
        is_flag=True,
        help="It may be a pickle, which is code that runs here. Only from people whom you trust.",
    )
    @click.option(
        "--python",
        default="",
        help="Python that has what the model was trained with, for that export; without it this one.",
    )
    @wraps(command)
    def wrapped(
        *args: Any,
        sha256: str | None,
        like: Path | None,
        rows: Path | None,
        unpickle: bool,
        python: str,
        **rest: Any,
    ) -> Any:
        def fetch(source: str) -> AbstractContextManager[Fetched]:
            return fetched(source, sha256=sha256, like=like, export=Export(rows, unpickle, python))

        return command(*args, fetch=fetch, **rest)

    return wrapped


@models.command("challenger")
@click.argument("source", required=False)
@_source
@click.option("--none", is_flag=True, help="There is to be no challenger.")
@_promoter
def challenger_(promoter: Promoter, note: Note, source: str | None, none: bool, fetch: Fetch) -> Done:
    """Make the model at SOURCE the challenger, while the flag is at 0%.

    SOURCE is a model folder; the https address of an archive of one, with --sha256; or
    mlflow:models:/NAME@ALIAS, of which the version that the alias means now is taken for good.
    """
    if (source is None) is not none:
        raise click.UsageError("name a folder or another source, or say --none")
    if source is None:
        return promoter.challenge(None, note)
    with fetch(source) as found:
        reason = "; ".join(filter(None, (note.reason, found.origin)))
        return promoter.challenge(found.folder, note._replace(reason=reason))


@models.command("fetch")
@click.argument("source")
@_source
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder to make.")
def fetch_(source: str, fetch: Fetch, out: Path) -> None:
    """Bring the model at SOURCE into a folder, and give it no role. SOURCE is as of `challenger`."""
    with fetch(source) as found:
        try:
            shutil.copytree(found.folder, out)
        except OSError as error:
            raise RegistryError(f"{out}: cannot be made: {error}") from error
    click.echo(f"{out}: {found.origin or source}")


@models.command("promote")
@ANY_SHARE
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


def _tell(done: Done, as_json: bool) -> None:
    _show(done.release, as_json)
    if not as_json:
        click.echo(f"every worker serves this, after {done.seconds:.1f} s")
        if done.state:
            click.echo(f"the flag {done.state.flag}: {done.state.percent}%")
        if done.alias:
            click.echo(done.alias)


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
