"""The rules in the repository: those of its rollouts, valid for promtool, right by its rule tests.

And at one with names and guardrails of the code. test_write_rules.py has the rules of other rollouts.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from common.arms import Arms
from common.durations import parse_duration
from common.names import Metric, Model, Recorded
from monitoring.write_rules import OF_ALL, rule_files
from rollback.guardrails.file import Policy, load_policy
from rollback.guardrails.kinds.sequential import Sequential
from rollback.guardrails.kinds.template import render
from rollback.guardrails.kinds.threshold import Direction, Threshold
from tests import runbook
from tests.unit.monitoring.rules import (
    ALERTMANAGER,
    ALERTS,
    KNOWN,
    MONITORING,
    NAMES,
    ROOT,
    RULES,
    every_alert,
    metric_names,
    rules,
    run_promtool,
)

ARMS = Arms("canary", "production")
SERVICE_JOB = "service"
OF_SERVICE = {
    *(name for each in Metric for name in (each.value, f"{each}_bucket", f"{each}_count")),
    "flask_http_request_duration_seconds_count",
}
RULE_TESTS = sorted((MONITORING / "tests").glob("*_test.yml"))


RECORDED = {rule["record"] for rule in rules() if "record" in rule}
POLICY: Policy = load_policy()


def test_the_rules_in_the_repository_are_those_of_its_rollouts() -> None:
    made = dict(rule_files({}))
    assert {file.name for file in RULES} == {OF_ALL, *made}, "run ./canario rules"
    for file in RULES:
        if file.name != OF_ALL:
            assert file.read_text() == made[file.name], "run ./canario rules --out monitoring/rules"


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
    texts = [file.read_text() for file in RULE_TESTS]
    for file in RULE_TESTS:
        for test in yaml.safe_load(file.read_text())["tests"]:
            tested += " ".join(each["expr"] for each in test.get("promql_expr_test", []))
            for each in test.get("alert_rule_test", []):
                (firing if each.get("exp_alerts") else quiet).add(each["alertname"])
    assert firing == NAMES
    assert quiet == NAMES
    assert all(f"guardrail: {each.name}" in " ".join(texts) for each in POLICY.of(Threshold))
    assert [name for name in RECORDED if name not in tested] == []


def test_every_recorded_name_has_its_rule() -> None:
    assert set(RECORDED) == set(Recorded)


@pytest.mark.parametrize("rule", list(rules()), ids=lambda rule: rule.get("alert") or rule["record"])
def test_rules_use_only_metrics_that_exist(rule: Mapping[str, Any]) -> None:
    names = metric_names(rule["expr"])
    assert names
    assert names <= KNOWN


@pytest.mark.parametrize("guardrail", POLICY.of(Threshold), ids=lambda guardrail: guardrail.name)
def test_thresholds_use_only_metrics_that_exist(guardrail: Threshold) -> None:
    for template in (guardrail.value, guardrail.sample):
        names = metric_names(render(template, guardrail.window, ARMS))
        assert names
        assert names <= KNOWN


@pytest.mark.parametrize("guardrail", POLICY.of(Sequential), ids=lambda guardrail: guardrail.name)
def test_sequential_guardrails_count_metrics_that_exist(guardrail: Sequential) -> None:
    assert guardrail.series
    assert {each.name.removesuffix("_bucket") for each in guardrail.series} <= set(Metric)


def test_matchers_name_the_job_and_models_that_exist() -> None:
    queries = [rule["expr"] for rule in rules()]
    for guardrail in POLICY.of(Threshold):
        queries += [render(text, guardrail.window, ARMS) for text in (guardrail.value, guardrail.sample)]
    for query in queries:
        for value in re.findall(r'model=~?"([^"]*)"', query):
            assert set(value.split("|")) <= set(Model)
        # Other teams have a latency_seconds as well.
        for name, matchers in re.findall(r"([\w:]+)(\{[^}]*\})", query):
            if name in OF_SERVICE:
                assert f'job="{SERVICE_JOB}"' in matchers
            elif name not in {*ALERTMANAGER, "up"}:
                assert 'rollout!=""' in matchers or 'rollout="breast-cancer"' in matchers


@pytest.mark.parametrize(
    "alert",
    [each for each in ALERTS if each["alert"] not in {"AlertsNotDelivered", "ClocksDiffer"}],
    ids=lambda alert: str(alert["alert"]),
)
def test_an_alert_tells_which_rollout_by_a_label_and_in_words(alert: Mapping[str, Any]) -> None:
    """A clock is that of a process, which may have many rollouts."""
    summary = alert["annotations"]["summary"]
    if rollout := alert["labels"].get("rollout"):
        assert summary.startswith(f"{rollout}: ")
    else:
        assert re.match(r"{{ (with )?\$labels\.rollout }}", summary)
        assert "by (rollout" in alert["expr"] or alert["alert"] == "FlagStateStale"
        assert not re.search(r"\bon \((?!rollout|job, instance|\))", alert["expr"]), "joined across rollouts"


def squeezed(query: str) -> str:
    return re.sub(r"\s+", "", query)


@pytest.mark.parametrize("guardrail", POLICY.of(Threshold), ids=lambda guardrail: guardrail.name)
def test_each_threshold_has_an_alert_with_its_queries_limit_sample_and_time(guardrail: Threshold) -> None:
    (alert,) = [rule for rule in ALERTS if rule["labels"].get("guardrail") == guardrail.name]
    side = ">" if guardrail.direction is Direction.ABOVE else "<"
    value, sample = (render(text, guardrail.window, ARMS) for text in (guardrail.value, guardrail.sample))
    wanted = f"({value}) {side} {guardrail.limit:g} and on () ({sample}) >= {guardrail.smallest_sample}"
    assert squeezed(alert["expr"]) == squeezed(wanted)
    assert alert["labels"]["action"] == guardrail.action
    assert (parse_duration(alert["for"]) if "for" in alert else None) == guardrail.hold


def test_no_alert_speaks_of_a_guardrail_that_is_gone() -> None:
    named = {rule["labels"]["guardrail"] for rule in ALERTS if "guardrail" in rule["labels"]}
    assert named == {guardrail.name for guardrail in POLICY.of(Threshold)}


@every_alert
def test_each_alert_says_how_grave_it_is_and_what_to_do(alert: Mapping[str, Any]) -> None:
    assert alert["labels"]["severity"] in {"warning", "critical"}
    assert {"summary", "description", "runbook", "runbook_url"} == set(alert["annotations"])
    file, _, anchor = alert["annotations"]["runbook"].partition("#")
    assert ROOT / file == runbook.FILE
    below = runbook.paragraphs(runbook.page())
    assert alert["annotations"]["runbook_url"] == f"http://127.0.0.1:8100/docs/runbook#{anchor}"
    assert f"`{alert['alert']}`" in below[anchor], "the paragraph names the alert"
    (row,) = [line for line in below["alerts"].splitlines() if f"`{alert['alert']}`" in line]
    assert f"](#{anchor})" in row, "the table of all alerts leads there too"


def test_the_runbook_knows_no_alert_that_is_gone() -> None:
    table = runbook.paragraphs(runbook.page())["alerts"]
    assert set(re.findall(r"`([A-Z]\w+)`", table)) == NAMES


def test_the_service_is_scraped_as_often_as_the_guardrails_think() -> None:
    config = yaml.safe_load((MONITORING / "prometheus.yml").read_text())
    assert parse_duration(config["global"]["scrape_interval"]) == POLICY.scrape_interval
    assert [job["job_name"] for job in config["scrape_configs"]] == [
        SERVICE_JOB,
        "rollback",
        "rollout",
        "alertmanager",
        "other",
    ]
    assert not any("scrape_interval" in job for job in config["scrape_configs"])
