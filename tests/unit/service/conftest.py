"""The example models, trained once; an Unleash that does not answer; flags as the SDK finds them on disk."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from common.names import Model
from service.app import close, create_app
from service.assignment.sdk import FlagCache
from service.challenger.launcher import WorkerSpec
from service.challenger.process import SupervisedWorker
from service.challenger.protocol import rows_in_a_packet
from service.models.artifact import load_artifact
from service.settings import Settings
from service.train import train
from tests.unit.service.raw_http import is_up
from tests.unit.waiting import until

REPOSITORY = Path(__file__).parents[3]
NOBODY = "http://127.0.0.1:9"  # the discard port: refuses at once
TOKEN = "default:production.not-a-secret"
ROW = [0.5] * 30


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[Model, Path]:
    folder = tmp_path_factory.mktemp("models")
    return {role: train(role, folder / role).folder for role in Model}


@pytest.fixture
def settings(models: dict[Model, Path], tmp_path: Path) -> Settings:
    return Settings.model_validate(
        {
            "champion": models[Model.CHAMPION],
            "challenger": models[Model.CHALLENGER],
            "unleash_url": NOBODY,
            "unleash_sdk_token": TOKEN,
            "state_dir": tmp_path / "state",
            "drill_file": tmp_path / "drill.json",
        }
    )


def rollout(percent: int, constraints: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    """A strategy as Unleash sends it to SDKs."""
    return {
        "name": "flexibleRollout",
        "constraints": constraints or [],
        "parameters": {"groupId": "canary", "rollout": str(percent), "stickiness": "userId"},
        "variants": [],
    }


def flag(*strategies: dict[str, Any], name: str = "canary", enabled: bool = True) -> dict[str, Any]:
    """A flag as Unleash sends it to SDKs."""
    return {
        "name": name,
        "type": "release",
        "project": "default",
        "enabled": enabled,
        "stale": False,
        "impressionData": False,
        "dependencies": [],
        "strategies": list(strategies),
        "variants": [],
    }


def keep_on_disk(settings: Settings, *flags: dict[str, Any]) -> Path:
    """Leave `flags` where a former run would have left the last known ones."""
    cache = FlagCache(settings.state_dir, settings.unleash_url, TOKEN, lambda _: None)
    cache.path.parent.mkdir(parents=True, exist_ok=True)
    cache.path.write_text(json.dumps({"version": 2, "features": list(flags)}), encoding="utf-8")
    return cache.path


class Client(FlaskClient):
    """Reads answers to their end, as servers do; a request holds its place until then."""

    def open(self, *args: Any, buffered: bool = True, **options: Any) -> TestResponse:
        return super().open(*args, buffered=buffered, **options)


@pytest.fixture(scope="module")
def client(models: dict[Model, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[FlaskClient]:
    """One app with the champion alone, for whole tables of requests that change nothing in it."""
    given = {
        "champion": models[Model.CHAMPION],
        "unleash_url": NOBODY,
        "unleash_sdk_token": TOKEN,
        "state_dir": tmp_path_factory.mktemp("state"),
    }
    app = create_app(Settings.model_validate(given))
    app.test_client_class = Client
    yield app.test_client()
    close(app)


@pytest.fixture
def start(settings: Settings) -> Iterator[Callable[..., FlaskClient]]:
    """Starts the app with these flags known, and settings changed by keyword; stops it after the test.

    Where no flag gives anybody the challenger it is left out: its process takes half a second to start.
    """
    started: list[Flask] = []

    def _start(*flags: dict[str, Any], **changes: Any) -> FlaskClient:
        shares = {each["parameters"]["rollout"] for one in flags for each in one["strategies"]}
        left_out = {} if shares - {"0"} else {"challenger": None}
        changed = Settings.model_validate(dict(settings) | left_out | changes)
        if flags:
            keep_on_disk(changed, *flags)
        app = create_app(changed)
        app.test_client_class = Client
        started.append(app)
        return app.test_client()

    yield _start
    for app in started:
        close(app)


@pytest.fixture
def spec(models: dict[Model, Path], tmp_path: Path) -> WorkerSpec:
    """The challenger's process of the tests."""
    return WorkerSpec(
        artifact=load_artifact(models[Model.CHALLENGER]),
        channels=2,
        call_rows=10,
        batch_rows=rows_in_a_packet(load_artifact(models[Model.CHALLENGER]).metadata),
        patience_seconds=0.02,
        hang_seconds=1.0,
        memory_bytes=768 * 1024 * 1024,
        folder=tmp_path / "challenger",
        drill_file=tmp_path / "drill.json",
    )


@pytest.fixture
def worker(spec: WorkerSpec) -> Iterator[tuple[SupervisedWorker, list[float]]]:
    """The challenger's process, and the durations of replies that came too late."""
    late: list[float] = []
    made = SupervisedWorker(spec, on_late=late.append)
    made.start(lambda: False)  # on a busy machine imports of the lowest priority take long
    yield made, late
    made.close()


@pytest.fixture(scope="session")
def service_log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The log of the service at `address`."""
    return tmp_path_factory.mktemp("log") / "service.log"


@pytest.fixture(scope="session")
def address(
    models: dict[Model, Path], tmp_path_factory: pytest.TempPathFactory, service_log: Path
) -> Iterator[tuple[str, int]]:
    """A real gunicorn with one worker, without Unleash and challenger."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        here = ("127.0.0.1", int(probe.getsockname()[1]))
    environment = os.environ | {
        "CANARIO_CHAMPION": str(models[Model.CHAMPION]),
        "CANARIO_UNLEASH_URL": NOBODY,
        "CANARIO_UNLEASH_SDK_TOKEN": TOKEN,
        "CANARIO_STATE_DIR": str(tmp_path_factory.mktemp("state")),
        "CANARIO_BIND": f"{here[0]}:{here[1]}",
        "CANARIO_WORKERS": "1",
    }
    with service_log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "service"], cwd=REPOSITORY, env=environment, stderr=out
        )
    until(lambda: process.poll() is not None or is_up(here), 30)
    assert process.poll() is None
    yield here
    process.terminate()
    process.wait(20)
