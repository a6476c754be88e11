"""`python -m analysis`: was it better? A subcommand for each question."""

import click

from analysis.abtest.command import abtest
from analysis.errors import AnalysisError
from analysis.log.command import log
from analysis.power.command import power
from analysis.segments.command import segments
from analysis.shadow.command import shadow
from common.errors import CanarioError
from common.options import CommandGroup, start


@click.group(cls=CommandGroup, exit_codes={CanarioError: AnalysisError.exit_code})
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
    start(main, "analysis")
