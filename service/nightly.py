"""`python -m service.nightly`: one command for a job that trains each night; run it as often as you like.

It exports, compares with the champion on rows of yours as the shadow stage of the plan does, and makes the
model the challenger unless a rollout is under way. One sentence and the exit code say what it did.
"""

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn

import click
import numpy as np

from common.config import load_settings
from common.errors import CanarioError
from common.figures import percent
from common.model_store import ModelStore
from common.terminal import guard_terminal
from flags.cli.group import note
from flags.cli.models import ModelsSettings
from flags.promotion.fleet import fleet
from flags.promotion.offer import Offer, Outcome, offer
from flags.promotion.promote import Promoter
from flags.rollout.closeness import Closeness, of_closeness
from flags.rollout.schema import Stage, load_plan
from flags.unleash.admin import admin_from
from service.challenger.agreement import compare
from service.challenger.closeness import Closeness as Counting
from service.export import export
from service.export.ready import read_rows
from service.export.rows import load_source, plain_values
from service.models.artifact import Artifact, ArtifactError, load_artifact, require_same_interface
from service.models.interface import Interface
from service.models.onnx_model import OnnxModel, array_of


def differences(champion: Artifact, challenger: Artifact, rows: Any, rules: Stage) -> list[str]:
    """What keeps the challenger from the champion's users by the limits of the shadow stage; each a sentence.

    Args:
        rows: a DataFrame with the features of both.

    Raises:
        ArtifactError: the two do not go together, or the rows lack a feature.
    """
    require_same_interface(champion, challenger)
    form = Interface(champion.metadata, challenger.metadata)
    if missing := [name for name in form.metadata.names if name not in rows.columns]:
        raise ArtifactError(f"the rows have no column {missing[0]!r}")
    values = plain_values(rows[form.metadata.names])
    asked = array_of(values, form.metadata)
    theirs = form.of_challenger(asked)
    if theirs is None:
        raise ArtifactError("a row lacks a value that the challenger needs")
    ours, other = OnnxModel(champion), OnnxModel(challenger)
    whole = form.of_champion(asked)
    answers = [ours.answer(whole[at : at + 1]) for at in range(len(values))]
    numbers = other.numbers(theirs)
    compared = compare(np.ravel(numbers), answers, challenger.metadata)
    found = []
    agreed = float(compared.agree.mean())
    if rules.agreement is not None and agreed < rules.agreement:
        found.append(f"agreement: {percent(agreed)}, {percent(rules.agreement)} needed")
    counting = Counting(champion.metadata, challenger.metadata)
    table = numbers.reshape(len(values), -1)[
        :, 1 if challenger.metadata.classes else 0 : challenger.metadata.width
    ]
    users = [str(at) for at in range(len(values))]  # each row is somebody's
    seen = Closeness(*counting.count(users, answers, compared.chosen, table))
    found += [f"{one.name}: {one.sentence}" for one in of_closeness(rules, seen) if not one.holds]
    return found


def nightly(artifact: Artifact, rows: Any, plan: Path | None, *, supersede: bool, approve: bool) -> Offer:
    """Compare a model with the champion, and offer it. Raises CanarioError."""
    settings = load_settings(ModelsSettings)
    store, admin = ModelStore(settings.models), admin_from(settings)
    champion = load_artifact(store.path(store.read().roles.champion))
    rules = (load_plan(plan) if plan else load_plan()).shadow
    if rules is not None and champion.metadata.sha256 != artifact.metadata.sha256:
        far = differences(champion, artifact, rows, rules)
        if far:
            return Offer(Outcome.REFUSED, f"refused: {'; '.join(far)}")
    promoter = Promoter(store, admin, settings.canary_flag, fleet(settings.service_url, settings.admin_token))
    return offer(
        promoter,
        store,
        admin,
        settings.canary_flag,
        artifact.folder,
        note("nightly"),
        supersede=supersede,
        approve=approve,
    )


@click.command()
@click.argument("source", metavar="MODULE:FUNCTION|FOLDER")
@click.option("--name", help="Name of the model; not of a FOLDER.")
@click.option("--version", help="Its version; without it the time, as 2026-11-23T0215.")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), help="Where exports are kept.")
@click.option(
    "--rows",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    help="Rows as .parquet or .csv, with the features of both models, to compare them on.",
)
@click.option("--plan", type=click.Path(path_type=Path), help="The plan whose shadow stage has the limits.")
@click.option("--supersede", is_flag=True, help="Replace a challenger that no user has met yet.")
@click.option("--approve", is_flag=True, help="The plan may start with it, without a person's word.")
def main(  # noqa: PLR0913, PLR0917 - one parameter an option
    source: str,
    name: str | None,
    version: str | None,
    out: Path | None,
    rows: Path,
    plan: Path | None,
    supersede: bool,
    approve: bool,
) -> None:
    """Export a model (or take an exported FOLDER), compare it with the champion, and make it the challenger.

    A rollout under way is left alone. Needs the settings of `./canario models`.

    Exit codes: 0 started; 10 nothing new; 11 waits for the rollout that is under way; 12 refused, and it says
    why; 2 to 5 as of `python -m flags`; 1 your function raised.
    """
    try:
        table = read_rows(rows)
        if Path(source).is_dir():
            artifact = load_artifact(Path(source))
        else:
            artifact = _exported(source, name, version or f"{datetime.now(UTC):%Y-%m-%dT%H%M}", out)
        said = nightly(artifact, table, plan, supersede=supersede, approve=approve)
    except CanarioError as error:
        _fail(error)
    click.echo(said.sentence)
    sys.exit(said.outcome)


def _exported(source: str, name: str | None, version: str, out: Path | None) -> Artifact:
    if name is None or out is None:
        raise ArtifactError("give --name and --out for the export")
    model, rows = load_source(source)()
    return export(model, out / version, name=name, version=version, rows=rows)


def _fail(error: CanarioError) -> NoReturn:
    click.echo(f"error: {error}", err=True)
    sys.exit(2)


if __name__ == "__main__":
    guard_terminal()
    main()
