"""`./canario report power`."""

from datetime import UTC, datetime, timedelta
from math import sqrt
from typing import Any

import click

from analysis.abtest.measure import loaded
from analysis.errors import AnalysisError
from analysis.log import open_log
from analysis.metric import Kind, Metric
from analysis.options import KIND, SEGMENT, reporting
from analysis.power import question
from analysis.power.question import PowerQuestion
from analysis.power.report import power_report
from analysis.render.output import publish, working
from analysis.statistics.arrivals import Arrivals
from analysis.statistics.effect import Sample
from analysis.statistics.power import Design, dispersion_of
from common.options import DurationType


@click.command(short_help="How many users does a test need?")
@click.option(
    "--kind",
    type=KIND,
    default=Kind.PROPORTION.value,
    show_default=True,
    help="What is measured of each user: whether, how much, or how often.",
)
@click.option("--baseline", type=float, help="The champion's share, mean or count per user.")
@click.option(
    "--effect", type=click.FloatRange(min=0, min_open=True), help="Smallest change that must not be missed."
)
@click.option("--alpha", type=click.FloatRange(0, 0.2, min_open=True), default=0.05, show_default=True)
@click.option("--power", type=click.FloatRange(0.5, 1, max_open=True), default=0.8, show_default=True)
@click.option(
    "--share",
    type=click.FloatRange(0, 100, min_open=True, max_open=True),
    default=50.0,
    show_default=True,
    help="Percent of users with the challenger.",
)
@click.option(
    "--deviation",
    type=click.FloatRange(0, min_open=True),
    help="Standard deviation of a mean, user to user.",
)
@click.option(
    "--dispersion",
    type=click.FloatRange(0),
    help="Of a count: variance = mean + dispersion * mean^2; 0 is Poisson.",
)
@click.option(
    "--skewness",
    type=click.FloatRange(0),
    help="Of a mean, user to user, for unequal arms: 2 for waiting times, 6 and more for amounts of money.",
)
@click.option("--users-per-day", type=click.FloatRange(0, min_open=True), help="New users a day.")
@click.option("--days", type=click.FloatRange(0, min_open=True), help="Smallest change for so many days.")
@click.option("--outcome", help="Take baseline and variation of this outcome from --log.")
@click.option(
    "--window",
    type=DurationType(),
    metavar="7d",
    help="How long an outcome counts, from a user's first request.",
)
@SEGMENT
@click.option("--log", "location", metavar="PLACE", help="Prediction log, for users per day and --outcome.")
@click.option("--engine", default="duckdb", show_default=True, metavar="duckdb|spark|URL")
@reporting
def power(**options: Any) -> None:
    """How many users a test needs, how long that takes, and what fewer would find.

    Users, not requests: a user who comes back is no new one. With --log the days are told from how different
    users came in it, and fewer of them each day.

    \b
    Examples:
      ./canario report power --baseline 0.95 --effect 0.02
      ./canario report power --baseline 0.95 --effect 0.02 --share 5 --users-per-day 800
      ./canario report power --log LOG --outcome bought --window 2d --effect 0.02 --days 14
      ./canario report power --kind mean --baseline 40 --deviation 60 --effect 2
    """
    try:
        report = power_report(_question(**options))
    except ValueError as error:
        raise AnalysisError(str(error)) from error
    publish(report, options["format_"], options["page"])


def _question(**options: Any) -> PowerQuestion:
    """What is asked, with what the log says where the options do not."""
    kind, window = Kind(options["kind"]), options["window"] or timedelta()
    arrivals, level, sources = None, None, []
    if options["location"]:
        log = open_log(options["location"], engine=options["engine"])
        with working(log, "reading the log"):
            log = loaded(log, segment=options["segment"] is not None)
        period, arrivals = question.traffic(log, window or timedelta(days=7), options["segment"])
        seen = period.until - period.since
        sources.append(
            f"Traffic: {arrivals.users[-1]:,.0f} different users in {seen.total_seconds() / 86_400:.3g} days "
            "of the log; later days are told from how their number grew."
        )
        if options["outcome"]:
            level = question.level(log, Metric.of(options["outcome"], kind), period)
            sources.append(
                f"Level: `{options['outcome']}` of {level.users:,} users of the champion in the log, "
                f"mean {level.mean:.4g}, standard deviation {sqrt(level.variance):.4g}."
            )
    elif options["outcome"] or options["segment"]:
        raise click.UsageError("--outcome and --segment are read from a log: give --log, too")
    if options["users_per_day"]:
        arrivals = Arrivals.steady(options["users_per_day"])
        sources = [*sources[1:], f"Traffic: {options['users_per_day']:g} new users each day, as you say."]
    return PowerQuestion(
        design=_design(kind, level, options),
        effect=_effect(options, arrivals),
        arrivals=arrivals,
        window=window,
        days=options["days"],
        sources=tuple(sources),
        today=datetime.now(UTC).date(),
    )


def _design(kind: Kind, level: Sample | None, options: dict[str, Any]) -> Design:
    baseline, deviation, dispersion = (options[name] for name in ("baseline", "deviation", "dispersion"))
    if baseline is None:
        if level is None:
            raise click.UsageError("give --baseline, or --log and --outcome to take it from")
        baseline = level.mean
    if kind is Kind.MEAN and deviation is None:
        if level is None:
            raise click.UsageError("a mean needs --deviation, or --log and --outcome to take it from")
        deviation = sqrt(level.variance)
    if kind is Kind.COUNT and dispersion is None and level:
        dispersion = dispersion_of(level.mean, level.variance)
    return Design(
        kind=kind,
        baseline=baseline,
        alpha=options["alpha"],
        power=options["power"],
        share=options["share"] / 100,
        deviation=deviation if kind is Kind.MEAN else None,
        dispersion=dispersion or 0.0,
        skewness=options["skewness"] or 0.0,
    )


def _effect(options: dict[str, Any], arrivals: Arrivals | None) -> float | None:
    effect: float | None = options["effect"]
    if effect is None and (arrivals is None or options["days"] is None):
        raise click.UsageError(
            "give --effect; or --days with --users-per-day or --log, for what they can find"
        )
    return effect
