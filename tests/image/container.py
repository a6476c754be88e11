"""Containers as docker-compose.yml describes its services, for one at a time."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
import requests

from tests.image.engine import Engine
from tests.unit.deploy.compose import REPOSITORY, SERVICES, interpolated

NOWHERE = {
    "CANARIO_UNLEASH_URL": "http://127.0.0.1:1",  # nobody: the champion answers
    "CANARIO_UNLEASH_SDK_TOKEN": "default:production.none",
}

REQUEST = (REPOSITORY / "docs" / "request.json").read_bytes()
JSON = {"Content-Type": "application/json"}


@dataclass
class Container:
    """One that runs."""

    engine: Engine
    id: str
    url: str = ""

    def exec(self, *command: str, check: bool = True) -> str:
        """What `command` prints in it."""
        return self.engine.run("exec", self.id, *command, check=check).stdout

    def python(self, code: str) -> str:
        """What `code` prints in it."""
        return self.exec("python", "-c", code)

    def inspect(self) -> dict[str, Any]:
        """What the engine knows of it."""
        (found,) = json.loads(self.engine.run("inspect", self.id).stdout)
        return dict(found)

    def processes(self) -> list[dict[str, str]]:
        """What the kernel says of each of its processes."""
        code = (
            "import json, pathlib\n"
            "told = [path.read_text().splitlines() for path in pathlib.Path('/proc').glob('[0-9]*/status')]\n"
            "split = [[line.split(':\\t', 1) for line in one if ':\\t' in line] for one in told]\n"
            "print(json.dumps([dict(one) for one in split]))"
        )
        found: list[dict[str, str]] = json.loads(self.python(code))
        return found

    def writable(self, *folders: str) -> list[str]:
        """In which of `folders` it may make a file."""
        code = (
            "import tempfile\n"
            f"for folder in {folders}:\n"
            "    try: tempfile.TemporaryFile(dir=folder).close(); print(folder)\n"
            "    except OSError: pass"
        )
        return self.python(code).split()

    def logs(self) -> str:
        """Standard output and error."""
        said = self.engine.run("logs", self.id)
        return said.stdout + said.stderr

    def wait_until_ready(self, path: str = "/readyz") -> None:
        """Wait until `path` answers with 200; fails the test where that takes a minute."""
        end = time.monotonic() + 60
        while time.monotonic() < end:
            try:
                if requests.get(f"{self.url}{path}", timeout=2).ok:
                    return
            except requests.RequestException:
                pass
            if self.inspect()["State"]["Status"] == "exited":
                break
            time.sleep(0.2)
        pytest.fail(f"the container is not ready:\n{self.logs()}")


def as_in_compose(service: str) -> list[str]:
    """The options of `run` that restrict a container as the service of docker-compose.yml is restricted."""
    one = SERVICES[service]
    limits = one["deploy"]["resources"]["limits"]
    options = [
        "--user",
        one["user"],
        "--memory",
        interpolated(limits["memory"], {}),
        "--pids-limit",
        str(limits["pids"]),
    ]
    options += [f"--cap-drop={each}" for each in one["cap_drop"]]
    options += [f"--security-opt={each.replace(':true', '')}" for each in one["security_opt"]]
    options += [f"--tmpfs={each}" for each in one["tmpfs"]]
    return [*options, "--read-only", "--init"] if one["read_only"] and one["init"] else options


@contextmanager
def running(engine: Engine, image: str, *command: str, **environment: str) -> Iterator[Container]:
    """A service of `image`, with volumes of its own, until it is ready."""
    options = [*as_in_compose("service"), "--publish", "127.0.0.1::8000"]
    options += ["--volume", "/var/lib/canario", "--volume", "/var/log/canario"]
    for name, value in ({"PROMETHEUS_MULTIPROC_DIR": "/tmp/metrics"} | NOWHERE | environment).items():
        options += ["--env", f"{name}={value}"]
    started = engine.run("run", "--detach", *options, image, *command)
    container = Container(engine, started.stdout.strip())
    try:
        port = engine.run("port", container.id, "8000").stdout.strip().rpartition(":")[2]
        container.url = f"http://127.0.0.1:{port}"
        container.wait_until_ready()
        yield container
    finally:
        engine.run("rm", "--force", "--volumes", container.id)
