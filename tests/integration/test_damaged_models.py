"""A model folder is damaged on a real service under load, and each worker dies once: nobody notices."""

import os
import shutil
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import psutil
import pytest
from pydantic import SecretStr

from common.model_store import MODEL_FILE, ModelStore
from common.names import Model
from common.release import Note
from flags.canary.share import set_share
from flags.promotion.fleet import Crew, fleet
from flags.unleash.admin import UnleashAdmin
from service.models.reports import WorkerReport
from stack.api import Stack
from tests.integration.conftest import SEEN_WITHIN_SECONDS, wait_for
from tests.integration.own_service import OwnService, own_service
from tests.integration.steady_load import Seen, steady_load

RATE = 100.0
BACK_WITHIN_SECONDS = 30.0  # for another worker, on a machine that is busy


@dataclass
class Scene:
    """A service of two workers, half of whose users get the challenger."""

    service: OwnService
    folders: dict[Model, Path]
    state: Path
    token: str

    def crew(self) -> Crew:
        return fleet([self.service.url], SecretStr(self.token))()[0]

    def pids(self) -> set[int]:
        return {each.pid for each in self.crew().workers}

    def reports(self) -> list[WorkerReport]:
        return [
            WorkerReport.model_validate_json(each.read_bytes())
            for each in self.state.glob("workers-*/*.json")
            if int(each.stem) in self.pids()
        ]

    def kill_each_once(self) -> None:
        """One after the other, each when the one before has been replaced."""
        before = self.pids()
        assert len(before) == 2
        for victim in before:
            others = self.pids() - {victim}
            psutil.Process(victim).kill()
            wait_for(partial(self.is_replaced, victim, others), BACK_WITHIN_SECONDS, "another worker")

    def is_replaced(self, victim: int, others: set[int]) -> bool:
        """Whether another worker than `others` serves instead of `victim`."""
        return len(self.serving() - others - {victim}) == 1

    def serving(self) -> set[int]:
        return {each.pid for each in self.reports() if each.models}


@pytest.fixture(params=["roles.json", "named folders"])
def scene(
    request: pytest.FixtureRequest, stack: Stack, admin: UnleashAdmin, tmp_path: Path
) -> Iterator[Scene]:
    flag = f"test-{time.time_ns()}"
    admin.create_feature(flag, kind="release", description="damaged models")
    admin.add_strategy(flag, percent=0, stickiness="userId", group=flag)
    admin.switch(flag, on=True)
    set_share(admin, flag, 50)
    cache = stack.site.cache
    settings = {"canary_flag": flag, "workers": "2", "admin_calls_per_minute": "10000"}
    if request.param == "roles.json":
        store = ModelStore(tmp_path / "models")
        roles = store.install(
            cache.model(Model.CHAMPION), cache.model(Model.CHALLENGER), Note("a test")
        ).roles
        assert roles.challenger
        folders = {
            Model.CHAMPION: store.path(roles.champion),
            Model.CHALLENGER: store.path(roles.challenger),
        }
        settings["models"] = str(store.folder)
    else:
        folders = {
            role: Path(shutil.copytree(cache.model(role), tmp_path / "models" / role)) for role in Model
        }
        settings |= {str(role): str(folder) for role, folder in folders.items()}
    with own_service(stack, tmp_path / "own", **settings) as service:
        state = tmp_path / "own" / "state"
        made = Scene(service, folders, state, stack.secret("service-admin.token"))
        wait_for(lambda: len(made.serving()) == 2, 10, "both workers")
        wait_for(lambda: len(list(state.glob("last-good-*/*-*/model.onnx"))) == 2, 10, "the copies")
        yield made


def damage(folder: Path) -> None:
    with (folder / MODEL_FILE).open("ab") as file:
        file.write(b"\0")


def check(seen: Seen, without: set[str]) -> None:
    """Every request had an answer; that of a worker that was killed, from the other one."""
    print(f"{len(seen.answers)} answers, {len(seen.failures)} failed, slowest {seen.slowest:.2f} s")
    assert seen.failures == []
    assert not {answer["reason"] for _, answer in seen.answers} & without


@pytest.mark.parametrize("role", Model)
def test_a_damaged_folder_and_the_death_of_each_worker_cost_nothing(scene: Scene, role: Model) -> None:
    with steady_load(scene.service.url, RATE, again=1) as seen:
        time.sleep(1)
        damage(scene.folders[role])
        scene.kill_each_once()
        wait_for(
            lambda: all(each.refused for each in scene.reports()),
            SEEN_WITHIN_SECONDS,
            "that somebody says so",
        )
        time.sleep(1)
    check(seen, without={"fallback_no_challenger", "fallback_cannot_start"})
    assert all(each.models.keys() == set(Model) for each in scene.reports())
    assert str(scene.folders[role]) in scene.service.log.read_text(encoding="utf-8")


def test_without_copies_the_champion_serves_alone(scene: Scene) -> None:
    """As where the state folder could not be written."""
    shutil.rmtree(next(iter(scene.state.glob("last-good-*"))))
    with steady_load(scene.service.url, RATE, again=1) as seen:
        damage(scene.folders[Model.CHALLENGER])
        scene.kill_each_once()
    check(seen, without=set())
    assert {each.challenger_trouble is not None for each in scene.reports()} == {True}


def test_a_worker_that_cannot_load_never_ends_the_other(scene: Scene) -> None:
    """No copy, and no champion: one worker serves on, and the other is tried again until it can."""
    shutil.rmtree(next(iter(scene.state.glob("last-good-*"))))
    damage(scene.folders[Model.CHAMPION])
    victim, other = scene.pids()
    with steady_load(scene.service.url, RATE, again=1) as seen:
        os.kill(victim, signal.SIGKILL)
        tried: set[int] = set()

        def tried_twice() -> bool:
            tried.update(each.pid for each in scene.reports() if each.refused)
            return len(tried) >= 2

        wait_for(tried_twice, 2 * BACK_WITHIN_SECONDS, "two that were tried")
        assert scene.serving() == {other}
        onnx = scene.folders[Model.CHAMPION] / MODEL_FILE
        onnx.write_bytes(onnx.read_bytes()[:-1])
        wait_for(lambda: len(scene.serving()) == 2, BACK_WITHIN_SECONDS, "another worker")
    check(seen, without={"fallback_no_challenger"})
    assert "the others serve on" in scene.service.log.read_text(encoding="utf-8")
