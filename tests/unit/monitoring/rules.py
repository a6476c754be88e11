"""The committed rules, the tool that checks them, and the names that a query may hold."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from common.names import JobMetric, Metric, PlanMetric, Recorded, TokenMetric
from stack.paths import Cache
from stack.servers import monitoring

ROOT = Path(__file__).parents[3]
MONITORING = ROOT / "monitoring"
RULES = sorted((MONITORING / "rules").glob("*.yml"))


def promtool() -> str:
    """Prometheus' own tool. It is never skipped: rules that nobody has checked are not tested."""
    local = monitoring.promtool(Cache.default())
    found = os.environ.get("CANARIO_PROMTOOL") or (str(local) if local.exists() else shutil.which("promtool"))
    if not found:
        pytest.fail(
            "promtool is missing: `./canario up` brings it with Prometheus (into .canario/prometheus), or"
            " install the package prometheus, or name the program in CANARIO_PROMTOOL"
        )
    return found


def run_promtool(*arguments: str | Path) -> None:
    command = [promtool(), *map(str, arguments)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


def rules() -> Iterator[Mapping[str, Any]]:
    for file in RULES:
        for group in yaml.safe_load(file.read_text())["groups"]:
            yield from group["rules"]


ALERTS = tuple(rule for rule in rules() if "alert" in rule)
NAMES = {rule["alert"] for rule in ALERTS}
every_alert = pytest.mark.parametrize(
    "alert", ALERTS, ids=[f"{each['alert']} {each['labels'].get('guardrail', '')}".strip() for each in ALERTS]
)

# Words of PromQL that are no metric: functions, operators, keywords, and labels to group by.
PROMQL = {
    *(
        "histogram_quantile",
        "group_left",
        "sum",
        "min",
        "max",
        "count",
        "rate",
        "increase",
        "time",
        "timestamp",
        "abs",
        "absent",
        "clamp_min",
        "max_over_time",
    ),
    *("by", "on", "and", "or", "unless"),
    *(
        "le",
        "model",
        "outcome",
        "guardrail",
        "flag",
        "environment",
        "reason",
        "channel",
        "integration",
        "job",
        "rollout",
        "instance",
    ),
}


def metric_names(query: str) -> set[str]:
    """Names of metrics: all words outside matchers, strings and ranges that are not PromQL's own."""
    bare = re.sub(r"\[[^]]*\]|\{[^}]*\}|\"[^\"]*\"", " ", query)
    return set(re.findall(r"(?<![\w:.])[a-zA-Z_][\w:]*", bare)) - PROMQL


ALERTMANAGER = {"alertmanager_notifications_failed_total"}
KNOWN = {
    *ALERTMANAGER,
    *Metric,
    *JobMetric,
    *PlanMetric,
    *TokenMetric,
    *Recorded,
    f"{Metric.LATENCY}_bucket",
    f"{Metric.LATENCY}_count",
    "flask_http_request_duration_seconds_count",
    "up",
    "ALERTS",
}
