"""The whole plan on real servers: a good challenger becomes the champion by itself, a bad one is stopped."""

import os
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from drills.target import of_stack
from flags.canary.history import history
from flags.canary.lease import ensure_lease, remove_lease
from flags.canary.marks import quarantined
from flags.canary.share import read_state, set_share
from flags.unleash.admin import UnleashAdmin
from stack.api import Stack
from tests.integration.conftest import FLAG, Service
from tests.integration.rollout_scene import Scene, flipped, scene_of, wait_until

SPEED = float(os.environ.get("CANARIO_TEST_ROLLOUT_SPEED", "20000"))  # 11 days in 48 s, and what scrapes take
PATIENCE = 120 + 12 * 86_400 / SPEED
pytestmark = [pytest.mark.slow, pytest.mark.timeout(2 * PATIENCE)]


@pytest.fixture
def scene(stack: Stack, admin: UnleashAdmin, tmp_path: Path) -> Iterator[Scene]:
    with scene_of(stack, admin, tmp_path, speed=SPEED) as scene:
        yield scene


def shares(scene: Scene, since: int) -> list[int]:
    """The per cent of the users after each change of it."""
    changes = [one for one in history(scene.admin, FLAG) if one.id > since]
    return [one.after.reach for one in changes if one.after.reach != one.before.reach]


def test_a_good_challenger_becomes_the_champion_by_itself(scene: Scene) -> None:
    roles = scene.store.read().roles
    since = history(scene.admin, FLAG)[-1].id
    begun = time.monotonic()
    with scene.load() as load, scene.jobs():
        wait_until(lambda: scene.store.read().roles.settled and _promoted(scene), PATIENCE, "the promotion")
        took = time.monotonic() - begun
        time.sleep(3)
    now = scene.store.read()
    assert now.roles.champion == roles.challenger
    assert now.last.by == "canario-rollout"
    assert shares(scene, since) == [1, 5, 25, 100, 0]
    who = {one.who for one in history(scene.admin, FLAG) if one.id > since}
    assert who == {"canario-rollout"}, "no human"
    assert [one for one in load.samples if one.failed] == []
    assert flipped(load.samples) == {}
    final = [one for one in load.samples if one.due > load.samples[-1].due - 2]
    assert {one.model for one in final} == {"champion"}
    status = scene.status()
    assert status["step"]["kind"] == "refuse"
    assert "no challenger" in status["step"]["sentence"]
    print(
        f"promoted after {took:.0f} s at {SPEED:g} times the speed; {len(load.samples)} requests, none failed"
    )


def _promoted(scene: Scene) -> bool:
    return scene.store.read().last.kind == "promoted"


def test_who_guards_is_who_lets_users_in(scene: Scene) -> None:
    """The job is killed: users fall back with no call to anybody. It starts again: they are back."""
    service, length = Service(scene.stack.addresses.service), timedelta(seconds=8)
    set_share(scene.admin, FLAG, 100)
    ensure_lease(scene.admin, FLAG, length, insist=True)
    try:
        with scene.guard(lease="8s", lease_every="3s") as job:
            wait_until(lambda: service.all_say("anyone", "challenger"), 15, "the challenger")
            time.sleep(12)
            assert service.all_say("anyone", "challenger"), "longer than one lease"
            job.kill()
            killed = time.monotonic()
        wait_until(lambda: service.all_say("anyone", "champion"), 15, "the champion after the lease")
        took = time.monotonic() - killed
        assert took < length.total_seconds() + 4
        assert read_state(scene.admin, FLAG).enabled, "nobody turned anything off"
        with scene.guard(lease="8s", lease_every="3s"):
            back = wait_until(lambda: service.all_say("anyone", "challenger"), 15, "the challenger again")
        print(f"gone {took:.1f} s after the kill, back {back:.1f} s after the start")
    finally:
        remove_lease(scene.admin, FLAG)


def test_a_challenger_that_goes_bad_is_stopped_and_not_raised_again(scene: Scene) -> None:
    since = history(scene.admin, FLAG)[-1].id
    target = of_stack(scene.stack)
    with scene.load() as load, scene.jobs():
        wait_until(lambda: read_state(scene.admin, FLAG).percent == 25, PATIENCE, "25%")
        time.sleep(6)
        target.switch_fault_on("exception")
        bad = time.monotonic()
        wait_until(lambda: not read_state(scene.admin, FLAG).enabled, 60, "the rollback")
        off = time.monotonic() - bad
        wait_until(lambda: quarantined(scene.admin, FLAG), 10, "the quarantine")
        time.sleep(8)  # several steps of the plan's job
        state = read_state(scene.admin, FLAG)
        assert (state.enabled, state.percent) == (False, 25)
        code, told = scene.cli("advance", user="canario-rollout")
        assert code == 12, told
        assert "was rolled back and is blocked" in told
    assert shares(scene, since) == [1, 5, 25, 0]
    assert [one for one in load.samples if one.failed] == []
    assert flipped(load.samples) == {}, "back at most once, by the rollback"
    status = scene.status()
    assert status["quarantine"] == [status["challenger"]]
    assert status["last_rollback"]["reason"].startswith("errors: ")
    assert status["changes"][0]["who"] in {"canario-rollback", "canario-rollout"}
    target.switch_fault_off()
    code, told = scene.cli("advance", "--override", "it was the fault of a test", user="canario-rollout")
    assert code in {0, 11}, told
    print(f"off {off:.1f} s after it went bad")
