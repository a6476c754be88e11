"""Promote and the way back on the real service, under load: no request fails, no answer is a third thing.

A few times here; `make test-promote` does it more often.
"""

import os
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
import pytest
from pydantic import SecretStr

from common.model_store import MODEL_FILE, ModelStore
from common.names import Metric, Model
from common.release import Note, ReleaseError
from flags.canary.share import set_share, turn_off
from flags.promotion.fleet import Fleet, fleet
from flags.promotion.promote import Promoter, Refused
from flags.unleash.admin import UnleashAdmin
from service.models.artifact import load_artifact
from service.models.onnx_model import OnnxModel
from stack.api import Stack
from tests.integration.conftest import ROW, SEEN_WITHIN_SECONDS, wait_for
from tests.integration.own_service import OwnService, own_service
from tests.integration.steady_load import Seen, steady_load

NOTE = Note("a test")
RATE = 100.0
TIMES = int(os.environ.get("PROMOTIONS", "3"))
CONVERGED_WITHIN_SECONDS = 5.0  # 0.4 on a machine that has nothing else to do
GUEST_ENDS_WITHIN_SECONDS = 6.0


@dataclass
class Scene:
    """A service of two workers with a models folder and a flag of its own."""

    service: OwnService
    store: ModelStore
    admin: UnleashAdmin
    flag: str
    fleet: Fleet
    champion: Path
    challenger: Path

    @property
    def promoter(self) -> Promoter:
        return Promoter(self.store, self.admin, self.flag, self.fleet, patience_seconds=20)

    def give_all(self) -> None:
        """100% for the challenger, and every worker follows."""
        set_share(self.admin, self.flag, 100)
        wait_for(
            lambda: self.service.all_say("anyone", Model.CHALLENGER), SEEN_WITHIN_SECONDS + 5, "the share"
        )

    def guests(self) -> list[psutil.Process]:
        """The challenger's processes."""
        pids = {worker.pid for crew in self.fleet() for worker in crew.workers}
        return [child for pid in pids for child in psutil.Process(pid).children()]


@pytest.fixture
def scene(stack: Stack, admin: UnleashAdmin, tmp_path: Path) -> Iterator[Scene]:
    flag = f"test-{time.time_ns()}"
    admin.create_feature(flag, kind="release", description="promote")
    admin.add_strategy(flag, percent=0, stickiness="userId", group=flag)
    admin.switch(flag, on=True)
    cache = stack.site.cache
    champion, challenger = cache.model(Model.CHAMPION), cache.model(Model.CHALLENGER)
    store = ModelStore(tmp_path / "models")
    store.install(champion, challenger, NOTE)
    settings = {
        **{"models": str(store.folder), "canary_flag": flag, "workers": "2"},
        "admin_calls_per_minute": "1000",  # a test asks in a minute what else is asked in a day
    }
    with own_service(stack, tmp_path / "own", **settings) as service:
        asked = fleet([service.url], SecretStr(stack.secret("service-admin.token")))
        wait_for(lambda: all(crew.serves(1) for crew in asked()), 10, "both workers")
        yield Scene(service, store, admin, flag, asked, champion, challenger)


def known_answers(scene: Scene) -> dict[tuple[str, str], float]:
    """The probability that each model gives the row of the load."""
    row = np.array([ROW], dtype=np.float32)
    loaded = [OnnxModel(load_artifact(each)) for each in (scene.champion, scene.challenger)]
    return {
        (model.metadata.name, model.metadata.version): model.answer(row).probability or 0.0
        for model in loaded
    }


def check(seen: Seen, known: dict[tuple[str, str], float]) -> None:
    assert seen.failures == []
    for _, answer in seen.answers:
        told = (answer["model_name"], answer["model_version"])
        assert answer["probability"] == pytest.approx(known[told], abs=1e-6), answer


def names_since(seen: Seen, begun: float) -> set[str]:
    """Of the models whose answers users got, but for a challenger that this machine made too late."""
    late = {"fallback_timeout", "fallback_busy", "fallback_open"}
    return {
        answer["model_name"]
        for at, answer in list(seen.answers)
        if at > begun and answer["reason"] not in late
    }


def test_promote_and_back_again_and_again_under_load(scene: Scene) -> None:
    known = known_answers(scene)
    old, new = (load_artifact(each).metadata.name for each in (scene.champion, scene.challenger))
    promoted, taken_back = [], []
    with steady_load(scene.service.url, RATE) as seen:
        for time_number in range(TIMES):
            scene.give_all()
            given_all = time.time()
            done = scene.promoter.promote(NOTE)
            promoted.append(done.seconds)
            assert done.state
            assert (done.state.enabled, done.state.percent) == (True, 0)
            if time_number == 0:
                time.sleep(SEEN_WITHIN_SECONDS)  # also after every worker has seen the share of 0
            assert names_since(seen, given_all) == {new}, "nobody goes back to the old champion"
            done = scene.promoter.back(NOTE)
            taken_back.append(done.seconds)
            back_at = time.time()
            scene.promoter.challenge(scene.challenger, NOTE)
            assert names_since(seen, back_at) == {old}
    check(seen, known)
    assert len(seen.answers) > 0.9 * RATE * (seen.answers[-1][0] - seen.answers[0][0])
    assert max(promoted + taken_back) < CONVERGED_WITHIN_SECONDS
    print(f"{len(seen.answers)} answers, slowest {seen.slowest:.3f} s; promote {promoted} back {taken_back}")
    wait_for(lambda: len(scene.guests()) == 2, GUEST_ENDS_WITHIN_SECONDS, "one guest for each worker")
    errors = sum(
        scene.service.metric(f'{Metric.ERRORS}{{model="challenger",reason="{reason}"}}')
        for reason in ("crash", "down", "exception", "invalid")
    )
    assert errors == 0, "the end of its process is not the challenger's fault"


def test_a_promotion_is_seen_in_metrics_and_processes(scene: Scene) -> None:
    assert len(scene.guests()) == 2
    challenger = load_artifact(scene.challenger).metadata
    scene.give_all()
    scene.promoter.promote(NOTE)
    info = f'name="{challenger.name}",sha256="{challenger.sha256}",version="{challenger.version}"'
    assert scene.service.metric(f'{Metric.MODEL_INFO}{{model="champion",{info}}}') == 1
    assert scene.service.metric(f'{Metric.MODEL_INFO}{{model="challenger",{info}}}') == 0
    assert scene.service.metric(Metric.MODELS_REVISION) == 2
    assert scene.service.metric(Metric.MODEL_RELOADS) == 2
    wait_for(lambda: scene.guests() == [], GUEST_ENDS_WITHIN_SECONDS, "the end of the guests")
    assert scene.promoter.promote(NOTE).seconds == 0.0, "done already"


def test_a_model_that_is_no_good_is_refused_and_the_old_ones_serve_on(scene: Scene, tmp_path: Path) -> None:
    known = known_answers(scene)
    scene.give_all()
    roles = scene.store.read().roles
    assert roles.challenger
    onnx = scene.store.path(roles.challenger) / MODEL_FILE
    kept = onnx.read_bytes()
    real_verify = ModelStore.verify
    with steady_load(scene.service.url, RATE) as seen, pytest.MonkeyPatch.context() as patch:
        onnx.write_bytes(kept[:-1])
        with pytest.raises(ReleaseError, match="sha256"):
            scene.promoter.promote(NOTE)
        assert scene.store.read().revision == 1, "found before anything was changed"
        patch.setattr(ModelStore, "verify", lambda *_: None)  # it goes bad a moment later
        with pytest.raises(Refused, match="sha256"):
            scene.promoter.promote(NOTE)
        patch.setattr(ModelStore, "verify", real_verify)
        onnx.write_bytes(kept)
        assert scene.store.read().roles == roles
    check(seen, known)
    assert names_since(seen, 0.0) == {load_artifact(scene.challenger).metadata.name}
    assert scene.service.metric(f'{Metric.MODEL_RELOAD_FAILURES}{{reason="model"}}') >= 1
    assert "new models are refused" in scene.service.log.read_text(encoding="utf-8")
    scene.promoter.promote(NOTE)


def test_a_worker_that_starts_while_the_models_are_bad_serves_the_last_good_ones(scene: Scene) -> None:
    scene.store.roles_file.write_text("{", encoding="utf-8")
    with steady_load(scene.service.url, 20) as seen:
        wait_for(
            lambda: all(worker.refused for crew in scene.fleet() for worker in crew.workers), 5, "refusals"
        )
        victim = scene.fleet()[0].workers[0].pid
        psutil.Process(victim).send_signal(signal.SIGTERM)  # its requests end first
        wait_for(
            lambda: all(
                len(crew.workers) == 2 and victim not in {worker.pid for worker in crew.workers}
                for crew in scene.fleet()
            ),
            20,
            "another worker",
        )
        answers = scene.service.by_worker("anyone")
    assert {answer["model_name"] for answer in answers.values()} == {"breast-cancer-logistic-regression"}
    assert len(seen.failures) <= 2, "connections of the worker that was ended"


def test_who_stops_the_challenger_during_its_promotion_does_not_get_it_as_champion(scene: Scene) -> None:
    scene.give_all()

    class Late(Promoter):
        def _require_exposure(self, *args: object, **rest: object) -> None:
            turn_off(scene.admin, scene.flag)
            super()._require_exposure(*args, **rest)  # type: ignore[arg-type]

    late = Late(scene.store, scene.admin, scene.flag, scene.fleet, 20)
    with pytest.raises(Exception, match="stopped by canario-flags"):
        late.promote(NOTE)
    assert scene.service.all_say("anyone", "champion")
    assert scene.service.predict("anyone")["model_name"] == "breast-cancer-logistic-regression"


def test_two_who_promote_at_once_agree(scene: Scene) -> None:
    scene.give_all()
    outcomes: list[str] = []

    def promote() -> None:
        try:
            scene.promoter.promote(NOTE)
            outcomes.append("done")
        except ReleaseError as error:
            outcomes.append(str(error))

    threads = [threading.Thread(target=promote) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert "done" in outcomes
    release = scene.store.read()
    assert release.revision == 2
    assert release.roles.settled
