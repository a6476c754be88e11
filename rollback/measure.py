"""A guardrail's two queries, asked over the window that the stage allows, and whether answers are fresh."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from rollback.durations import format_duration
from rollback.guardrails import Threshold, render
from rollback.prometheus import NotScraped, Prometheus, PrometheusError, Unreachable
from rollback.window import Window

SERVICE_JOB = "service"  # as monitoring/prometheus.yml names it
FRESH_SCRAPES = 6


@dataclass(frozen=True)
class Reading:
    """What one query gave at each look, oldest first."""

    query: str
    """The query as it was asked, to be pasted into Prometheus."""
    points: tuple[float | None, ...]
    """One number a look; None where the query gave no series. NaN and infinities are left as they are."""
    fault: str | None = None
    """Why the query could not be asked; there are no points then."""


@dataclass(frozen=True)
class Measurement:
    """All that a verdict on one guardrail rests on."""

    guardrail: Threshold
    window: Window
    value: Reading
    sample: Reading


def measure(prometheus: Prometheus, guardrail: Threshold, window: Window) -> Measurement:
    """Ask for a guardrail's value and sample. A query that fails becomes a reading with its fault.

    Raises:
        Unreachable: Prometheus does not answer at all, so that asking on would only cost time.
    """
    return Measurement(
        guardrail,
        window,
        value=_read(prometheus, render(guardrail.value, window.span), window.looks),
        sample=_read(prometheus, render(guardrail.sample, window.span), window.looks),
    )


def _read(prometheus: Prometheus, query: str, looks: tuple[datetime, ...]) -> Reading:
    try:
        return Reading(query, prometheus.series(query, looks))
    except Unreachable:
        raise
    except PrometheusError as error:
        return Reading(query, (), fault=str(error))


def check_fresh(prometheus: Prometheus, scrape: timedelta, at: datetime) -> None:
    """See that the numbers of Prometheus speak of the service of today.

    Without this, a service that nobody scrapes would look like one that nobody calls, and for five minutes
    like one that is well. One failed scrape is nothing: a service in trouble is slow to answer these as well.

    Raises:
        NotScraped: no scrape has succeeded lately.
        PrometheusError: it could not be asked.
    """
    lately = format_duration(FRESH_SCRAPES * scrape)
    best = prometheus.instant(f'max(max_over_time(up{{job="{SERVICE_JOB}"}}[{lately}]))', at)
    if best is None:
        raise NotScraped(
            f'Prometheus has not scraped the job "{SERVICE_JOB}" for {lately}: see its page /targets'
        )
    if best < 1:
        raise NotScraped(
            f'every scrape of the job "{SERVICE_JOB}" has failed for {lately}: is the service up?'
        )
