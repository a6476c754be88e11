"""`./canario story` on servers of its own: the reports find what is true of the shop's visitors."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from stack.api import Stack
from stack.paths import REPOSITORY
from tests.integration.conftest import wait_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def story(home: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "drills", "story", "--home", str(home), *arguments],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_the_story_finds_what_is_true(tmp_path: Path) -> None:
    file, home = tmp_path / "story.json", tmp_path / "home"
    with story(home, "--shadow", "1100", "--effect", "0.05", "--json", str(file)) as telling:
        told, _ = telling.communicate(timeout=550)
    assert telling.returncode == 0, told
    found = json.loads(file.read_text(encoding="utf-8"))
    assert found["harmed"] == ["DK"]
    assert found["verdict"] == "better"
    assert len(list((home / "reports").glob("*.html"))) == 5
    assert f"./canario --home {home} exclude canary country=DK" in told
    assert "Now 0% of the users in DK get the challenger" in told


def test_an_interrupted_story_leaves_no_servers(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with story(home) as telling:
        wait_for(lambda: Stack(home).is_running, 60, "the story begins")
        telling.send_signal(signal.SIGINT)
        told, _ = telling.communicate(timeout=60)
    assert telling.returncode == 130, told
    assert not Stack(home).is_running


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine", encoding="utf-8")
    with story(tmp_path) as telling:
        told, _ = telling.communicate(timeout=60)
    assert telling.returncode == 3
    assert "holds something else: name an empty folder by --home" in told
    assert (tmp_path / "thesis.txt").read_text(encoding="utf-8") == "mine"
