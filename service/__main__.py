"""`python -m service`: check everything, then serve."""

import os
import sys
from pathlib import Path

import click

from common.config import load_settings
from common.errors import CanarioError
from common.options import ServerCommand, start
from service.models.artifact import Artifact, ArtifactError
from service.settings import Settings

CONFIG = Path(__file__).with_name("gunicorn_conf.py")


@click.command(cls=ServerCommand, settings=Settings)
@click.option(
    "--check",
    is_flag=True,
    help="Only check settings and models, start the challenger once, and say what would be served.",
)
def main(check: bool) -> None:
    """Serve predictions under gunicorn.

    Settings and models are checked first. A fault is one sentence, and exit code 2 with --check or where
    there is no champion to serve; else the service starts without what is damaged. What is served stands on
    standard output; standard error is the log, a JSON object a line.
    """
    from service.models.load import load_or_last_good  # noqa: PLC0415 - see _try

    try:
        settings = load_settings(Settings)
        models, refused = load_or_last_good(settings)
        if refused and check:
            raise ArtifactError(refused)
        if models.challenger and check:
            _try(settings, models.challenger)
    except CanarioError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(2)
    if refused:
        click.echo(f"error: {refused}", err=True)
        click.echo("the service starts with what it has:", err=True)
    for role, metadata in models.metadata.items():
        click.echo(f"{role}: {metadata.name} {metadata.version}")
    if not models.challenger:
        click.echo("challenger: none")
    if check:
        return
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-m", "gunicorn", "-c", str(CONFIG)])  # noqa: S606


def _try(settings: Settings, challenger: Artifact) -> None:
    """Start the challenger's process as a worker would, within its limits. Raises ArtifactError."""
    from service.models.lineup import worker_of  # noqa: PLC0415 - `--help` should not wait for ONNX

    worker = worker_of(settings, challenger)
    worker.start(lambda: False)
    trouble = worker.trouble
    worker.close()
    if trouble:
        raise ArtifactError(f"{challenger.folder}: {trouble}")


if __name__ == "__main__":
    start(main, "service")
