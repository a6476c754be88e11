"""`python -m analysis`: was it better? A subcommand for each question."""

import click

from analysis.commands.abtest import abtest
from analysis.commands.log import log
from analysis.commands.options import Cli
from analysis.commands.power import power
from analysis.commands.segments import segments
from analysis.commands.shadow import shadow
from common.terminal import guard_terminal


@click.group(cls=Cli)
def main() -> None:
    """Was it better? Reports from the prediction log, computed where the log lies.

    \b
    Exit codes:
      0  answered
      1  a limit of --fail-on is breached
      2  wrong usage, or input that does not fit
      3  the log cannot be read, is empty, or the engine cannot be used
    """


for command in (log, shadow, power, abtest, segments):
    main.add_command(command)


if __name__ == "__main__":
    guard_terminal()
    main(prog_name="python -m analysis")
