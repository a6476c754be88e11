"""`./canario story` on the real servers: what was simulated is found, and the flags are as they were."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from flags.canary.share import read_state
from flags.canary.state import CanaryState
from flags.unleash.admin import UnleashAdmin
from stack.api import Stack
from stack.paths import REPOSITORY
from tests.integration.conftest import wait_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture
def guarded(stack: Stack) -> Iterator[Stack]:
    """The stack with its rollback job."""
    stack.start("rollback")
    yield stack
    stack.stop("rollback")


def story(stack: Stack, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "drills", "story", "--home", str(stack.home.root), *arguments],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def meaning(state: CanaryState) -> tuple[object, ...]:
    return state.enabled, state.percent, state.constraints


def test_the_story_comes_out_as_simulated(guarded: Stack, admin: UnleashAdmin, tmp_path: Path) -> None:
    before = [meaning(read_state(admin, flag)) for flag in ("canary", "shadow")]
    file = tmp_path / "story.json"
    with story(guarded, "--shadow", "1100", "--effect", "0.05", "--json", str(file)) as telling:
        told, _ = telling.communicate(timeout=500)
    assert telling.returncode == 0, told
    found = json.loads(file.read_text(encoding="utf-8"))
    assert found["harmed"] == ["DK"]
    assert found["verdict"] == "better"
    assert [meaning(read_state(admin, flag)) for flag in ("canary", "shadow")] == before
    (folder,) = (each for each in (guarded.home.data / "story").iterdir() if each.is_dir())
    assert len(list(folder.glob("*.html"))) == 5
    assert "./canario exclude canary country=DK" in told
    assert "Now 0% of the users in DK get the challenger" in told


def test_an_interrupted_story_leaves_the_flags_as_they_were(guarded: Stack, admin: UnleashAdmin) -> None:
    before = [meaning(read_state(admin, flag)) for flag in ("canary", "shadow")]
    with story(guarded) as telling:
        wait_for(lambda: read_state(admin, "shadow").percent == 100, 60, "the story begins")
        telling.send_signal(signal.SIGINT)
        told, _ = telling.communicate(timeout=60)
    assert telling.returncode == 130, told
    assert [meaning(read_state(admin, flag)) for flag in ("canary", "shadow")] == before


def test_what_a_killed_story_left_is_put_right(guarded: Stack, admin: UnleashAdmin) -> None:
    before = [meaning(read_state(admin, flag)) for flag in ("canary", "shadow")]
    with story(guarded) as telling:
        wait_for(lambda: read_state(admin, "shadow").percent == 100, 60, "the story begins")
        telling.kill()
    with story(guarded, "--restore") as telling:
        told, _ = telling.communicate(timeout=60)
    assert telling.returncode == 0, told
    assert "was killed in its middle" in told
    assert [meaning(read_state(admin, flag)) for flag in ("canary", "shadow")] == before
