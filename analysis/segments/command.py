"""`./canario report segments`."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import click

from analysis.abtest.examine import ReportOptions, examine
from analysis.abtest.measure import loaded
from analysis.abtest.registration import Registration, read
from analysis.errors import AnalysisError, LogError
from analysis.log import Log, open_log
from analysis.metric import Direction, Kind, Metric
from analysis.options import DIRECTION, EXIT_LIMIT, KIND, between, in_order, reading, reporting
from analysis.render.output import publish
from analysis.segments import measure as measures
from analysis.segments.figures import SegmentFigures
from analysis.segments.report import About, segments_report
from analysis.statistics.sequential import Planned
from analysis.users import Period
from common.options import DurationType

_ALPHA: Final = 0.05  # where no test is registered
_TUNED_TO: Final = 5  # evidence at any time: to a segment with such a part of the users


@click.command()
@click.argument("file", type=click.Path(path_type=Path), required=False)
@reading
@click.option("--metric", "outcome", help="Outcome to look at, where no registered test FILE is given.")
@click.option(
    "--kind",
    type=KIND,
    default=Kind.PROPORTION.value,
    show_default=True,
    help="Of --metric.",
)
@click.option(
    "--direction",
    type=DIRECTION,
    default=Direction.INCREASE.value,
    show_default=True,
    help="Of --metric: what is better.",
)
@click.option(
    "--window",
    type=DurationType(),
    default="7d",
    show_default=True,
    help="Of --metric: how long an outcome counts, from a user's first request.",
)
@click.option("--flag", default="canary", show_default=True, help="Of --metric: whose constraint to print.")
@click.option(
    "--by",
    "--property",
    "properties",
    multiple=True,
    metavar="PROPERTY",
    help="Only by this property of the context, and by those that were registered; several times. Fewer "
    "comparisons find more.",
)
@click.option(
    "--least",
    type=click.IntRange(min=2),
    default=measures.LEAST,
    show_default=True,
    help="Users of each arm that a value needs to be read by itself; the others are read as one.",
)
@click.option(
    "--sequential",
    is_flag=True,
    help="The reading that is valid at any time, of a test FILE that has not ended: by what was registered.",
)
@click.option("--accept-changed", "accepted", metavar="REASON", help="Take a FILE that was changed.")
@between
@click.option(
    "--fail-on",
    type=click.Choice(["harmed"]),
    help="Exit 1 where a segment is harmed, or the whole misleads.",
)
@reporting
def segments(file: Path | None, **options: Any) -> None:
    """For whom is the challenger better, and for whom worse?

    Of a registered test FILE once it has ended (its metric, its users, its time), or of any --metric as a
    hint. Segments are the properties of the context that requests bring: country, plan, device. For one that
    is harmed it prints the command that leaves it out.

    \b
    Examples:
      ./canario report segments tests/loan-4.yaml --by country --by plan --log LOG --html segments.html
      ./canario report segments tests/loan-4.yaml --sequential --log LOG
      ./canario report segments --metric bought --log LOG --since 2026-11-02 --by country
    """
    if (file is None) == (options["outcome"] is None):
        raise click.UsageError("give the FILE of a registered test, or --metric")
    if options["sequential"] and (file is None or options["properties"]):
        raise click.UsageError(
            "--sequential reads the FILE of a registered test by what it was registered with (--segments-by):"
            " what is added while one looks has no bound"
        )
    if file and (options["since"] or options["until"]):
        raise click.UsageError("a registered test has its own time: --since and --until go with --metric")
    in_order(options)
    log = open_log(options["location"], engine=options["engine"], memory=options["memory"])
    log = loaded(log, segment=True)
    figures, about = _registered(log, file, options) if file else _free(log, options)
    report = segments_report(figures, about, log.bad)
    publish(report, options["format_"], options["page"])
    if options["fail_on"] and figures is not None and (figures.harmed or figures.paradoxes):
        raise click.exceptions.Exit(EXIT_LIMIT)


def _registered(log: Log, file: Path, options: dict[str, Any]) -> tuple[SegmentFigures | None, About]:
    registration, sha256 = read(file)
    if registration.segment is not None:
        raise AnalysisError(
            f"{file} was registered for {registration.segment.property}={registration.segment.value} alone:"
            " segments are parts of a test of all users"
        )
    if options["sequential"] and not registration.segments_by:
        raise AnalysisError(
            f"{file} was registered without --segments-by, so no segment may be read before its end"
        )
    asked = ReportOptions(accepted=options["accepted"], sequential=options["sequential"])
    examined = examine(log, registration, sha256, asked, datetime.now(UTC))
    if examined.stages.is_ramp:
        raise AnalysisError(
            f"{file}: the share of the flag changed during the test, so segments would compare times with"
            " each other: read the whole with `abtest report`, or register a test of one share"
        )
    progress = examined.progress
    period = f"Test {registration.name}, registered {registration.registered:%Y-%m-%d %H:%M} UTC"
    if not examined.finding.may_show:
        why = f"What stands in the way: {examined.finding.value.replace('_', ' ')}."
        return None, About(registration.name, registration.flag, period, why)
    changed = f"{options['accepted']}" if examined.changed else None
    about = About(registration.name, registration.flag, period, changed=changed)
    figures = _figures(log, registration.metric, examined.period, progress.came_before, options, registration)
    results = examined.results
    return replace(
        figures,
        decided=results.comparison.effect if results else None,
        any_time=_planned(registration) if options["sequential"] else None,
    ), about


def _planned(registration: Registration) -> Planned:
    """What the evidence of a segment is tuned to; it must not depend on what the users do."""
    users, variance = registration.users, registration.design.variance(registration.baseline)
    return Planned(max(users.champion // _TUNED_TO, 1), max(users.challenger // _TUNED_TO, 1), variance)


def _free(log: Log, options: dict[str, Any]) -> tuple[SegmentFigures, About]:
    metric = Metric.of(options["outcome"], options["kind"], options["direction"])
    survey = log.survey
    if survey.first is None or survey.last is None:
        raise LogError("the log is empty")
    tick = timedelta(microseconds=1)
    since = options["since"] or survey.first.replace(tzinfo=UTC)
    until = options["until"] or survey.last.replace(tzinfo=UTC) + tick
    if until <= since:
        raise AnalysisError(
            f"there is no record from {since:%Y-%m-%d %H:%M} on and before {until:%Y-%m-%d %H:%M}"
        )
    test = Period(since, until, options["window"])
    period = f"Users who came from {since:%Y-%m-%d %H:%M} to {until:%Y-%m-%d %H:%M} UTC"
    return _figures(log, metric, test, until, options), About(None, options["flag"], period)


def _figures(  # noqa: PLR0913, PLR0917 - of a registered test and of none
    log: Log,
    metric: Metric,
    period: Period,
    came_before: datetime,
    options: dict[str, Any],
    registration: Registration | None = None,
) -> SegmentFigures:
    registered = registration.segments_by if registration else ()
    # The registered ones always, whatever is asked: their family must not be smaller than it was promised.
    names = tuple(dict.fromkeys((*registered, *options["properties"])))
    return SegmentFigures(
        metric,
        measures.divided(log, metric, period, came_before, names, options["least"]),
        registration.alpha if registration else _ALPHA,
        options["least"],
        frozenset(registered),
    )
