"""`./canario report shadow`: what was asked, measured, judged, told."""

from typing import Any

import click

from analysis.log import open_log
from analysis.options import EXIT_LIMIT, between, in_order, reading, reporting
from analysis.render.output import publish
from analysis.shadow.figures import ShadowFigures
from analysis.shadow.limits import parse_limits
from analysis.shadow.measure import COLUMNS, read_shadow
from analysis.shadow.report import shadow_report
from common.options import Parsed


@click.command(short_help="Does the challenger say what the champion says?")
@reading
@between
@click.option(
    "--fail-on",
    "limits",
    type=Parsed("limits", parse_limits),
    default=(),
    metavar="LIMITS",
    help="Exit 1 where one is breached: agreement<0.95, errors>1%, classes>2 (times as often or seldom),"
    " p99>1.5 (challenger / champion; p50, p95), requests<10000; for who uses the probability psi>0.25,"
    " ks>0.1, difference>0.02 (of the means). Several with commas.",
)
@reporting
def shadow(**options: Any) -> None:
    """Does the challenger say what the champion says? Of the two models that were compared last.

    Below 1,000 requests it says what it cannot say, and each limit but that of requests is breached: a limit
    that nobody could measure is not met. With --format json the file can be given to the rollout plan.

    \b
    Examples:
      ./canario report shadow --log LOG --html shadow.html
      ./canario report shadow --log LOG --since 2026-11-20 --fail-on 'agreement<0.95,errors>0.01,p99>1.5'
    """
    in_order(options)
    log = open_log(options["location"], engine=options["engine"], memory=options["memory"])
    log = log.loaded(shadow=COLUMNS)  # so that bad lines are counted where they are read anyway
    reading = read_shadow(log, options["since"], options["until"])
    figures = ShadowFigures(reading, log.bad, options["limits"])
    publish(shadow_report(figures), options["format_"], options["page"])
    breached = [each for each in figures.checked if each.breached]
    for each in breached:
        click.echo(f"breached: {each.sentence}", err=True)
    if breached:
        raise click.exceptions.Exit(EXIT_LIMIT)
