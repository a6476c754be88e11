"""Rules of any rollout of any service, asked of Prometheus' own tool."""

import shutil
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from common.every_rollout import stamp_of
from common.names import Model
from monitoring.__main__ import main
from monitoring.follow import RulesFollower
from monitoring.write_rules import OF_ALL
from tests.unit.monitoring.rules import ROOT, run_promtool

OURS = ROOT / "rollouts" / "breast-cancer"
RANKER = ROOT / "examples" / "fastapi" / "rollouts" / "ranker"
MESH = """\
name: mesh
flag: {name: mesh-v2}
arms:
  selector: {namespace: shop}
  label: version
  champion: v1.0
  challenger: v2.0
  scrape_interval: 30s
signals:
  calls: istio_requests_total
  errors: failed_requests_total
  latency: {metric: istio_request_duration_milliseconds, unit: milliseconds}
  heard: flags_heard_timestamp_seconds
  up: null
guardrails: istio
"""


@pytest.fixture
def rollouts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with our own service and a stranger's."""
    folder = tmp_path / "rollouts"
    for rollout in (OURS, RANKER):
        shutil.copytree(rollout, folder / rollout.name)
    monkeypatch.setenv("CANARIO_ROLLOUTS", str(folder))
    return folder


def add(folder: Path, text: str) -> Path:
    file = folder / str(yaml.safe_load(text)["name"]) / "rollout.yaml"
    file.parent.mkdir(exist_ok=True)
    file.write_text(text)
    return file


def write(out: Path, code: int = 0) -> str:
    done = CliRunner().invoke(main, ["rules", "--out", str(out)])
    assert done.exit_code == code, done.output
    return done.output


def written(out: Path, rollout: str) -> dict[str, dict[str, Any]]:
    """The rules of a rollout; alerts by name and guardrail, recorded series by name and model."""
    groups = yaml.safe_load((out / f"canario-{rollout}.yml").read_text())["groups"]
    found = {}
    for rule in (rule for group in groups for rule in group["rules"]):
        labels = rule["labels"]
        assert labels["rollout"] == rollout
        name = rule.get("alert") or rule["record"]
        found[f"{name} {labels.get('guardrail') or labels.get('model', '')}".strip()] = rule
    return found


def check(out: Path, series: Mapping[str, str], asked: Mapping[str, Any], seconds: int) -> None:
    """Each query of `asked` gives these values by these labels, at the end of the series."""
    for file in out.glob("*.yml"):
        run_promtool("check", "rules", file)
    tests = [
        {
            "expr": query,
            "eval_time": f"{seconds}s",
            "exp_samples": [{"labels": labels, "value": value} for labels, value in expected.items()],
        }
        for query, expected in asked.items()
    ]
    files = sorted(map(str, out.glob("*.yml")))
    groups = [group["name"] for file in files for group in yaml.safe_load(Path(file).read_text())["groups"]]
    document = {
        "rule_files": files,
        "evaluation_interval": "5s",
        "group_eval_order": groups,
        "tests": [
            {
                "interval": "5s",
                "input_series": [{"series": name, "values": values} for name, values in series.items()],
                "promql_expr_test": tests,
            }
        ],
    }
    file = out.parent / "test.yml"
    file.write_text(yaml.safe_dump(document))
    run_promtool("test", "rules", file)


def service(errors: str) -> dict[str, str]:
    """Two models of our own service, five calls a second of the challenger."""
    of = 'job="service", instance="a", model="challenger"'
    return {
        f"model_calls_total{{{of}}}": "0+25x120",
        f"predictions_total{{{of}}}": "0+25x120",
        f"assignments_total{{{of}}}": "0+25x120",
        f'prediction_errors_total{{{of}, reason="timeout"}}': errors,
        'up{job="service", instance="a"}': "1x120",
    }


def shop(errors: str) -> dict[str, str]:
    """The same of a shop's ranker."""
    of = 'job="shop", instance="b", variant="ranker-v2"'
    return {
        f'shop_requests_total{{{of}, status="200"}}': "0+25x120",
        f'shop_requests_total{{{of}, status="500"}}': errors,
        'up{job="shop", instance="b"}': "1x120",
    }


FIRING = 'count by (alertname, rollout, guardrail) (ALERTS{alertstate="firing", rollout!=""})'


@pytest.mark.parametrize("bad", ["ranker", "breast-cancer"])
def test_of_two_rollouts_only_the_one_that_breaches_alerts(rollouts: Path, tmp_path: Path, bad: str) -> None:
    write(tmp_path / "rules")
    errors = {"ranker": "0x120", "breast-cancer": "0x120"} | {bad: "0+20x120"}
    told = f'rollout="{bad}", guardrail="challenger-errors"'
    asked = {
        f'{FIRING} unless on (alertname) ALERTS{{alertname=~"RollbackJobSilent|RolloutJobSilent"}}': {
            f'{{alertname="GuardrailBreached", {told}}}': 1,
            f'{{alertname="CanaryNotRolledBack", {told}}}': 1,
        }
    }
    check(tmp_path / "rules", service(errors["breast-cancer"]) | shop(errors["ranker"]), asked, 600)


def test_a_rollback_of_one_does_not_end_the_alert_of_the_other(rollouts: Path, tmp_path: Path) -> None:
    """Both breach; after 5 minutes users of the ranker have the champion again, those of the other not."""
    write(tmp_path / "rules")
    ended = {
        name: "0+25x60 1500x60" if "200" in name else text for name, text in shop("0+20x60 1200x60").items()
    }
    asked = {
        'count by (rollout) (ALERTS{alertname="CanaryNotRolledBack", alertstate="firing"})': {
            '{rollout="breast-cancer"}': 1
        }
    }
    check(tmp_path / "rules", service("0+20x120") | ended, asked, 380)


def test_series_are_recorded_under_the_same_names_for_every_service(rollouts: Path, tmp_path: Path) -> None:
    add(rollouts, MESH)
    write(tmp_path / "rules")
    series = shop("0+25x120") | {
        'shop_requests_total{job="shop", instance="b", variant="control", status="200"}': "0+50x120",
        'shop_request_duration_seconds_bucket{job="shop", variant="ranker-v2", le="0.1"}': "0+25x120",
        'shop_request_duration_seconds_bucket{job="shop", variant="ranker-v2", le="+Inf"}': "0+25x120",
        'istio_request_duration_milliseconds_bucket{namespace="shop", version="v1.0", le="100"}': "0+5x120",
        'istio_request_duration_milliseconds_bucket{namespace="shop", version="v1.0", le="+Inf"}': "0+5x120",
        'istio_requests_total{namespace="shop", version="v1.0"}': "0+5x120",
        'istio_requests_total{namespace="shop", version="v1x0"}': "0+500x120",  # a stranger's
        'flags_heard_timestamp_seconds{namespace="shop", instance="a"}': "590x120",
        'flags_heard_timestamp_seconds{namespace="shop", instance="b"}': "580x120",
    }
    champion, challenger = (f'{{rollout="ranker", model="{each}"}}' for each in Model)
    asked = {
        "round(error_rate, 0.01)": {champion: 0, challenger: 0.5},
        "round(model_requests:rate1m, 0.01)": {
            champion: 10,
            challenger: 10,
            '{rollout="mesh", model="champion"}': 1,
        },
        "round(latency_seconds:p99, 0.001)": {
            challenger: 0.099,
            '{rollout="mesh", model="champion"}': 0.099,
        },
        "round(challenger_share, 0.01)": {'{rollout="ranker"}': 0.5},
        "flag_state_age_seconds": {'flag_state_age_seconds{rollout="mesh"}': 20},
    }
    check(tmp_path / "rules", series, asked, 600)


def test_what_there_is_no_signal_for_is_left_out_and_said(rollouts: Path, tmp_path: Path) -> None:
    calls = (
        RANKER.joinpath("rollout.yaml")
        .read_text()
        .split("  errors:")[0]
        .replace("name: ranker\n", "name: few\n")
    )
    inline = """\
guardrails:
  scrape_interval: 5s
  guardrails:
    - {kind: threshold, name: traffic, description: 'Nobody asks {{ it }}.', direction: below, limit: 5,
       value: 'sum(increase({calls of challenger}[{window}]))', window: 5m, action: pause,
       sample: 'sum(increase({calls of challenger}[{window}]))', smallest_sample: 1}
    - {kind: threshold, name: slow, description: It must not be slow., direction: above, limit: 5, window: 5m,
       value: 'max(rate({latency_sum of challenger}[{window}]))', action: rollback,
       sample: 'sum(increase({calls of challenger}[{window}]))', smallest_sample: 1}
"""
    add(rollouts, calls.replace("ranker-v2\n", "few-v2\n", 1) + inline)
    write(tmp_path / "rules")
    found = written(tmp_path / "rules", "few")
    assert set(found) == {
        *("model_requests:rate1m champion", "model_requests:rate1m challenger", "challenger_share"),
        *("GuardrailWarned traffic", "ServiceNotScraped"),
    }
    assert found["GuardrailWarned traffic"]["labels"]["action"] == "pause"
    text = (tmp_path / "rules" / "canario-few.yml").read_text()
    assert "# Without slow: not available: the rollout names no signal `latency`." in text
    series = {
        'shop_requests_total{job="shop", variant="ranker-v2"}': "0+0.05x120",
        'up{job="shop", instance="b"}': "1x120",
    }
    asked = {
        'count by (guardrail) (ALERTS{rollout="few", alertstate="firing"})': {'{guardrail="traffic"}': 1}
    }
    check(tmp_path / "rules", series, asked, 600)


def test_alerts_of_our_service_are_only_of_those_that_are_ours(rollouts: Path, tmp_path: Path) -> None:
    write(tmp_path / "rules")
    assert "ShadowDrops" in written(tmp_path / "rules", "breast-cancer")
    ranker = written(tmp_path / "rules", "ranker")
    assert {name.partition(" ")[0] for name, rule in ranker.items() if "alert" in rule} == {
        *("GuardrailBreached", "CanaryNotRolledBack", "ServiceNotScraped")
    }
    assert 'job="service"' not in str(ranker)


def test_windows_hold_enough_scrapes_of_a_slow_service(rollouts: Path, tmp_path: Path) -> None:
    add(rollouts, MESH)
    write(tmp_path / "rules")
    found = written(tmp_path / "rules", "mesh")
    assert "[2m]" in found["model_requests:rate1m champion"]["expr"]
    assert "[1m30s]" in found["CanaryNotRolledBack"]["expr"]
    assert found["CanaryNotRolledBack"]["for"] == "2m50s"
    assert "ServiceNotScraped" not in found, "there is no `up` of these labels"


def test_one_rollout_alone_is_overruled_by_the_variables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CANARIO_SELECTOR", 'job="models", team="x"')
    write(tmp_path / "rules")
    found = written(tmp_path / "rules", "breast-cancer")
    assert 'job="service"' not in str(found)
    assert found["ServiceNotScraped"]["expr"] == 'absent(up{job="models", team="x"})'
    monkeypatch.setenv("CANARIO_SELECTOR", "nonsense")
    assert "CANARIO_SELECTOR" in write(tmp_path / "rules", 1)


def test_a_file_that_does_not_fit_keeps_its_rules_and_stops_no_other(rollouts: Path, tmp_path: Path) -> None:
    out = tmp_path / "rules"
    write(out)
    before = (out / "canario-ranker.yml").read_text()
    text = RANKER.joinpath("rollout.yaml").read_text()
    add(rollouts, text.replace("label: variant", "lable: variant"))
    add(rollouts, MESH)
    assert "ranker/rollout.yaml:10: arms.lable" in write(out, 1)
    assert (out / "canario-ranker.yml").read_text() == before
    assert "latency_seconds:p99 champion" in written(out, "mesh")


def test_rules_of_a_rollout_that_is_gone_go_and_files_of_others_stay(rollouts: Path, tmp_path: Path) -> None:
    out = tmp_path / "rules"
    write(out)
    (out / "canario-own.yml").write_text("groups: []\n")
    (out / "node.yml").write_text("groups: []\n")
    shutil.rmtree(rollouts / "ranker")
    write(out)
    names = {"canario.yml", "canario-breast-cancer.yml", "canario-own.yml", "node.yml"}
    assert {file.name for file in out.iterdir()} == names
    assert all(file.stat().st_mode & 0o777 == 0o644 for file in out.glob("canario-b*"))
    add(rollouts, MESH.replace("name: mesh\n", "name: own\n"))
    assert "canario-own.yml was not made by this command" in write(out, 2)


def test_nothing_is_written_without_rollouts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CANARIO_ROLLOUTS", str(tmp_path))
    assert "has no NAME/rollout.yaml" in write(tmp_path / "rules", 2)
    assert not (tmp_path / "rules").exists()


@pytest.fixture
def reloaded() -> Iterator[tuple[str, list[str]]]:
    """The address of something that can be told to read its rules again, and what it was told."""
    told: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            told.append(self.path)
            self.send_response(500 if len(told) == 1 else 200)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Keep the output of the tests clean."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", told
    server.shutdown()
    thread.join()
    server.server_close()


def test_rules_follow_files_that_come_and_go(
    rollouts: Path, tmp_path: Path, reloaded: tuple[str, list[str]]
) -> None:
    (url, told), out = reloaded, tmp_path / "rules"
    follower = RulesFollower(out, stamp_of(rollouts), url)
    follower.look()
    assert {file.name for file in out.iterdir()} == {
        OF_ALL,
        "canario-breast-cancer.yml",
        "canario-ranker.yml",
    }
    assert told == ["/-/reload"], "it was refused"
    follower.look()
    follower.look()
    assert told == ["/-/reload"] * 2
    add(rollouts, MESH)
    follower.look()
    assert (out / "canario-mesh.yml").exists()
    shutil.rmtree(rollouts / "mesh")
    follower.look()
    assert not (out / "canario-mesh.yml").exists()
    assert told == ["/-/reload"] * 4


def test_a_folder_that_cannot_be_written_is_tried_again(rollouts: Path, tmp_path: Path) -> None:
    out = tmp_path / "rules"
    out.write_text("in the way")
    follower = RulesFollower(out, stamp_of(rollouts), None)
    follower.look()
    out.unlink()
    follower.look()
    assert (out / "canario-ranker.yml").exists()


def test_a_native_histogram_is_recorded_as_a_classic_one(rollouts: Path, tmp_path: Path) -> None:
    latency = "latency: {metric: istio_request_duration_milliseconds, unit: milliseconds"
    add(rollouts, MESH.replace(latency, f"{latency}, native: true"))
    out = tmp_path / "rules"
    write(out)
    run_promtool("check", "rules", out / "canario-mesh.yml")
    groups = yaml.safe_load((out / "canario-mesh.yml").read_text())["groups"]
    native = next(group for group in groups if group["name"] == "mesh native")
    assert native["interval"] == "30s"
    edges = [rule["labels"]["le"] for rule in native["rules"] if rule["record"].endswith("_bucket")]
    assert (edges[0], edges[4], edges[-2], edges[-1]) == ("1.0", "2.0", "32768.0", "+Inf")
    assert "mesh native" not in (out / "canario-ranker.yml").read_text()
