"""`python -m drills`: drills on the stack that `./canario up` has started, or on one of their own."""

import sys
from pathlib import Path

import click

from common.options import start
from drills.command import exit_codes
from drills.demo import demo
from drills.example import example
from drills.faults import faults_command
from drills.rollback import rollback_command
from drills.story.command import story
from stack.paths import REPOSITORY
from stack.servers.debian import find_browser


@click.group()
def cli() -> None:
    """Drills on a running stack: real load, a real fault, and a verdict from what was measured.

    Exit codes: 0 passed; 1 failed; 2 usage; 3 the drill could not be carried out; 130 interrupted.
    """


for command in (demo, example, faults_command, rollback_command, story):
    cli.add_command(command)


@cli.command("pictures")
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=REPOSITORY / "docs" / "pictures",
    help="Folder; default: docs/pictures.",
)
@click.option("--stage", default=110.0, show_default=True, help="Seconds for which each of 3 stages lasts.")
def pictures_command(out: Path, stage: float) -> None:
    """Take the README's pictures of the Unleash UI and of the board, with real data (8 minutes)."""
    from drills.pictures import take  # noqa: PLC0415 - the other drills need no browser

    chromium = find_browser()
    if not chromium:
        click.echo("error: Chromium is missing: sudo apt-get install chromium", err=True)
        sys.exit(3)
    with exit_codes("the pictures could not be taken"):
        take(out, str(chromium), stage_seconds=stage, say=click.echo)


if __name__ == "__main__":
    start(cli, "drills")
