"""The rollback job on the real Prometheus and the real Unleash."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import requests

from flags.canary.share import read_state, set_share
from flags.unleash.admin import UnleashAdmin
from stack.api import Stack
from stack.paths import REPOSITORY
from stack.processes import environment
from tests.integration.conftest import FLAG, Service
from tests.unit.waiting import until


def one_pass(stack: Stack, **settings: str) -> tuple[int, dict[str, Any], str]:
    """Exit code, document and log of `./canario rollback --json` with these CANARIO_ variables."""
    variables = environment.rollback(stack.site)
    for name, value in settings.items():
        variables.pop(f"CANARIO_{name.upper()}_FILE", None)
        variables[f"CANARIO_{name.upper()}"] = value
    done = subprocess.run(
        [sys.executable, "-m", "rollback", "--json"],
        cwd=REPOSITORY,
        env=variables,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "Traceback" not in done.stderr
    return done.returncode, json.loads(done.stdout) if done.stdout else {}, done.stderr


def test_nothing_is_judged_while_nobody_gets_the_challenger(stack: Stack, service: Service) -> None:
    code, document, _ = one_pass(stack)
    assert (code, document["outcome"]) == (0, "not exposed")


def test_too_little_traffic_is_no_data_and_no_rollback(
    stack: Stack, service: Service, admin: UnleashAdmin
) -> None:
    set_share(admin, FLAG, 100)
    service.predict_all([f"u{number}" for number in range(30)])
    code, document, _ = one_pass(stack)
    assert code == 0
    assert {verdict["verdict"] for verdict in document["verdicts"]} == {"no data"}
    assert read_state(admin, FLAG).enabled


def test_errors_are_judged_by_the_users_whom_the_service_counts(
    stack: Stack, service: Service, admin: UnleashAdmin
) -> None:
    set_share(admin, FLAG, 40)
    users = iter(range(10**6))

    def errors() -> dict[str, Any]:
        service.predict_all([f"by-user-{next(users)}" for _ in range(200)])
        _, document, _ = one_pass(stack)
        verdicts = {each["guardrail"]: each for each in document["verdicts"]}
        assert "cannot measure" not in {each["verdict"] for each in verdicts.values()}, verdicts
        errors: dict[str, Any] = verdicts["errors"]
        return errors

    until(lambda: errors()["verdict"] == "ok", 60, every=2)
    assert "each user once in 10 minutes" in errors()["sentence"]
    before = counted_buckets(service)
    answers = service.predict_all([f"by-user-{next(users)}" for _ in range(1000)])
    fell_back = sum(answer["reason"].startswith("fallback") for answer in answers)
    after = counted_buckets(service)
    called = {key: calls - before.get(key, 0) for key, calls in after.items() if calls > before.get(key, 0)}
    # The bucket is the flag's own, so its share parts them; who falls back is the champion's too.
    assert {bucket <= 40 for model, bucket in called if model == "challenger"} == {True}
    of_champion = {bucket: calls for (model, bucket), calls in called.items() if model == "champion"}
    assert sum(calls for bucket, calls in of_champion.items() if bucket <= 40) == fell_back
    assert sum(of_champion.values()) == sum(answer["model"] == "champion" for answer in answers)
    assert len(of_champion) > 55


def counted_buckets(service: Service) -> dict[tuple[str, int], float]:
    """`bucket_calls_total` of /metrics by model and bucket."""
    text = requests.get(f"{service.url}/metrics", timeout=10).text
    series = re.findall(r'^bucket_calls_total\{bucket="(\d+)",model="(\w+)"\} (\S+)$', text, re.MULTILINE)
    return {(model, int(bucket)): float(calls) for bucket, model, calls in series}


def test_without_prometheus_the_job_cannot_measure_and_the_flag_stays(
    stack: Stack, service: Service, admin: UnleashAdmin
) -> None:
    set_share(admin, FLAG, 5)
    stack.stop("prometheus")
    try:
        code, document, log = one_pass(stack)
    finally:
        stack.start("prometheus")
    assert (code, document["outcome"]) == (3, "cannot measure")
    assert stack.addresses.prometheus.removeprefix("http://") in log + json.dumps(document)
    assert read_state(admin, FLAG).enabled


def test_without_unleash_the_job_cannot_measure(stack: Stack, service: Service, admin: UnleashAdmin) -> None:
    set_share(admin, FLAG, 5)
    stack.stop("unleash")
    try:
        code, _, _ = one_pass(stack)
    finally:
        stack.start("unleash")
    assert code == 3


def test_a_wrong_token_is_said_and_not_shown(stack: Stack, service: Service) -> None:
    code, document, log = one_pass(stack, unleash_admin_token="user:0123456789wrong")
    assert code == 3
    told = log + json.dumps(document)
    assert "CANARIO_UNLEASH_ADMIN_TOKEN" in told
    assert "0123456789wrong" not in told


def test_a_missing_flag_is_said(stack: Stack, service: Service) -> None:
    code, document, _ = one_pass(stack, canary_flag="no-such-flag")
    # 4 where users of the flag that there is, from another test, still get the challenger: all the worse.
    assert code in {3, 4}
    assert "no-such-flag" in json.dumps(document)


def test_a_missing_setting_is_said() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "rollback"],
        cwd=REPOSITORY,
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert "CANARIO_UNLEASH_URL" in done.stderr
    assert "CANARIO_PROMETHEUS_URL" in done.stderr
    assert "Traceback" not in done.stderr


def demo(stack: Stack, folder: Path) -> dict[str, Any]:
    """The figures of `./canario demo` on this stack, and what it printed under `printed`."""
    folder.mkdir()
    figures_file = folder / "demo.json"
    stack.start("rollback")
    try:
        done = subprocess.run(
            [
                *(sys.executable, "-m", "drills", "demo", "--percent", "25"),
                *("--home", str(stack.home.root), "--json", str(figures_file)),
            ],
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
            timeout=110,
            check=False,
        )
    finally:
        stack.stop("rollback")
    assert figures_file.exists(), done.stdout + done.stderr
    figures: dict[str, Any] = json.loads(figures_file.read_text(encoding="utf-8"))
    assert done.returncode == (0 if figures["passed"] else 1)
    return figures | {"printed": done.stdout + done.stderr}


@pytest.mark.timeout(240)
def test_a_slow_challenger_is_rolled_back_and_nobody_else_notices(
    stack: Stack, service: Service, admin: UnleashAdmin, tmp_path: Path
) -> None:
    """The acceptance scenario, as `./canario demo` runs it."""
    figures = demo(stack, tmp_path / "first")
    slow = [fault for fault in figures["faults"] if "more than before" in fault]
    if slow and slow == figures["faults"]:  # a single request: it may be the machine, once
        figures = demo(stack, tmp_path / "again")
    assert figures["passed"] is True, figures["printed"]
    assert figures["turned_off_by"] == "canario-rollback"
    assert figures["seconds_to_off"] < 60
    assert figures["outsiders"]["failed"] == 0
    assert figures["breaches"][0]["guardrail"] in {
        "errors",
        "tail-latency",
        "hard-latency",
        "challenger-errors",
    }
    left = read_state(admin, FLAG)  # as the demo found it
    assert (left.enabled, left.percent, left.quarantined) == (True, 0, ())
    # Raised again, the canary is judged by what happens from then on, not by the fault that is over.
    set_share(admin, FLAG, 25)
    code, document, _ = one_pass(stack)
    assert (code, document["outcome"]) == (0, "fine")
    assert read_state(admin, FLAG).enabled
