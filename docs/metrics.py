"""docs/metrics.md, made from what the processes register: `python -m docs.metrics` writes it.

Types, labels and meanings are those of the collectors, so that the page tells the same story as /metrics.
"""

import re
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, Final, NamedTuple

import yaml
from flask import Flask
from prometheus_client import CollectorRegistry

from common.every_rollout import broken_gauge
from common.names import JobMetric, MeshMetric, PlanMetric, Recorded
from docs.settings import REPOSITORY
from flags.mesh.job import MeshMetrics
from flags.rollout.job import PlanMetrics
from flags.unleash.token import TokenMetrics
from rollback.guardrails.verdict import Status
from rollback.metrics import JobMetrics
from service.metrics.files import UncountedWorkers
from service.metrics.models import ModelMetrics, ShadowMetrics
from service.metrics.segments import Segments
from service.metrics.service import CHALLENGER_FAILURES, HttpMetrics, ServiceMetrics

PAGE: Final = REPOSITORY / "docs" / "metrics.md"
RULES: Final = REPOSITORY / "monitoring" / "rules"
OF_A_ROLLOUT: Final = "canario-breast-cancer.yml"
HEAD: Final = """\
# Metrics and alerts

Made from the code by `python -m docs.metrics`; a test fails where this page and the code differ. How they are
scraped, shown and told is in [monitoring.md](monitoring.md), why they are as they are in
[decision 5](decisions/0005-metrics.md).

Prometheus adds `job` and `instance`. Counters are there from the start, at 0, where their labels can be
foreseen, so that a rate misses no first event. The board exports none. What the plan does stands in Unleash's
event log, and `./canario rollout status` tells it.
"""
RECORDED: Final[Mapping[Recorded, tuple[str, str, str]]] = {
    Recorded.ERROR_RATE: ("rollout; model", "share", "Calls that failed, of all calls, over 5 minutes"),
    Recorded.REQUEST_RATE: ("rollout; model", "a second", "Answers, over a minute"),
    Recorded.LATENCY_P50: ("rollout; model", "seconds", "Median of the calls of 5 minutes"),
    Recorded.LATENCY_P99: (
        "rollout; model",
        "seconds",
        "The time that 99 of 100 calls of 5 minutes were within",
    ),
    Recorded.FLAG_AGE: ("rollout", "seconds", "Since the instance that waited longest heard from Unleash"),
    Recorded.CHALLENGER_SHARE: (
        "rollout",
        "share",
        "Answers that the challenger gave, of all, over 5 minutes",
    ),
    Recorded.AGREEMENT_RATE: (
        "rollout",
        "share",
        "Shadowed requests for which both models chose the same, over 5 minutes",
    ),
}
# Values of labels that only traffic brings; those of `guardrail`, `flag` and the like are names of files.
LABELS: Final[Mapping[str, tuple[str, ...]]] = {"verdict": tuple(status.value for status in Status)}
TELLING: Final = frozenset({"reason", "kind", "state", "verdict", "verified"})
UNITS: Final = {
    "_timestamp_seconds": "Unix time",
    "_seconds": "seconds",
    "_total": "count",
    "_share": "share",
    "_percent": "percent",
}
OTHER_UNITS: Final = {"rollback_log_e": "logarithm", "rollback_log_e_limit": "logarithm"}


class Row(NamedTuple):
    """One metric, as Prometheus names it."""

    name: str
    kind: str
    labels: str
    unit: str
    meaning: str


def of_service() -> tuple[Row, ...]:
    """All that GET /metrics of the service may answer."""
    registry = CollectorRegistry()
    ServiceMetrics(registry, ("canary", "shadow"))
    ShadowMetrics(registry)
    ModelMetrics(registry)
    Segments(registry)
    HttpMetrics(Flask("canario"), registry)
    [uncounted] = UncountedWorkers(Path()).collect()  # made at each scrape, from no collector that counts
    return *_rows(registry), Row(uncounted.name, uncounted.type, "", "number", uncounted.documentation)


def of_job() -> tuple[Row, ...]:
    """All that GET /metrics of the rollback job may answer."""
    registry = CollectorRegistry()
    JobMetrics(registry, cannot_measure_for=timedelta(minutes=5), guardrails=["errors"])
    broken_gauge(JobMetric.ROLLOUT_BROKEN, registry)
    return tuple(_rows(registry))


def of_plan_job() -> tuple[Row, ...]:
    """All that GET /metrics of the rollout job may answer, but what `of_token` has."""
    registry = CollectorRegistry()
    PlanMetrics(registry)
    broken_gauge(PlanMetric.ROLLOUT_BROKEN, registry)
    return tuple(_rows(registry))


def of_mesh_job() -> tuple[Row, ...]:
    """All that GET /metrics of the job may answer whose routes follow the flags."""
    registry = CollectorRegistry()
    MeshMetrics(registry, [])
    broken_gauge(MeshMetric.ROLLOUT_BROKEN, registry)
    return tuple(_rows(registry))


def of_token() -> tuple[Row, ...]:
    """What both jobs answer of their token."""
    registry = CollectorRegistry()
    TokenMetrics(registry)
    return tuple(_rows(registry))


def recorded() -> tuple[Row, ...]:
    """What the recording rules make of them."""
    return tuple(Row(name, "gauge", *RECORDED[name]) for name in Recorded)


def page() -> str:
    """The page as Markdown."""
    return "\n".join(
        [
            HEAD,
            "## Service\n",
            "`GET /metrics` on the port of the service; all workers of an instance in one answer.\n",
            _table(of_service()),
            "## Rollback job\n",
            "On a port of its own (`CANARIO_ROLLBACK_METRICS_BIND`), with `--every` only. Beside each counter"
            " stands `..._created`, the time at which it began.\n",
            _table(of_job()),
            "## Rollout job\n",
            "On a port of its own (`CANARIO_ROLLOUT_METRICS_BIND`), with `--every` only.\n",
            _table(of_plan_job()),
            "## Mesh job\n",
            "On a port of its own (`CANARIO_MESH_METRICS_BIND`), with `--every` only.\n",
            _table(of_mesh_job()),
            "## Tokens of Unleash\n",
            "Of both jobs, each of its own, which it has checked every minute.\n",
            _table(of_token()),
            "## Recorded\n",
            "Of each rollout, whatever its service calls the series that they are made of; for people and"
            " dashboards. Without a signal there is no series.\n",
            _table(recorded()),
            "## Alerts\n",
            "Each name leads to what to do. Of all rollouts alike, by"
            " [canario.yml](../monitoring/rules/canario.yml); the label `rollout` tells which.\n",
            _alerts("canario.yml"),
            "And of each rollout, by `./canario rules`: an alert for each threshold among its"
            " guardrails, and what can be seen of its service. Those from `ChallengerCallsPrevented` on are"
            " of Canario's own service alone."
            f" Here is [{OF_A_ROLLOUT}](../monitoring/rules/{OF_A_ROLLOUT}).\n",
            _alerts(OF_A_ROLLOUT),
        ]
    )


def _rows(registry: CollectorRegistry) -> Iterator[Row]:
    # The client tells the labels of a metric only by its series, of which some metrics have none yet.
    collectors = dict.fromkeys(registry._collector_to_names)
    for collector in collectors:
        metric: Any = collector
        kind = metric._type
        name = metric._name + ("_total" if kind == "counter" else "")
        unit = OTHER_UNITS.get(name) or next(
            (unit for ending, unit in UNITS.items() if name.endswith(ending)), "number"
        )
        yield Row(name, kind, _labels(metric), unit, str(metric._documentation))


def _labels(metric: Any) -> str:
    """Names of labels, with the values that are there from the start."""
    names: tuple[str, ...] = metric._labelnames
    told = []
    for place, name in enumerate(names):
        values = LABELS.get(name) or tuple(dict.fromkeys(key[place] for key in metric._metrics))
        if metric._name == "prediction_errors" and name == "reason":
            values = CHALLENGER_FAILURES
        told.append(f"{name}: {', '.join(values)}" if name in TELLING and values else name)
    return "; ".join(told)


def _table(rows: tuple[Row, ...]) -> str:
    head = "| metric | type | labels | unit | meaning |\n|---|---|---|---|---|\n"
    return head + "".join(
        f"| `{row.name}` | {row.kind} | {row.labels} | {row.unit} | {row.meaning.removesuffix('.')} |\n"
        for row in rows
    )


def _alerts(file: str) -> str:
    head = "| alert | severity | guardrail | after | says |\n|---|---|---|---|---|\n"
    lines = []
    for group in yaml.safe_load((RULES / file).read_text(encoding="utf-8"))["groups"]:
        for rule in (rule for rule in group["rules"] if "alert" in rule):
            labels, says = rule["labels"], rule["annotations"]
            cells = (
                f"[{rule['alert']}]({Path(says['runbook']).name})",
                labels["severity"],
                labels.get("guardrail", ""),
                rule.get("for", "at once"),
                _plain(says["summary"]),
            )
            lines.append(f"| {' | '.join(cells)} |\n")
    return head + "".join(lines)


def _plain(summary: str) -> str:
    """Without the template's own language: a value becomes dots, a label its name."""
    words = []
    for place, part in enumerate(summary.replace("}}", "{{").split("{{")):
        label = re.search(r"\$labels\.(\w+)", part)
        inside = "..." if "$value" in part else f"*{label[1]}*" if label else ""
        words.append(part if place % 2 == 0 else inside)
    return "".join(words).removesuffix(".")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
