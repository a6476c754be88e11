"""What Prometheus knows of a stage, in three requests; an error of it is a reading too, and raises nothing.

Counts begin with the stage, or with the moment from which on every instance is seen to serve this challenger.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import groupby
from typing import Final

from common.answers import Sample
from common.arms import Arms, MissingSignal
from common.measured import LEAST, Measured, finite
from common.names import JobMetric, Model
from common.prometheus import NotScraped, Prometheus, PrometheusError
from common.served import BLUR, Fleet, Mixed, Pair, evidence_since, fleet, terms
from flags.canary.marks import label
from flags.rollout.closeness import OF_CLOSENESS, Closeness, closeness
from flags.rollout.evidence import EvidenceCache, Period, read_evidence
from flags.rollout.no_worse import Evidence
from flags.rollout.schema import NoWorse

SHORTEST: Final = timedelta(seconds=1)
OF_JOB: Final = (
    JobMetric.VERDICT,
    JobMetric.GUARDRAIL,
    JobMetric.BINDING,
    JobMetric.VALUE,
    JobMetric.LIMIT,
    JobMetric.LOG_E,
    JobMetric.LOG_E_LIMIT,
    JobMetric.WARM_UP,
    JobMetric.WARM_UP_START,
    JobMetric.CHAMPION,
    JobMetric.DIFFERENCE_LOW,
    JobMetric.DIFFERENCE_HIGH,
    JobMetric.SAMPLE,
    JobMetric.WINDOW,
    JobMetric.JUDGED,
    JobMetric.JUDGED_MODEL,
)


@dataclass(frozen=True)
class Readings:
    """What Prometheus says. Counts are since the stage began.

    Attributes:
        fault: why nothing is known; None where all was read.
        guardrails: as the rollback job judged them last; none while nobody gets the challenger.
        last_pass: end of the rollback job's last pass, by the reader's own clock.
        judged: the flag's revision (Unleash's event id) that this pass judged; None where it judged none.
        champion_requests, challenger_requests: users' requests by the model that the flag gave them.
        outcomes: feedback on the challenger's.
        scores: users' answers by model and part of the usual scores; None where that is not counted.
        samples, agreements, failures: of the shadow.
        closeness: of the shadow, too; see there.
        judged_version: the challenger that this pass judged, as marks name it.
        version: the challenger that is seen to be served, as marks name it; None where none is.
        version_since: when every instance began to serve it, where that was after the stage began.
        mixed: why what was counted is not the work of one challenger on every instance; None where it is.
        evidence: of how both models compare, where the plan asks for that.
        evidence_fault: why there is none.
    """

    fault: str | None = None
    guardrails: tuple[Measured, ...] = ()
    last_pass: datetime | None = None
    judged: int | None = None
    judged_version: str | None = None
    champion_requests: float = 0.0
    challenger_requests: float = 0.0
    outcomes: float = 0.0
    scores: Mapping[tuple[str, int], float] | None = None
    samples: float = 0.0
    agreements: float = 0.0
    failures: float = 0.0
    closeness: Closeness = field(default_factory=Closeness)
    version: str | None = None
    version_since: datetime | None = None
    mixed: str | None = None
    evidence: tuple[Evidence, ...] = ()
    evidence_fault: str | None = None


@dataclass(frozen=True)
class Compared:
    """What is to be compared: by which rules, and in which period, where that is not the stage itself."""

    rules: NoWorse
    cache: EvidenceCache
    period: tuple[datetime, datetime] | None = None


def read(
    prometheus: Prometheus, arms: Arms, began: datetime, now: datetime, compared: Compared | None = None
) -> Readings:
    """All that the conditions of a stage need that began then. Never raises for what Prometheus does."""
    pair: Pair = {}
    evidence: tuple[Evidence, ...] = ()
    evidence_fault = None
    since, mixed = began, None
    try:
        seen = _fleet(prometheus, arms, max(now - began, SHORTEST))
        try:
            pair = seen.pair(arms)
            since = evidence_since(prometheus, arms, seen, began, now)
        except Mixed as error:
            mixed = str(error)
        found = [
            one
            for one in arms.told(prometheus.vector(counts_query(arms, max(now - since, SHORTEST))))
            if math.isfinite(one.value)
        ]
        counts = {(one.labels.get("what"), one.labels.get("model")): one.value for one in found}
        job = _newest(prometheus.vector(job_query(arms)))
    except PrometheusError as error:
        return Readings(fault=str(error))
    if compared and not mixed and Model.CHALLENGER in pair:
        try:
            stage = compared.period
            period = _period(prometheus, arms, seen, stage, now) if stage else Period(since, now)
            evidence = read_evidence(prometheus, arms, compared.rules, period, compared.cache)
        except PrometheusError as error:  # of these counters alone
            evidence_fault = str(error)
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
        scores=_scores(found) if arms.signals.scores else None,
        samples=counts.get(("samples", None), 0.0),
        agreements=counts.get(("agreements", None), 0.0),
        failures=counts.get(("failures", None), 0.0),
        closeness=closeness(found, {name for name in OF_CLOSENESS if _has(arms, name)}),
        version=label(challenger.version, challenger.sha256) if challenger else None,
        version_since=since if since > began else None,
        mixed=mixed or (_behind(seen) if challenger and arms.signals.versions else None),
        evidence=evidence,
        evidence_fault=evidence_fault,
    )


def _period(
    prometheus: Prometheus, arms: Arms, seen: Fleet, stage: tuple[datetime, datetime], now: datetime
) -> Period:
    """A stage that is over, as far as the models of now were served in it. Raises PrometheusError."""
    began, until = stage
    return Period(min(evidence_since(prometheus, arms, seen, began, now), until), until, over=True)


def job_query(arms: Arms) -> str:
    """What this flag's job tells; and how old its last pass is, by its own clock and Prometheus'."""
    ago = JobMetric.LAST_AGO
    told = f"{ago}{{{arms.of_job}}}"
    now = f'label_replace({told} + (time() - timestamp({told})), "__name__", "{ago}", "", "")'
    # `or` looks at other labels only, and takes what has the same ones once.
    return f'{{__name__=~"{"|".join(OF_JOB)}", {arms.of_job}}} or label_replace({now}, "what", "ago", "", "")'


def _fleet(prometheus: Prometheus, arms: Arms, age: timedelta) -> Fleet:
    """The service's instances and models. Raises PrometheusError, also where they are another rollout's."""
    seen = fleet(prometheus.vector(" or ".join(terms(arms, age + BLUR))), arms)
    if not seen.live:
        raise NotScraped(f"Prometheus hears of no service with {arms.selector}: is it up, and a target?")
    seen.require_ours(arms)
    return seen


def _behind(seen: Fleet) -> str | None:
    """What is to be said where some instance serves no challenger."""
    serving = sum(seen.serve[Model.CHALLENGER].values())
    return f"only {serving} of {seen.live} instances serve it" if serving < seen.live else None


def counts_query(arms: Arms, age: timedelta) -> str:
    """How many requests, outcomes and shadow samples there were for so long, as far as is counted."""
    by = f"sum by ({arms.label}) "
    parts = (
        ("requests", by, "assignments"),
        ("outcomes", by, "outcomes"),
        ("user scores", f"sum by ({arms.label}, part) ", "scores"),
        ("samples", "sum", "shadow_samples"),
        ("agreements", "sum", "shadow_agreements"),
        ("failures", "sum", "shadow_errors"),
        *((name, f"sum by ({', '.join(labels)})", f"shadow_{name}") for name, labels in OF_CLOSENESS.items()),
    )
    span, asked = _promql(age), []
    for what, total, name in parts:
        try:
            counted = f"{total}(increase({arms.of(arms.signals.of(name))}[{span}]))"
        except MissingSignal:
            continue
        asked.append(f'label_replace({counted}, "what", "{what}", "", "")')
    return " or ".join(asked)


def _scores(found: Iterable[Sample]) -> Mapping[tuple[str, int], float]:
    of_users = [one for one in found if one.labels.get("what") == "user scores"]
    parts = ((one.labels.get("model", ""), one.labels.get("part", ""), one.value) for one in of_users)
    return {(model, int(part)): value for model, part, value in parts if part.isdigit()}


def _has(arms: Arms, name: str) -> bool:
    try:
        arms.signals.of(f"shadow_{name}")
    except MissingSignal:
        return False
    return True


def guardrails(job: Iterable[Sample]) -> tuple[Measured, ...]:
    """The verdicts of one job, by the names of the guardrails."""
    named = sorted(
        (one for one in job if one.labels.get("guardrail")), key=lambda one: one.labels["guardrail"]
    )
    found = []
    for name, group in groupby(named, key=lambda one: one.labels["guardrail"]):
        told_now = (one for one in group if one.value == 1 or "verdict" not in one.labels)
        ones = {one.labels.get("__name__"): one for one in told_now}
        if (verdict := ones.get(JobMetric.VERDICT)) is None:
            continue
        about = ones[JobMetric.GUARDRAIL].labels if JobMetric.GUARDRAIL in ones else {}
        numbers = {metric: finite(one.value) for metric, one in ones.items()}
        window = numbers.get(JobMetric.WINDOW)
        found.append(
            Measured(
                name=name,
                verdict=verdict.labels["verdict"],
                binding=numbers.get(JobMetric.BINDING) != 0,
                unit=about.get("unit", "number"),
                fewer=about.get("limit_is") == LEAST,
                value=numbers.get(JobMetric.VALUE),
                champion=numbers.get(JobMetric.CHAMPION),
                low=numbers.get(JobMetric.DIFFERENCE_LOW),
                high=numbers.get(JobMetric.DIFFERENCE_HIGH),
                limit=numbers.get(JobMetric.LIMIT),
                sample=numbers.get(JobMetric.SAMPLE),
                window=None if window is None else timedelta(seconds=window),
                score=numbers.get(JobMetric.LOG_E),
                threshold=numbers.get(JobMetric.LOG_E_LIMIT),
                warm_up=numbers.get(JobMetric.WARM_UP),
                warm_up_start=numbers.get(JobMetric.WARM_UP_START),
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
