"""What Prometheus knows of a stage, in three requests; a fault of it is a reading too, and raises nothing."""

import math
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import Final

from common.answers import Sample
from common.names import JobMetric, Metric, Model
from common.prometheus import Prometheus, PrometheusError
from flags.quarantine import label
from flags.rollout.situation import Guarded, Readings

SERVICE: Final = 'job="service"'
COARSE: Final = 2000  # looks at the past for when a version was first seen
FINEST: Final = timedelta(seconds=15)
BEFORE: Final = timedelta(minutes=1)  # a look back beyond the stage's beginning
LEAST: Final = timedelta(seconds=1)
OF_JOB: Final = (
    JobMetric.VERDICT,
    JobMetric.BINDING,
    JobMetric.VALUE,
    JobMetric.LIMIT,
    JobMetric.LOG_E,
    JobMetric.LOG_E_LIMIT,
    JobMetric.JUDGED,
)


def read(prometheus: Prometheus, began: datetime, now: datetime) -> Readings:
    """All that the gates of a stage need that began then. Never raises for what Prometheus does."""
    age = max(now - began, LEAST)
    step = max(FINEST, (age + BEFORE) / COARSE)
    try:
        version, since = _version(prometheus.vector(version_query(age + BEFORE, step)))
        counts = {
            (one.labels.get("what"), one.labels.get("model")): one.value
            for one in prometheus.vector(counts_query(age))
            if math.isfinite(one.value)
        }
        job = _newest(prometheus.vector(job_query()))
    except PrometheusError as error:
        return Readings(fault=str(error))
    ago = _single(job, JobMetric.LAST_AGO)
    judged = _single(job, JobMetric.JUDGED)
    return Readings(
        guardrails=guardrails(job),
        last_pass=None if ago is None else now - timedelta(seconds=ago),
        judged=int(judged) if judged else None,
        champion_requests=counts.get(("requests", Model.CHAMPION), 0.0),
        challenger_requests=counts.get(("requests", Model.CHALLENGER), 0.0),
        outcomes=counts.get(("outcomes", Model.CHALLENGER), 0.0),
        samples=counts.get(("samples", None), 0.0),
        agreements=counts.get(("agreements", None), 0.0),
        failures=counts.get(("failures", None), 0.0),
        version=version,
        version_since=since if since and since > began + step + FINEST else None,
    )


def job_query() -> str:
    """What the rollback job tells; with how long ago its last pass was, by its own clock and Prometheus'."""
    ago = JobMetric.LAST_AGO
    now = f'label_replace({ago} + (time() - timestamp({ago})), "__name__", "{ago}", "", "")'
    # `or` looks at other labels only, and takes what has the same ones once.
    return f'{{__name__=~"{"|".join(OF_JOB)}"}} or label_replace({now}, "what", "ago", "", "")'


def counts_query(age: timedelta) -> str:
    """How many requests, outcomes and shadow samples there were for so long."""
    parts = (
        ("requests", "sum by (model) ", Metric.ASSIGNMENTS),
        ("outcomes", "sum by (model) ", Metric.OUTCOMES),
        ("samples", "sum", Metric.SHADOW_SAMPLES),
        ("agreements", "sum", Metric.SHADOW_AGREEMENTS),
        ("failures", "sum", Metric.SHADOW_ERRORS),
    )
    span = _promql(age)
    return " or ".join(
        f'label_replace({total}(increase({name}{{{SERVICE}}}[{span}])), "what", "{what}", "", "")'
        for what, total, name in parts
    )


def version_query(back: timedelta, step: timedelta) -> str:
    """When each version that is served now was first seen, as far as one looks back."""
    here = f'{Metric.MODEL_INFO}{{{SERVICE}, model="{Model.CHALLENGER}"}} == 1'
    by = "(version, sha256)"
    seen = f"min by {by} (min_over_time(timestamp({here})[{_promql(back)}:{_promql(step)}]))"
    return f"{seen} and on {by} ({here})"


def guardrails(job: Iterable[Sample]) -> tuple[Guarded, ...]:
    """The verdicts of one job, by the names of the guardrails."""
    named = sorted(
        (one for one in job if one.labels.get("guardrail")), key=lambda one: one.labels["guardrail"]
    )
    found = []
    for name, group in groupby(named, key=lambda one: one.labels["guardrail"]):
        samples = list(group)
        verdict = next(
            (
                one.labels.get("verdict", "")
                for one in samples
                if one.labels.get("__name__") == JobMetric.VERDICT and one.value == 1
            ),
            None,
        )
        if verdict is None:
            continue
        numbers = {one.labels.get("__name__"): one.value for one in samples}
        found.append(
            Guarded(
                name=name,
                verdict=verdict,
                binding=numbers.get(JobMetric.BINDING, 1.0) != 0,
                value=numbers.get(JobMetric.VALUE),
                limit=numbers.get(JobMetric.LIMIT),
                log_e=numbers.get(JobMetric.LOG_E),
                log_e_needed=numbers.get(JobMetric.LOG_E_LIMIT),
            )
        )
    return tuple(found)


def _version(found: list[Sample]) -> tuple[str | None, datetime | None]:
    """The version that came last, while workers change from one to the next."""
    if not found:
        return None, None
    newest = max(found, key=lambda one: one.value)
    name = label(newest.labels.get("version", ""), newest.labels.get("sha256", ""))
    return name, datetime.fromtimestamp(newest.value, UTC)


def _newest(found: list[Sample]) -> list[Sample]:
    """Those of the job whose pass was the last one, where there are several."""
    passes = {
        one.labels.get("instance"): one.value
        for one in found
        if one.labels.get("__name__") == JobMetric.LAST_AGO
    }
    if not passes:
        return []
    best = min(passes, key=lambda instance: passes[instance])
    return [one for one in found if one.labels.get("instance") == best]


def _single(job: list[Sample], name: JobMetric) -> float | None:
    found = [one.value for one in job if one.labels.get("__name__") == name and math.isfinite(one.value)]
    return found[0] if found else None


def _promql(length: timedelta) -> str:
    return f"{max(round(length.total_seconds()), 1)}s"
