"""Who is told of what: valid for amtool, and each alert reaches the right people."""

import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from stack.paths import Cache
from stack.servers import monitoring
from tests.unit.monitoring.rules import MONITORING, NAMES, ROOT, every_alert

FILE = MONITORING / "alertmanager.yml"
CONFIG: Mapping[str, Any] = yaml.safe_load(FILE.read_text(encoding="utf-8"))
DOCUMENT = ROOT / "docs" / "monitoring.md"


def amtool(*arguments: str | Path) -> str:
    """What Alertmanager's own tool says. It is never skipped."""
    local = monitoring.amtool(Cache.default())
    found = os.environ.get("CANARIO_AMTOOL") or (str(local) if local.exists() else shutil.which("amtool"))
    if not found:
        pytest.fail(
            "amtool is missing: `./canario up` brings it with Alertmanager, or name it in CANARIO_AMTOOL"
        )
    done = subprocess.run(
        [found, *map(str, arguments)], check=False, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.strip()


def test_the_configuration_is_valid() -> None:
    assert "SUCCESS" in amtool("check-config", FILE)


@every_alert
def test_what_is_critical_pages_somebody_and_the_rest_can_wait(alert: Mapping[str, Any]) -> None:
    labels = {"alertname": alert["alert"], **alert["labels"]}
    words = [f"{name}={value}" for name, value in labels.items()]
    told = amtool("config", "routes", "test", f"--config.file={FILE}", *words)
    assert told == ("page" if labels["severity"] == "critical" else "team")


def test_nothing_critical_is_ever_kept_back() -> None:
    for rule in CONFIG["inhibit_rules"]:
        assert 'severity="warning"' in rule["target_matchers"]


def test_inhibitions_speak_of_alerts_that_exist() -> None:
    text = str(CONFIG["inhibit_rules"])
    named = {name for names in re.findall(r'alertname=~?"([^"]+)"', text) for name in names.split("|")}
    assert named
    assert named <= NAMES


def test_what_is_known_of_one_rollout_keeps_back_nothing_of_another() -> None:
    assert all(rule["equal"] == ["rollout"] for rule in CONFIG["inhibit_rules"])


def test_a_message_is_of_one_rollout_unless_it_is_of_a_process_that_serves_many() -> None:
    shown = amtool("config", "routes", "show", f"--config.file={FILE}")
    assert "RolloutJobSilent" in shown
    assert CONFIG["route"]["group_by"] == ["alertname", "rollout"]
    page, team = CONFIG["route"]["routes"]
    of_processes = str([*page["routes"], team])
    found = {name for names in re.findall(r'alertname=~"([^"]+)"', of_processes) for name in names.split("|")}
    assert found <= NAMES
    assert all(route["group_by"] == ["alertname"] for route in (*page["routes"], team))


def test_nobody_is_told_and_nothing_is_secret_by_default() -> None:
    assert CONFIG["receivers"] == [{"name": "page"}, {"name": "team"}]


def examples() -> list[str]:
    return re.findall(r"^```yaml\n(.*?)^```$", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("number", range(3))
def test_each_example_of_a_receiver_is_valid_and_holds_no_secret(number: int, tmp_path: Path) -> None:
    receivers = yaml.safe_load(examples()[number])
    config = {**CONFIG, **receivers}
    assert {one["name"] for one in config["receivers"]} == {"page", "team"}
    file = tmp_path / "alertmanager.yml"
    file.write_text(yaml.safe_dump(config), encoding="utf-8")
    amtool("check-config", file)
    assert not re.search(r"(password|token|api_url|secret)\s*:", examples()[number]), "files hold them"


def test_there_is_an_example_for_each_kind() -> None:
    kinds = {"slack_configs", "email_configs", "webhook_configs"}
    assert {kind for text in examples() for kind in kinds if kind in text} == kinds
    assert len(examples()) == 3
