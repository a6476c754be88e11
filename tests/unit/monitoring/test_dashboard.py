"""The dashboard in the repository: made by its code, whole for the SDK, and fit to be read."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

from common.names import Metric
from monitoring.dashboard.__main__ import main
from monitoring.dashboard.annotations import EXTRA
from monitoring.dashboard.build import UID, Pages, build, render
from tests.dashboard import FILE, document, panels, queries
from tests.unit.monitoring.rules import KNOWN, PROMQL, ROOT, metric_names, run_promtool

PROVISIONING = FILE.parents[1] / "provisioning"
every_panel = pytest.mark.parametrize("panel", panels(), ids=lambda panel: panel["title"])
LABELS = {
    "job",
    "class",
    "outcome",
    "status",
    "kind",
    "version",
    "name",
    "sha256",
    "alertname",
    "alertstate",
    "severity",
}
WORDS = {*LABELS, "ignoring", "group_right", "max_over_time", "min_over_time"}
OTHERS = {"ALERTS_FOR_STATE", "flask_http_request_total"}


def test_the_file_is_what_the_code_makes() -> None:
    assert FILE.read_text(encoding="utf-8") == render(build(Pages())), "run ./canario dashboard"


def test_it_answers_what_somebody_on_call_asks() -> None:
    """What must be drawn, whatever makes it: who gets what, is it worse, do the jobs work."""
    drawn = {name for query in queries() for name in metric_names(query.expression)}
    assert drawn >= {
        *("rollback_flag_share", "predictions_total", "assignments_total"),
        *("rollback_verdict", "rollback_value", "rollback_limit", "ALERTS"),
        *("latency_seconds:p50", "latency_seconds:p99", "error_rate", "model_requests:rate1m"),
        *("challenger_share", "agreement_rate", "prediction_errors_total"),
        *("challenger_calls_prevented_total", "challenger_breaker_open"),
        *("outcomes_total", "shadow_samples_total"),
        *("rollback_last_pass_ago_seconds", "flag_state_age_seconds", "log_drops_total"),
        *("rollback_flag_changed_timestamp_seconds", "rollback_orders_total"),
    }


def again(text: str) -> Any:
    """The document as the SDK reads and writes it."""
    register_default_plugins()
    return json.loads(json.dumps(Dashboard.from_json(json.loads(text)), cls=JSONEncoder))


def test_decoding_and_encoding_it_loses_nothing_but_what_the_sdk_has_no_name_for() -> None:
    """The SDK knows annotations of every data source by the same few fields."""
    expected = document()
    for annotation in expected["annotations"]["list"]:
        for name in EXTRA:
            del annotation[name]
    assert again(FILE.read_text(encoding="utf-8")) == expected


def test_panels_have_numbers_of_their_own_and_do_not_overlap() -> None:
    everything = document()["panels"]
    assert len({panel["id"] for panel in everything}) == len(everything)
    taken: set[tuple[int, int]] = set()
    for panel in everything:
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= 24
        cells = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
        assert not cells & taken, panel["title"]
        taken |= cells


@every_panel
def test_a_panel_says_what_it_shows_in_which_unit(panel: dict[str, Any]) -> None:
    assert len(panel["description"]) > 10
    assert panel["fieldConfig"]["defaults"]["unit"]
    assert panel["datasource"]["uid"] == "${datasource}"
    references = [target["refId"] for target in panel["targets"]]
    assert len(set(references)) == len(references)
    for target in panel["targets"]:
        assert target["datasource"]["uid"] == "${datasource}"
        by = re.match(r"sum by \(([^)]*)\)", target["expr"])
        for label in by.group(1).split(", ") if by and panel["type"] == "timeseries" else ():
            assert f"{{{{{label}}}}}" in target["legendFormat"], "each line has a name of its own"


def test_no_window_is_written_down() -> None:
    for panel in panels():
        for target in panel["targets"]:
            assert set(re.findall(r"\[([^]]+)\]", target["expr"])) <= {"$__rate_interval"}
            assert "interval" not in target


@pytest.mark.parametrize("query", list(queries()), ids=lambda query: query.asker)
def test_queries_use_only_metrics_that_exist(query: Any) -> None:
    assert metric_names(query.expression) - PROMQL - WORDS <= KNOWN | OTHERS | {
        f"{name}_bucket" for name in KNOWN
    }


def test_everything_is_of_the_rollout_and_only_one_row_is_of_our_own_service() -> None:
    first = document()["templating"]["list"][0]
    assert (first["name"], first["query"]["query"]) == (
        "rollout",
        "label_values(rollback_last_pass_ago_seconds, rollout)",
    )
    row, own = "", set()
    for panel in document()["panels"]:
        if panel["type"] == "row":
            row = panel["title"]
            continue
        for target in panel["targets"]:
            names = {*Metric, "flask_http_request_total"} & metric_names(target["expr"])
            of_service = bool(names) or "$job" in target["expr"] or "_bucket" in target["expr"]
            if of_service:
                own.add(row)
            elif panel["title"] != "Files of all rollouts":
                selectors = re.findall(r"[\w:]+(\{[^}]*\})", target["expr"])
                assert selectors
                assert all(re.search(r'rollout=~?"\$rollout', one) for one in selectors), panel["title"]
    assert len(own) == 1
    assert "Only Canario's own service" in own.pop()
    for annotation in document()["annotations"]["list"]:
        assert "$rollout" in annotation["expr"]


def test_outcomes_are_drawn_within_one_stage_and_version_only(tmp_path: Path) -> None:
    """The share moves at 60 s, and the version at 120 s: a rate over 20 s is of one of each, or not drawn."""
    (query,) = [one for one in queries() if one.asker == "Outcomes by request assigned A"]
    counted = [
        (f'{name}{{job="service", model="{model}"{more}}}', f"0+{step}x40")
        for name, more, of in (
            ("assignments_total", "", {"champion": 10, "challenger": 5}),
            ("outcomes_total", ', outcome="bought"', {"champion": 1, "challenger": 1}),
        )
        for model, step in of.items()
    ]
    of_flag = 'rollout="breast-cancer", flag="canary"'
    changed = f'rollback_flag_changed_timestamp_seconds{{{of_flag}, by="%s"}}'
    served = 'model_info{job="service", model="%s", version="%s", sha256="%s"}'
    series = [
        *counted,
        (changed % "a person", "0x11 _x30"),
        (changed % "canario-rollout", "_x12 60x30"),
        (served % ("champion", "1", "a"), "1x40"),
        (served % ("challenger", "2", "b"), "1x23 0x20"),
        (served % ("challenger", "3", "c"), "0x23 1x20"),
    ]
    found = {'{model="champion", outcome="bought"}': 0.1, '{model="challenger", outcome="bought"}': 0.2}
    both = [{"labels": labels, "value": value} for labels, value in found.items()]
    expected = {"55s": both, "65s": [], "90s": both, "125s": both[:1], "150s": both}
    test = {
        "interval": "5s",
        "input_series": [{"series": name, "values": values} for name, values in series],
        "promql_expr_test": [
            {"expr": f"round({query.expression}, 0.001)", "eval_time": time, "exp_samples": samples}
            for time, samples in expected.items()
        ],
    }
    file = tmp_path / "stages_test.yml"
    file.write_text(yaml.safe_dump({"evaluation_interval": "5s", "tests": [test]}))
    run_promtool("test", "rules", file)


def test_it_has_one_address_for_good_and_links_where_people_act(tmp_path: Path) -> None:
    assert document()["uid"] == UID == "canario-rollout"
    assert document()["editable"] is False
    assert [link["title"] for link in document()["links"]] == ["Board", "Flag in Unleash"]
    out = tmp_path / "own.json"
    pages = [
        "--board",
        "",
        "--unleash",
        "https://flags.example/",
        "--runbook",
        "https://wiki.example/runbook",
    ]
    assert CliRunner().invoke(main, ["--out", str(out), *pages]).exit_code == 0
    links = {link["title"]: link["url"] for link in json.loads(out.read_text())["links"]}
    assert links == {
        "Flag in Unleash": "https://flags.example/projects/default/features/$flag",
        "Runbook": "https://wiki.example/runbook",
    }


def provisioned(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((PROVISIONING / name / "canario.yml").read_text(encoding="utf-8"))
    assert loaded["apiVersion"] == 1
    return loaded


def test_grafana_finds_its_data_where_the_environment_says() -> None:
    sources = provisioned("datasources")["datasources"]
    assert [source["type"] for source in sources] == ["prometheus", "alertmanager"]
    assert [source["isDefault"] for source in sources if "isDefault" in source] == [True]
    assert all(re.fullmatch(r"\$[A-Z]+_URL", source["url"]) for source in sources)
    assert len({source["uid"] for source in sources}) == len(sources)
    scraped = yaml.safe_load((ROOT / "monitoring" / "prometheus.yml").read_text())["global"][
        "scrape_interval"
    ]
    assert sources[0]["jsonData"]["timeInterval"] == scraped


def test_grafana_finds_the_dashboard() -> None:
    (provider,) = provisioned("dashboards")["providers"]
    assert provider["type"] == "file"
    assert provider["allowUiUpdates"] is False
    assert provider["options"]["path"] == "/etc/grafana/dashboards"
