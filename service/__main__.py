"""`python -m service`: check everything, then serve."""

import os
import sys
from pathlib import Path

import click

from common.config import load_settings
from common.errors import CanarioError
from common.options import ServerCommand
from common.terminal import guard_terminal
from service.artifact import ArtifactError
from service.settings import Settings

CONFIG = Path(__file__).with_name("gunicorn_conf.py")


@click.command(cls=ServerCommand, settings=Settings)
@click.option("--check", is_flag=True, help="Only check settings and models, and say what would be served.")
def main(check: bool) -> None:
    """Serve predictions under gunicorn.

    Settings and models are checked first, all of them; a fault is one sentence and exit code 2. What is
    served stands on standard output; standard error is the log, a JSON object a line.
    """
    from service.last_good import load_or_last_good  # noqa: PLC0415
    from service.model import OnnxModel  # noqa: PLC0415 - `--help` should not wait for ONNX Runtime

    try:
        settings = load_settings(Settings)
        models, refused = load_or_last_good(settings)
        if refused and check:
            raise ArtifactError(refused)
        if models.challenger:
            OnnxModel(models.challenger)  # here, where a crash only means that nothing is started
    except CanarioError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(2)
    if refused:
        click.echo(f"error: {refused}", err=True)
        click.echo("the models that were served last are served again", err=True)
    for role, metadata in models.metadata.items():
        click.echo(f"{role}: {metadata.name} {metadata.version}")
    if not models.challenger:
        click.echo("challenger: none")
    if check:
        return
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-m", "gunicorn", "-c", str(CONFIG)])  # noqa: S606


if __name__ == "__main__":
    guard_terminal()
    main()
