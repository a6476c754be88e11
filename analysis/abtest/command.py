"""`./canario report abtest register|report`."""

import getpass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import click
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from analysis.abtest.examine import Examined, ReportOptions, examine
from analysis.abtest.measure import loaded
from analysis.abtest.registration import PlannedUsers, RegisteredSegment, Registration, read, write
from analysis.abtest.report import abtest_report
from analysis.abtest.verdict import Finding
from analysis.errors import AnalysisError
from analysis.log import open_log
from analysis.metric import Direction, Kind, Metric
from analysis.options import (
    DIRECTION,
    EXIT_LIMIT,
    KIND,
    SEGMENT,
    STAGES,
    between,
    in_order,
    reading,
    reporting,
)
from analysis.render.output import publish, working
from analysis.statistics.power import need
from common.config import dotted, plain
from common.durations import format_duration
from common.options import DurationType

_LIMITS: Final = ("worse", "no-verdict", "not-better")


class GuardrailType(click.ParamType[Metric]):
    """An option that takes returned, returned:count or returned:count:decrease."""

    name = "guardrail"

    def convert(
        self, value: str | Metric, param: click.Parameter | None, ctx: click.Context | None
    ) -> Metric:
        """To a metric of which, unless it says otherwise, less is better."""
        if isinstance(value, Metric):
            return value
        name, kind, direction, *more = [*value.split(":"), "", ""]
        try:
            return Metric.of(name, kind, direction + "".join(more) or Direction.DECREASE)
        except ValueError:
            self.fail(f"{value!r} is nothing such as returned or returned:count:decrease", param, ctx)


@click.group(short_help="Is it better? A test, registered before it is read.")
def abtest() -> None:
    """Is the challenger better? A test that is registered before it is read."""


@abtest.command(short_help="Write down what will be measured, before anybody can see it.")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--name", help="As people call the test; the file's name by default.")
@click.option("--metric", "outcome", required=True, help="Outcome that decides, as in the feedback.")
@click.option("--kind", type=KIND, default=Kind.PROPORTION.value, show_default=True)
@click.option("--direction", type=DIRECTION, default=Direction.INCREASE.value, show_default=True)
@click.option("--baseline", type=float, required=True, help="The champion's share, mean or count per user.")
@click.option("--effect", type=float, required=True, help="Smallest change that must not be missed.")
@click.option("--deviation", type=float, help="Standard deviation of a mean, user to user.")
@click.option("--dispersion", type=float, default=0.0, help="Of a count: variance = mean + it * mean^2.")
@click.option("--skewness", type=float, default=0.0, help="Of a mean, user to user, for unequal arms.")
@click.option("--alpha", type=float, default=0.05, show_default=True)
@click.option("--power", type=float, default=0.8, show_default=True)
@click.option("--share", type=float, default=50.0, show_default=True, help="Percent with the challenger.")
@click.option("--flag", default="canary", show_default=True)
@SEGMENT
@click.option(
    "--segments-by",
    multiple=True,
    metavar="PROPERTY",
    help="Of the context: `segments` will read the effect by it, as was promised then. Several times.",
)
@click.option(
    "--window",
    type=DurationType(),
    default="7d",
    show_default=True,
    help="How long an outcome counts, from a user's first request in the test.",
)
@click.option(
    "--covariate",
    default="14d",
    show_default=True,
    metavar="14d|off",
    help="How far back the same measure narrows the interval (CUPED).",
)
@click.option(
    "--guardrail",
    "guardrails",
    type=GuardrailType(),
    multiple=True,
    metavar="OUTCOME[:KIND[:DIRECTION]]",
    help="Must not get worse; less is better unless it says otherwise. May be given several times.",
)
@click.option("--by", default=getpass.getuser, show_default="you", help="Who registers it.")
@click.option("--note", default="", help="Why this test, for people.")
def register(file: Path, **options: Any) -> None:
    """Write down what will be measured, and on how many users, before anybody can see it.

    Writes FILE, dated and hashed, and never over one that is there. The number of users is that of `power`
    for the larger of a rise and a drop by --effect.

    \b
    Example:
      ./canario report abtest register tests/loan-4.yaml --metric bought --baseline 0.95 --effect 0.02 \\
        --share 50 --window 7d --guardrail returned
    """
    registration = _registration(file, options)
    sha256 = write(registration, file)
    users = registration.users
    click.echo(
        f"{file}: registered. The verdict waits for {users.challenger:,} users of the challenger and "
        f"{users.champion:,} of the champion.\nsha256 {sha256}\n"
        "Commit the file, and put the hash where others see it."
    )


def _registration(file: Path, options: dict[str, Any]) -> Registration:
    covariate, of = options["covariate"], options["segment"]
    as_said = (
        *("by", "flag", "share", "baseline", "effect", "alpha", "power", "deviation", "dispersion"),
        *("skewness", "guardrails", "segments_by", "note"),
    )
    values = {name: options[name] for name in as_said} | {
        "name": options["name"] or file.stem,
        "registered": datetime.now(UTC),
        "metric": Metric.of(options["outcome"], options["kind"], options["direction"]),
        "segment": RegisteredSegment(property=of[0], value=of[1]) if of else None,
        "window": format_duration(options["window"]),
        "covariate": None if covariate == "off" else covariate,
        "users": PlannedUsers(champion=2, challenger=2),
    }
    try:
        draft = Registration.model_validate(values)
        needed = need(draft.design, draft.effect)
    except ValidationError as error:
        faults = error.errors(include_url=False)
        raise AnalysisError(
            "\n".join(": ".join(filter(None, (_option(fault), plain(fault["msg"])))) for fault in faults)
        ) from error
    except ValueError as error:
        raise AnalysisError(str(error)) from error
    users = PlannedUsers(champion=max(needed.champion, 2), challenger=max(needed.challenger, 2))
    return draft.model_copy(update={"users": users})


def _option(fault: ErrorDetails) -> str:
    """Which option a fault is about; nothing where it is about several."""
    return f"--{dotted(fault['loc'])}" if fault["loc"] else ""


@abtest.command()
@click.argument("file", type=click.Path(path_type=Path))
@reading
@click.option("--sequential", is_flag=True, help="The reading that is valid at any time, before N too.")
@click.option("--metric", "other", help="Look at another outcome, without a verdict.")
@click.option("--kind", type=KIND, help="Of the other outcome.")
@click.option("--direction", type=DIRECTION, help="Of the other outcome.")
@between
@STAGES
@click.option("--accept-changed", "accepted", metavar="REASON", help="Take a file that was changed.")
@click.option(
    "--fail-on",
    "limits",
    type=click.Choice(_LIMITS),
    multiple=True,
    help="Exit 1 then. worse: the metric or a guardrail is; no-verdict: there is none; not-better: anything "
    "but better without harm.",
)
@reporting
def report(file: Path, **options: Any) -> None:
    """The verdict of the test in FILE, or how far it is.

    There is none before all users have come and had their time, none for another metric or another time than
    was registered, and none from arms that are not what the flag says. Each says what to do. Where the share
    changed in between (5%, then 25%), users are compared with those of the same stage.

    \b
    Examples:
      ./canario report abtest report tests/loan-4.yaml --log LOG --html report.html
      ./canario report abtest report tests/loan-4.yaml --log LOG --sequential
      ./canario report abtest report tests/loan-4.yaml --log LOG --stage 2026-11-02=5 --stage 2026-11-05=25
    """
    in_order(options)
    registration, sha256 = read(file)
    log = open_log(options["location"], engine=options["engine"], memory=options["memory"])
    asked = ReportOptions(
        metric=_other(registration, options),
        since=options["since"],
        until=options["until"],
        sequential=options["sequential"],
        accepted=options["accepted"],
        stages=tuple(sorted(options["stages"])),
    )
    with working(log, "reading the log"):
        log = loaded(log, segment=registration.segment is not None)
    with working(log, "comparing users of the log,"):
        examined = examine(log, registration, sha256, asked, datetime.now(UTC))
        document = abtest_report(examined, log.bad)
    publish(document, options["format_"], options["page"])
    if any(_breached(limit, examined) for limit in options["limits"]):
        raise click.exceptions.Exit(EXIT_LIMIT)


def _other(registration: Registration, options: dict[str, Any]) -> Metric | None:
    """The other metric: one of the file by its name, or an outcome."""
    name = options["other"]
    if name is None:
        if options["kind"] or options["direction"]:
            raise click.UsageError("--kind and --direction are those of another --metric")
        return None
    known = {metric.name: metric for metric in (registration.metric, *registration.guardrails)}
    if name in known and not (options["kind"] or options["direction"]):
        return known[name]
    return Metric.of(name, options["kind"], options["direction"])


def _breached(limit: str, examined: Examined) -> bool:
    if limit == "worse":
        return examined.finding is Finding.WORSE or bool(examined.harmed)
    if limit == "no-verdict":
        return not examined.finding.is_verdict
    return examined.finding is not Finding.BETTER or bool(examined.harmed)
