"""`python -m board`: check everything, then serve."""

import os
import sys
from pathlib import Path

import click

from board.settings import BoardSettings
from common.config import load_settings
from common.errors import CanarioError
from common.options import ServerCommand
from common.terminal import guard_terminal

CONFIG = Path(__file__).with_name("gunicorn_conf.py")


@click.command(cls=ServerCommand, settings=BoardSettings)
@click.option("--check", is_flag=True, help="Only check the settings and files.")
def main(check: bool) -> None:
    """Serve the rollout board: one page that is only read.

    It reads Unleash with the token of a Viewer, Prometheus, and the folder of decisions, and changes nothing.
    With CANARIO_BOARD_TOKEN whoever knows it may read; without, it listens on this machine alone.

    \b
    Exit codes:
      0  ended by SIGTERM or SIGINT, or --check found nothing wrong
      2  settings or files do not fit; every fault is named
    """
    from board.sources import Sources  # noqa: PLC0415 - `--help` should not wait for numpy
    from rollback.guardrails import load_policy  # noqa: PLC0415

    try:
        settings = load_settings(BoardSettings)
        Sources(settings)
        load_policy(settings.guardrails)
    except CanarioError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(2)
    who = "with the token" if settings.board_token else "from this machine only, because there is no token"
    click.echo(f"the board is at http://{settings.board_bind}, {who}")
    if check:
        return
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-m", "gunicorn", "-c", str(CONFIG)])  # noqa: S606


if __name__ == "__main__":
    guard_terminal()
    main()
