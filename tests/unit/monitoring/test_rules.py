"""The rules: valid for promtool, right by its rule tests, at one with names and guardrails of the code."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from common.durations import parse_duration
from common.names import JobMetric, Metric, Model, PlanMetric, Recorded, TokenMetric
from rollback.guardrails import Direction, Policy, Threshold, load_policy, render
from rollback.kinds.sequential import CounterLimit, CounterRatio, Form
from stack.install import prometheus
from stack.paths import Cache
from tests import runbook

SERVICE_JOB = "service"
ROOT = Path(__file__).parents[3]
MONITORING = ROOT / "monitoring"
RULES = sorted((MONITORING / "rules").glob("*.yml"))
RULE_TESTS = sorted((MONITORING / "tests").glob("*_test.yml"))


def promtool() -> str:
    """Prometheus' own tool. It is never skipped: rules that nobody has checked are not tested."""
    local = prometheus.promtool(Cache.default())
    found = os.environ.get("CANARIO_PROMTOOL") or (str(local) if local.exists() else shutil.which("promtool"))
    if not found:
        pytest.fail(
            "promtool is missing: `make up` brings it with Prometheus (into .canario/prometheus), or install"
            " the package prometheus, or name the program in CANARIO_PROMTOOL"
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


ALERTS = {rule["alert"]: rule for rule in rules() if "alert" in rule}
RECORDED = {rule["record"]: rule for rule in rules() if "record" in rule}
POLICY: Policy = load_policy()


def test_the_configuration_is_valid_and_finds_its_rules_and_targets() -> None:
    run_promtool("check", "config", MONITORING / "prometheus.yml")


@pytest.mark.parametrize("file", RULES, ids=lambda file: file.name)
def test_the_rules_are_valid(file: Path) -> None:
    run_promtool("check", "rules", file)


@pytest.mark.parametrize("file", RULE_TESTS, ids=lambda file: file.name)
def test_the_rules_do_what_their_tests_say(file: Path) -> None:
    run_promtool("test", "rules", file)


def test_every_rule_is_tested_and_every_alert_both_firing_and_quiet() -> None:
    tested = ""
    firing: set[str] = set()
    quiet: set[str] = set()
    for file in RULE_TESTS:
        for test in yaml.safe_load(file.read_text())["tests"]:
            tested += " ".join(each["expr"] for each in test.get("promql_expr_test", []))
            for each in test.get("alert_rule_test", []):
                (firing if each.get("exp_alerts") else quiet).add(each["alertname"])
    assert firing == set(ALERTS)
    assert quiet == set(ALERTS)
    assert [name for name in RECORDED if name not in tested] == []


def test_every_recorded_name_has_its_rule() -> None:
    assert set(RECORDED) == set(Recorded)


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


@pytest.mark.parametrize("rule", list(rules()), ids=lambda rule: rule.get("alert") or rule["record"])
def test_rules_use_only_metrics_that_exist(rule: Mapping[str, Any]) -> None:
    names = metric_names(rule["expr"])
    assert names
    assert names <= KNOWN


@pytest.mark.parametrize("guardrail", POLICY.thresholds, ids=lambda guardrail: guardrail.name)
def test_thresholds_use_only_metrics_that_exist(guardrail: Threshold) -> None:
    for template in (guardrail.value, guardrail.sample):
        names = metric_names(render(template, guardrail.window))
        assert names
        assert names <= KNOWN


@pytest.mark.parametrize("guardrail", POLICY.sequential, ids=lambda guardrail: guardrail.name)
def test_sequential_guardrails_count_metrics_that_exist(guardrail: Form) -> None:
    if isinstance(guardrail, CounterRatio | CounterLimit):
        assert {guardrail.bad.name, guardrail.total.name} <= set(Metric)
    else:
        assert guardrail.histogram in set(Metric)


def test_matchers_name_the_job_and_models_that_exist() -> None:
    queries = [rule["expr"] for rule in rules()]
    for guardrail in POLICY.thresholds:
        queries += [render(text, guardrail.window) for text in (guardrail.value, guardrail.sample)]
    for query in queries:
        for value in re.findall(r'model=~?"([^"]*)"', query):
            assert set(value.split("|")) <= set(Model)
        # Other teams have a latency_seconds as well.
        for name, matchers in re.findall(r"([\w:]+)(\{[^}]*\})", query):
            jobs = (
                {"rollback"}
                if name in set(JobMetric)
                else {"rollout"}
                if name in set(PlanMetric)
                else {"rollback", "rollout"}
                if name in set(TokenMetric)
                else {"alertmanager"}
                if name in ALERTMANAGER
                else {SERVICE_JOB, "rollout"}
                if name == "up"
                else {SERVICE_JOB}
            )
            named = re.findall(r'job=~?"([^"]*)"', matchers)
            assert name == "ALERTS" or (named and set(named[0].split("|")) <= jobs)


def squeezed(query: str) -> str:
    return re.sub(r"\s+", "", query)


@pytest.mark.parametrize("guardrail", POLICY.thresholds, ids=lambda guardrail: guardrail.name)
def test_each_threshold_has_an_alert_with_its_queries_limit_sample_and_time(guardrail: Threshold) -> None:
    (alert,) = [rule for rule in ALERTS.values() if rule["labels"].get("guardrail") == guardrail.name]
    side = ">" if guardrail.direction is Direction.ABOVE else "<"
    value, sample = (render(text, guardrail.window) for text in (guardrail.value, guardrail.sample))
    wanted = f"{value} {side} {guardrail.limit:g} and {sample} >= {guardrail.smallest_sample}"
    assert squeezed(alert["expr"]) == squeezed(wanted)
    assert alert["labels"]["action"] == guardrail.action
    assert (parse_duration(alert["for"]) if "for" in alert else None) == guardrail.hold


def test_no_alert_speaks_of_a_guardrail_that_is_gone() -> None:
    named = {rule["labels"]["guardrail"] for rule in ALERTS.values() if "guardrail" in rule["labels"]}
    assert named == {guardrail.name for guardrail in POLICY.thresholds}


@pytest.mark.parametrize("alert", ALERTS.values(), ids=lambda alert: alert["alert"])
def test_each_alert_says_how_grave_it_is_and_what_to_do(alert: Mapping[str, Any]) -> None:
    assert alert["labels"]["severity"] in {"warning", "critical"}
    assert {"summary", "description", "runbook"} == set(alert["annotations"])
    file, _, anchor = alert["annotations"]["runbook"].partition("#")
    assert ROOT / file == runbook.FILE
    below = runbook.paragraphs(runbook.page())
    assert f"`{alert['alert']}`" in below[anchor], "the paragraph names the alert"
    (row,) = [line for line in below["alerts"].splitlines() if f"`{alert['alert']}`" in line]
    assert f"](#{anchor})" in row, "the table of all alerts leads there too"


def test_the_runbook_knows_no_alert_that_is_gone() -> None:
    table = runbook.paragraphs(runbook.page())["alerts"]
    assert set(re.findall(r"`([A-Z]\w+)`", table)) == set(ALERTS)


def test_the_service_is_scraped_as_often_as_the_guardrails_think() -> None:
    config = yaml.safe_load((MONITORING / "prometheus.yml").read_text())
    assert parse_duration(config["global"]["scrape_interval"]) == POLICY.scrape_interval
    assert [job["job_name"] for job in config["scrape_configs"]] == [
        SERVICE_JOB,
        "rollback",
        "rollout",
        "alertmanager",
    ]
    assert not any("scrape_interval" in job for job in config["scrape_configs"])
