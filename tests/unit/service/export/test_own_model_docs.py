"""docs/bring-your-own-model.md does what it says: each of its blocks is run."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from service.api.predict_schema import GREATEST
from service.models.artifact import LARGEST_ROW_BYTES, NUMBER_BYTES, STRING_BYTES

REPOSITORY = Path(__file__).parents[4]
PAGE = (REPOSITORY / "docs/bring-your-own-model.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", PAGE, re.DOTALL)


def blocks(kind: str) -> list[str]:
    return [text for each, text in BLOCKS if each == kind]


def shell(script: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run in `folder`, with this Python as `python` and Canario importable."""
    (folder / "bin").mkdir(exist_ok=True)
    link = folder / "bin" / "python"
    if not link.exists():
        link.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n', encoding="utf-8")
        link.chmod(0o755)
        (folder / "canario").symlink_to(REPOSITORY / "canario")
    environment = os.environ | {
        "PATH": f"{link.parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(REPOSITORY),
        "CANARIO_UNLEASH_URL": "http://127.0.0.1:9",
        "CANARIO_UNLEASH_SDK_TOKEN": "default:production.not-a-secret",
    }
    return subprocess.run(
        ["sh", "-ec", script],
        check=False,
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the reader has come to after the second step."""
    folder = tmp_path_factory.mktemp("reader")
    (script,) = blocks("python")
    (folder / "churn.py").write_text(script, encoding="utf-8")
    export, *_ = blocks("sh")
    for role in ("champion", "challenger"):
        done = shell(export.replace("models/champion", f"models/{role}"), folder)
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith("churn 1: 2 features, 2 classes")
    return folder


def test_every_block_is_of_a_kind_that_is_tested() -> None:
    assert [kind for kind, _ in BLOCKS] == ["python", "sh", "sh", "json", "sh", "sh"]


def test_the_service_takes_both_folders(folder: Path) -> None:
    check, serve = blocks("sh")[1].strip().rsplit("\n", 1)
    assert serve == "python -m service"  # what the other tests do, under gunicorn
    done = shell(check, folder)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["champion: churn 1", "challenger: churn 1"]


def test_the_request_is_answered(folder: Path, start: Callable[..., FlaskClient]) -> None:
    (request,) = blocks("json")
    answer = start(champion=folder / "models/champion").post("/predict", json=json.loads(request)).get_json()
    assert answer["class_name"] == "leaves"


def test_a_models_folder_is_served(folder: Path) -> None:
    """Its first half; the changes need Unleash and a service: tests/integration/test_promote.py."""
    first, changes = blocks("sh")[2].split("python -m service\n")
    done = shell(f"{first}\n./canario models show\npython -m service --check", folder)
    assert done.returncode == 0, done.stderr
    assert "champion    churn 1" in done.stdout
    assert done.stdout.splitlines()[-2:] == ["champion: churn 1", "challenger: none"]
    for line in changes.strip().splitlines():
        command = line.split()
        assert shell(f"./canario models {command[2]} --help", folder).returncode == 0


def test_sources_of_a_challenger_are_understood(folder: Path) -> None:
    for line in blocks("sh")[3].strip().splitlines():
        assert line.startswith("./canario models challenger ")
    done = shell("./canario models challenger --help", folder)
    assert done.returncode == 0, done.stderr
    assert "--sha256" in done.stdout


def test_the_limits_are_those_of_the_code() -> None:
    most = LARGEST_ROW_BYTES // STRING_BYTES
    assert f"up to {most} of any kind" in PAGE
    assert f"{GREATEST:g}".replace("+", "") in PAGE
    assert NUMBER_BYTES < STRING_BYTES
