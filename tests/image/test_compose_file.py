"""docker-compose.yml as other programs than ours read it."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from deploy import env
from tests.unit.deploy.compose import ONE_SHOT, REPOSITORY, SERVICES

PODMAN_COMPOSE = "podman-compose==1.6.0"  # GPL-2.0: run as a program, never imported


@pytest.fixture
def env_file(tmp_path: Path) -> Path:
    file = tmp_path / ".env"
    env.write(file, env.content(), overwrite=False)
    return file


def test_podman_compose_takes_it(env_file: Path) -> None:
    if shutil.which("podman") is None:
        pytest.skip("podman-compose asks for podman")
    uv = str(Path(sys.executable).with_name("uv"))
    command = [
        uv,
        "tool",
        "run",
        "--from",
        PODMAN_COMPOSE,
        "podman-compose",
        "--env-file",
        str(env_file),
        "config",
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=180, check=False, cwd=REPOSITORY)
    assert done.returncode == 0, done.stderr
    resolved = yaml.safe_load(done.stdout)["services"]
    always = {name for name, one in SERVICES.items() if "profiles" not in one}
    assert resolved.keys() >= always > set(ONE_SHOT)
    secret = dict(
        line.split("=", 1) for line in env_file.read_text().splitlines() if line.startswith("CANARIO_")
    )
    assert resolved["service"]["environment"]["CANARIO_ADMIN_TOKEN"] == secret["CANARIO_ADMIN_TOKEN"]
