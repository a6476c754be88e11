"""`python -m board`: check everything, then serve."""

import os
import sys
from pathlib import Path

import click

from board.settings import BoardProcessSettings, BoardSettings
from common.config import load_settings
from common.errors import CanarioError
from common.options import ServerCommand, start

CONFIG = Path(__file__).with_name("gunicorn_conf.py")


@click.command(cls=ServerCommand, settings=BoardSettings)
@click.option("--check", is_flag=True, help="Only check the settings and files.")
def main(check: bool) -> None:
    """Serve the rollout board: a page for each rollout of CANARIO_ROLLOUTS, which is only read.

    It reads Unleash with the token of a Viewer, Prometheus, and the folder of decisions, and changes nothing.
    With CANARIO_BOARD_TOKEN whoever knows it may read; without, it listens on this machine alone.

    \b
    Exit codes:
      0  ended by SIGTERM or SIGINT, or --check found nothing wrong
      2  settings or files do not fit; every fault is named. Without --check it serves where one
         rollout's file fits, and shows what is wrong with the others
    """
    from board.shown import every  # noqa: PLC0415 - `--help` should not wait for numpy

    try:
        settings = load_settings(BoardProcessSettings)
        found = dict(every())
    except CanarioError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(2)
    faults = [str(one) for one in found.values() if isinstance(one, CanarioError)]
    for fault in dict.fromkeys("\n".join(faults).splitlines()):
        click.echo(f"error: {fault}", err=True)
    if len(faults) == len(found) or (faults and check):
        sys.exit(2)
    who = "with the token" if settings.board_token else "from this machine only, because there is no token"
    click.echo(f"the board is at http://{settings.board_bind}, {who}")
    if check:
        return
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-m", "gunicorn", "-c", str(CONFIG)])  # noqa: S606


if __name__ == "__main__":
    start(main, "board")
