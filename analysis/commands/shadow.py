"""`python -m analysis shadow`."""

from typing import Any

import click

from analysis.commands.options import EXIT_LIMIT, between, in_order, reading, reporting
from analysis.log import open_log
from analysis.measures.shadow import COLUMNS, read_shadow
from analysis.reports.limits import Limit, parse_limits
from analysis.reports.shadow import shadow_report
from analysis.reports.shadow_figures import ShadowFigures
from analysis.reports.shadow_limits import SIGNS
from analysis.show import print_report, write_page


class LimitsType(click.ParamType[tuple[Limit, ...]]):
    """An option that takes agreement<0.95,errors>0.01."""

    name = "limits"

    def convert(
        self, value: str | tuple[Limit, ...], param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[Limit, ...]:
        """To limits, or the user's fault."""
        if isinstance(value, tuple):
            return value
        try:
            return parse_limits(value, SIGNS)
        except ValueError as error:
            self.fail(str(error), param, ctx)


@click.command(short_help="Does the challenger say what the champion says?")
@reading
@between
@click.option(
    "--fail-on",
    "limits",
    type=LimitsType(),
    default=(),
    metavar="LIMITS",
    help="Exit 1 where one is breached: agreement<0.95, errors>1%, classes>2 (times as often or seldom),"
    " p99>1.5 (challenger / champion; p50, p95), requests<10000; for who uses the probability psi>0.25,"
    " ks>0.1, difference>0.02 (of the means). Several with commas.",
)
@reporting
def shadow(**options: Any) -> None:
    """Does the challenger say what the champion says? Of the two models that were compared last.

    Below 1,000 requests it says what it cannot say, and each limit but that of requests is breached: a gate
    that nobody could measure stays shut. With --format json the file can be given to the rollout plan.

    \b
    Examples:
      python -m analysis shadow --log LOG --html shadow.html
      python -m analysis shadow --log LOG --since 2026-11-20 --fail-on 'agreement<0.95,errors>0.01,p99>1.5'
    """
    in_order(options)
    log = open_log(options["location"], engine=options["engine"], memory=options["memory"])
    log = log.loaded(shadow=COLUMNS)  # so that bad lines are counted where they are read anyway
    found = read_shadow(log, options["since"], options["until"])
    figures = ShadowFigures(found, log.bad, options["limits"])
    report = shadow_report(figures)
    if options["page"]:
        write_page(report, options["page"])
    print_report(report, options["format_"])
    broken = [each for each in figures.held if each.breached]
    for each in broken:
        click.echo(f"breached: {each.sentence}", err=True)
    if broken:
        raise click.exceptions.Exit(EXIT_LIMIT)
