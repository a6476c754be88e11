"""What Prometheus knows of a stage, in three requests; a fault of it is a reading too, and raises nothing.

Counts begin with the stage, or with the moment from which on every instance is seen to serve this challenger.
"""

import math
from collections.abc import Iterable
from datetime import datetime, timedelta
from itertools import groupby
from typing import Final

from common.answers import Sample
from common.names import JobMetric, Metric, Model
from common.prometheus import NotScraped, Prometheus, PrometheusError
from common.served import BLUR, Arms, Fleet, Mixed, Pair, evidence_since, fleet, terms
from flags.quarantine import label
from flags.rollout.situation import Guarded, Readings

LEAST: Final = timedelta(seconds=1)
OF_JOB: Final = (
    JobMetric.VERDICT,
    JobMetric.BINDING,
    JobMetric.VALUE,
    JobMetric.LIMIT,
    JobMetric.LOG_E,
    JobMetric.LOG_E_LIMIT,
    JobMetric.JUDGED,
    JobMetric.JUDGED_MODEL,
)


def read(prometheus: Prometheus, arms: Arms, began: datetime, now: datetime) -> Readings:
    """All that the gates of a stage need that began then. Never raises for what Prometheus does."""
    pair: Pair = {}
    since, mixed = began, None
    try:
        seen = _fleet(prometheus, arms, max(now - began, LEAST))
        try:
            pair = seen.pair()
            since = evidence_since(prometheus, arms, seen, began, now)
        except Mixed as error:
            mixed = str(error)
        counts = {
            (one.labels.get("what"), one.labels.get("model")): one.value
            for one in prometheus.vector(counts_query(arms, max(now - since, LEAST)))
            if math.isfinite(one.value)
        }
        job = _newest(prometheus.vector(job_query(arms)))
    except PrometheusError as error:
        return Readings(fault=str(error))
    ago = _single(job, JobMetric.LAST_AGO)
    judged = _single(job, JobMetric.JUDGED)
    challenger = pair.get(Model.CHALLENGER)
    return Readings(
        guardrails=guardrails(job),
        last_pass=None if ago is None else now - timedelta(seconds=ago),
        judged=int(judged) if judged else None,
        judged_version=_judged_version(job),
        champion_requests=counts.get(("requests", Model.CHAMPION), 0.0),
        challenger_requests=counts.get(("requests", Model.CHALLENGER), 0.0),
        outcomes=counts.get(("outcomes", Model.CHALLENGER), 0.0),
        samples=counts.get(("samples", None), 0.0),
        agreements=counts.get(("agreements", None), 0.0),
        failures=counts.get(("failures", None), 0.0),
        version=label(challenger.version, challenger.sha256) if challenger else None,
        version_since=since if since > began else None,
        mixed=mixed or (_behind(seen) if challenger else None),
    )


def job_query(arms: Arms) -> str:
    """What this flag's job tells; and how old its last pass is, by its own clock and Prometheus'."""
    ago = JobMetric.LAST_AGO
    told = f"{ago}{{{arms.of_job}}}"
    now = f'label_replace({told} + (time() - timestamp({told})), "__name__", "{ago}", "", "")'
    # `or` looks at other labels only, and takes what has the same ones once.
    return f'{{__name__=~"{"|".join(OF_JOB)}", {arms.of_job}}} or label_replace({now}, "what", "ago", "", "")'


def _fleet(prometheus: Prometheus, arms: Arms, age: timedelta) -> Fleet:
    """The service's instances and models. Raises PrometheusError, also where they are another rollout's."""
    seen = fleet(prometheus.vector(" or ".join(terms(arms, age + BLUR))))
    if not seen.live:
        raise NotScraped(f"Prometheus hears of no service with {arms.selector}: is it up, and a target?")
    seen.require_ours(arms)
    return seen


def _behind(seen: Fleet) -> str | None:
    """What is to be said where some instance serves no challenger."""
    serving = sum(seen.serve[Model.CHALLENGER].values())
    return f"only {serving} of {seen.live} instances serve it" if serving < seen.live else None


def counts_query(arms: Arms, age: timedelta) -> str:
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
        f'label_replace({total}(increase({arms.of(name)}[{span}])), "what", "{what}", "", "")'
        for what, total, name in parts
    )


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


def _judged_version(job: Iterable[Sample]) -> str | None:
    """The challenger that the verdicts are about, as marks name it."""
    found = (one.labels for one in job if one.labels.get("__name__") == JobMetric.JUDGED_MODEL)
    return next((label(each.get("version", ""), each.get("sha256", "")) for each in found), None)


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
