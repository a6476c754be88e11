"""PromQL of the panels. Names are those of common.names; `$rollout`, `$flag`, `$job` are Grafana's variables.

What every rollout has are its recorded series and what the jobs say of it. The series of services are named
only for Canario's own, which `$job` is.

Ranges are `$__rate_interval`: four scrapes at least, and what a pixel stands for when a week is shown.
"""

from common.names import JobMetric, Metric, Recorded

RANGE = "$__rate_interval"


def recorded(name: Recorded) -> str:
    """A recorded series of the rollout."""
    return f'{name}{{rollout="$rollout"}}'


def of_job(name: JobMetric, matchers: str = "") -> str:
    """A selector of what the rollback job tells of the rollout."""
    return f'{name}{{rollout="$rollout"{_rest(matchers)}}}'


def of_flag(name: JobMetric, matchers: str = "") -> str:
    """A selector of what it tells of the flag."""
    return of_job(name, 'flag="$flag"' + _rest(matchers))


def of_service(name: str, matchers: str = "") -> str:
    """A selector of a metric of Canario's own service, or of a part such as `latency_seconds_bucket`."""
    return f'{name}{{job="$job"{_rest(matchers)}}}'


def per_second(name: str, matchers: str = "", *, by: str = "") -> str:
    """How fast counters of Canario's own service grow, added up; `by` names the labels to keep."""
    kept = f" by ({by})" if by else ""
    return f"sum{kept} (rate({of_service(name, matchers)}[{RANGE}]))"


def share(part: str, whole: str) -> str:
    """One by the other; no line where there is nothing to divide by."""
    return f"{part}\n/ ({whole} > 0)"


def within_one_stage(rate: str) -> str:
    """A rate by model, where its whole range lies in one stage and one version; no line elsewhere.

    Models have their users at different times while the share moves, so a comparison over a change of it
    could turn round.
    """
    changed = of_flag(JobMetric.FLAG_CHANGED)
    one_stage = f"max(max_over_time({changed}[{RANGE}])) == min(min_over_time({changed}[{RANGE}]))"
    served = f"max_over_time({of_service(Metric.MODEL_INFO)}[{RANGE}]) == 1"
    one_version = f"count by (model) (count by (model, version, sha256) ({served})) == 1"
    return f"({rate})\nand on () ({one_stage})\nand on (model) ({one_version})"


def quantile(part: float, metric: Metric) -> str:
    """In seconds, of a histogram of Canario's own service."""
    return f"histogram_quantile({part:g}, {per_second(f'{metric}_bucket', by='le')})"


def verdicts() -> str:
    """0 ok, 1 no data, 2 cannot measure, 3 breach, for each guardrail."""

    states = ("no data", "cannot measure", "breach")
    return "\n+ ".join(f"{number} * {verdict(state)}" for number, state in enumerate(states, start=1))


def verdict(state: str) -> str:
    """1 for each guardrail that said so, 0 for the others."""
    selector = of_job(JobMetric.VERDICT, f'verdict="{state}"')
    return f"max by (guardrail) ({selector})"


def _rest(matchers: str) -> str:
    return f", {matchers}" if matchers else ""
