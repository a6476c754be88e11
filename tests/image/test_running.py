"""A container of the image, restricted as in docker-compose.yml."""

import socket
import threading
import time
from urllib.parse import urlsplit

import requests

from tests.image.container import JSON, NOWHERE, REQUEST, Container, as_in_compose, running
from tests.image.engine import Engine
from tests.unit.deploy.compose import SERVICES


def test_it_is_healthy(service: Container) -> None:
    service.exec("sh", "-c", SERVICES["service"]["healthcheck"]["test"])


def test_it_answers_predictions(service: Container) -> None:
    answer = requests.post(f"{service.url}/predict", data=REQUEST, headers=JSON, timeout=5)
    assert answer.status_code == 200
    assert answer.json()["model"] == "champion"
    assert answer.json()["reason"] == "unleash_unknown"
    assert requests.get(f"{service.url}/metrics", timeout=5).ok


def test_the_admin_routes_are_off_without_a_token(service: Container, engine: Engine, image: str) -> None:
    for path in ("/admin/models", "/admin/canary", "/admin/rollout"):
        assert requests.get(f"{service.url}{path}", timeout=5).status_code == 403
    with running(engine, image, CANARIO_ADMIN_TOKEN="0123456789abcdef") as other:
        assert requests.get(f"{other.url}/admin/models", timeout=5).status_code == 401
        bearer = {"Authorization": "Bearer 0123456789abcdef"}
        assert requests.get(f"{other.url}/admin/models", headers=bearer, timeout=5).status_code == 200


def test_no_process_has_rights_that_it_could_lose(service: Container) -> None:
    processes = service.processes()
    assert len(processes) > 3, "master, workers, challengers"
    for process in processes:
        assert process["Uid"].split() == ["10001"] * 4
        assert process["CapEff"] == process["CapPrm"] == process["CapBnd"] == "0" * 16
        assert process["NoNewPrivs"] == "1"


def test_it_writes_to_its_volumes_and_memory_only(service: Container) -> None:
    volumes = ["/var/lib/canario", "/var/log/canario"]
    others = ("/", "/app", "/venv", "/models", "/etc", "/usr/bin")
    assert service.writable(*others, *volumes, "/tmp") == [*volumes, "/tmp"]
    assert service.exec("sh", "-c", "ls /var/log/canario/predictions-*.jsonl")


def test_a_wrong_setting_is_told_in_a_line_and_ends_it(engine: Engine, image: str) -> None:
    ended = engine.run("run", "--rm", *as_in_compose("service"), image, check=False)
    assert ended.returncode == 2
    assert "CANARIO_UNLEASH_URL and CANARIO_UNLEASH_SDK_TOKEN: Field required" in ended.stderr
    assert "Traceback" not in ended.stderr
    checked = [f"--env={name}={value}" for name, value in NOWHERE.items()]
    good = engine.run(
        "run", "--rm", *as_in_compose("service"), *checked, image, "python", "-m", "service", "--check"
    )
    assert good.stdout.startswith("champion: ")


def test_a_stop_lets_requests_end(engine: Engine, image: str) -> None:
    """One that has begun, and whose body is still on its way, is answered after SIGTERM."""
    with running(engine, image) as container:
        at = urlsplit(container.url)
        with socket.create_connection((at.hostname or "", at.port or 0), timeout=20) as begun:
            head = ["POST /predict HTTP/1.1", "Host: x", "Content-Type: application/json"]
            head += [f"Content-Length: {len(REQUEST)}", "", ""]
            begun.sendall("\r\n".join(head).encode() + REQUEST[:100])
            time.sleep(0.5)
            grace = SERVICES["service"]["stop_grace_period"].removesuffix("s")
            stopping = threading.Thread(target=engine.run, args=("stop", "--time", grace, container.id))
            stopped_at = time.monotonic()
            stopping.start()
            time.sleep(2)
            begun.sendall(REQUEST[100:])
            answer = begun.makefile("rb").read()
            stopping.join()
            seconds = time.monotonic() - stopped_at
        assert answer.startswith(b"HTTP/1.1 200"), answer[:200]
        assert b'"champion"' in answer
        assert seconds < float(grace), "it ended by itself, and was not killed"
        assert container.inspect()["State"]["ExitCode"] == 0
        assert "Traceback" not in container.logs()


def test_it_serves_again_after_it_was_killed(engine: Engine, image: str) -> None:
    with running(engine, image) as container:
        engine.run("kill", container.id)
        engine.run("start", container.id)
        end = time.monotonic() + 30
        while True:
            try:
                port = engine.run("port", container.id, "8000").stdout.strip().rpartition(":")[2]
                if requests.get(f"http://127.0.0.1:{port}/readyz", timeout=1).ok:
                    break
            except requests.RequestException:
                assert time.monotonic() < end, container.logs()
                time.sleep(0.2)
