"""From a metric to somebody's phone: the real rules, the real Prometheus, the real Alertmanager.

Both run on files of the repository; only intervals are short, and the receivers are this test.
"""

import json
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml

from stack.paths import REPOSITORY, Cache
from stack.servers import monitoring
from tests.integration.conftest import wait_for
from tests.integration.own_service import free_port

MONITORING = REPOSITORY / "monitoring"
UNVERIFIED = 'rollback_unverified{rollout="breast-cancer"}'


@dataclass
class World:
    """What Prometheus scrapes, and whom Alertmanager tells."""

    address: str
    metrics: dict[str, float] = field(default_factory=dict)
    told: list[tuple[str, str, str]] = field(default_factory=list)
    """Receiver, alert, and whether it fires or is resolved."""

    def serve(self) -> ThreadingHTTPServer:
        """Answer until the server is shut down."""
        world = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = "".join(f"{name} {value}\n" for name, value in world.metrics.items()).encode()
                self._answer(body)

            def do_POST(self) -> None:
                message = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                for alert in message["alerts"]:
                    assert alert["annotations"]["runbook"].startswith("docs/runbook.md#")
                    world.told.append((self.path[1:], alert["labels"]["alertname"], alert["status"]))
                self._answer(b"")

            def _answer(self, body: bytes) -> None:
                self.send_response(200)
                self.send_header("Content-Type", "text/plain")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                """Keep the output of the tests clean."""

        host, _, port = self.address.partition(":")
        server = ThreadingHTTPServer((host, int(port)), Handler)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return server


def write_prometheus(folder: Path, world: World, alerts: str) -> Path:
    """As in the repository, looking once a second."""
    config: dict[str, Any] = yaml.safe_load((MONITORING / "prometheus.yml").read_text())
    config["global"] = {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"}
    (folder / "targets").mkdir(parents=True)
    (folder / "rules").symlink_to(MONITORING / "rules")
    for job, address in (("service", world.address), ("rollback", world.address), ("alertmanager", alerts)):
        targets = yaml.safe_dump([{"targets": [address]}])
        (folder / "targets" / f"{job}.yml").write_text(targets, encoding="utf-8")
    file = folder / "prometheus.yml"
    file.write_text(yaml.safe_dump(config), encoding="utf-8")
    return file


def write_alertmanager(folder: Path, world: World) -> Path:
    """As in the repository, at once, and with this test as whoever is told."""
    config: dict[str, Any] = yaml.safe_load((MONITORING / "alertmanager.yml").read_text())
    config["route"] |= {"group_wait": "0s", "group_interval": "1s"}
    for receiver in config["receivers"]:
        receiver["webhook_configs"] = [{"url": f"http://{world.address}/{receiver['name']}"}]
    folder.mkdir()
    file = folder / "alertmanager.yml"
    file.write_text(yaml.safe_dump(config), encoding="utf-8")
    return file


@pytest.fixture
def world(tmp_path: Path) -> Iterator[tuple[World, str]]:
    """The world, and the address of the Alertmanager in it."""
    cache, made = Cache.default(), World(f"127.0.0.1:{free_port()}")
    alerts, scraper = f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"
    made.metrics |= {UNVERIFIED: 0}
    commands = (
        (
            str(monitoring.alertmanager(cache)),
            f"--config.file={write_alertmanager(tmp_path / 'alertmanager', made)}",
            f"--storage.path={tmp_path / 'alertmanager' / 'data'}",
            f"--web.listen-address={alerts}",
            "--cluster.listen-address=",
        ),
        (
            str(monitoring.prometheus(cache)),
            f"--config.file={write_prometheus(tmp_path / 'prometheus', made, alerts)}",
            f"--storage.tsdb.path={tmp_path / 'prometheus' / 'data'}",
            f"--web.listen-address={scraper}",
            "--web.console.templates=.",
            "--web.console.libraries=.",
        ),
    )
    with ExitStack() as stack:
        server = made.serve()
        stack.callback(server.server_close)
        stack.callback(server.shutdown)
        log = stack.enter_context((tmp_path / "log").open("w"))
        for command in commands:
            process = subprocess.Popen(command, stdout=log, stderr=log, cwd=monitoring.templates(cache))
            stack.callback(process.wait)
            stack.callback(process.terminate)
        yield made, alerts


def test_alerts_reach_the_right_people_and_what_follows_from_a_rollback_does_not(
    world: tuple[World, str],
) -> None:
    seen, alerts = world
    errors = 'prediction_errors_total{model="challenger",reason="timeout"}'
    calls, orders = (
        'model_calls_total{model="challenger"}',
        'rollback_orders_total{rollout="breast-cancer",guardrail="errors",verified="true"}',
    )
    seen.metrics |= {errors: 0, calls: 0, orders: 0}

    def states() -> dict[str, str]:
        try:
            found = requests.get(f"http://{alerts}/api/v2/alerts", timeout=2).json()
        except requests.ConnectionError:  # it is still starting
            return {}
        return {one["labels"]["alertname"]: one["status"]["state"] for one in found}

    seen.metrics[UNVERIFIED] = 1
    wait_for(lambda: ("page", "RollbackNotVerified", "firing") in seen.told, 15, "a critical alert pages")
    seen.metrics |= {UNVERIFIED: 0, orders: 1}
    wait_for(lambda: ("page", "RollbackNotVerified", "resolved") in seen.told, 15, "its end is told too")
    wait_for(lambda: ("team", "ChallengerRolledBack", "firing") in seen.told, 15, "a rollback is told")
    seen.metrics |= {errors: 100, calls: 100}
    wait_for(lambda: states().get("GuardrailBreached") == "suppressed", 15, "what explains it is kept back")
    assert "GuardrailBreached" not in {alert for _, alert, _ in seen.told}
    assert {receiver for receiver, alert, _ in seen.told if alert == "RollbackNotVerified"} == {"page"}
    assert {receiver for receiver, alert, _ in seen.told if alert == "ChallengerRolledBack"} == {"team"}
