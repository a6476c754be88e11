"""docs/course.md does what it says: its commands are run on the real servers, in the page's order."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from flags.canary.share import set_share
from flags.unleash.admin import UnleashAdmin
from stack.api import Stack
from stack.paths import REPOSITORY
from stack.ports import free_port
from tests import runbook
from tests.integration.conftest import FLAG, SEEN_WITHIN_SECONDS, wait_for

PAGE = REPOSITORY / "docs" / "course.md"
COMMANDS = runbook.commands(PAGE.read_text(encoding="utf-8"))
ALONE = "127.0.0.1:8001"


@contextmanager
def in_the_background(line: str, variables: dict[str, str], address: str) -> Iterator[None]:
    """A command that ends in `&`, until the block does."""
    process = subprocess.Popen(
        ["bash", "-c", line.rstrip(" &")], cwd=REPOSITORY, env=variables, start_new_session=True
    )
    try:
        wait_for(lambda: answers(address), 30, f"an answer of {line}")
        yield
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=20)


def answers(address: str) -> bool:
    try:
        return requests.get(f"http://{address}/readyz", timeout=1).ok
    except requests.RequestException:
        return False


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_every_exercise(stack: Stack, admin: UnleashAdmin, tmp_path: Path) -> None:
    variables = {
        **os.environ,
        **stack.env("flags"),
        "CANARIO_HOME": str(stack.home.root),
        "CANARIO_CACHE": str(stack.site.cache.root),
        "COLUMNS": "100",
    }
    address = f"127.0.0.1:{free_port()}"
    services = []
    try:
        for command in COMMANDS:
            line = command.line.replace(ALONE, address).replace(".canario/toggle", str(tmp_path / "toggle"))
            if line.endswith("&"):
                service = in_the_background(line, variables, address)
                service.__enter__()
                services.append(service)
                continue
            if "report shadow" in line:
                ask_for_a_while(stack)
            done = subprocess.run(
                ["bash", "-c", line],
                cwd=REPOSITORY,
                env=variables,
                capture_output=True,
                text=True,
                timeout=200,
                check=False,
            )
            told = f"$ {line}\n{done.stdout}{done.stderr}(exit code {done.returncode})"
            assert done.returncode == command.code, told
            assert not command.differs(done.stdout), told
    finally:
        for service in services:
            service.__exit__(None, None, None)
        set_share(admin, FLAG, 0)
        set_share(admin, "shadow", 0)


def ask_for_a_while(stack: Stack) -> None:
    """Pairs for the shadow report: users ask, and the log is written."""
    time.sleep(SEEN_WITHIN_SECONDS)  # until every worker follows the flag `shadow`
    body = (REPOSITORY / "docs" / "request.json").read_text(encoding="utf-8")
    for user in range(60):
        text = body.replace("ada", f"user-{user}")
        answer = requests.post(
            f"{stack.addresses.service}/predict",
            data=text,
            headers={"Content-Type": "application/json"},
            timeout=5,
        )
        assert answer.ok
    time.sleep(3)  # shadow batches linger, and the log is flushed each second
