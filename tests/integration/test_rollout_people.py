"""People edit the flag at random moments while the plan goes on: none is overwritten, none is overruled."""

import os
import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta

import pytest

from common.arms import Arms
from common.errors import CanarioError
from flags.canary.history import Change, history
from flags.canary.marks import resume
from flags.rollout.controller import advance, look_and_decide
from flags.rollout.decide import StepKind
from flags.rollout.report import sentence
from flags.rollout.situation import Rollout
from flags.unleash.admin import UnleashAdmin
from flags.unleash.models import Written
from stack.api import Stack
from tests.integration.conftest import ProductManager
from tests.integration.open_gates import COUNTRY, PLAN, OpenGates

TRIALS = int(os.environ.get("CANARIO_TEST_ROLLOUT_TRIALS", "10"))
AT_ONCE = int(os.environ.get("CANARIO_TEST_ROLLOUT_AT_ONCE", "3"))  # trials: each has a flag of its own
MOMENT = timedelta(seconds=3)  # milliseconds, on a machine that has nothing else to do
AFTER_SECONDS = 1.5  # some steps of the plan


def archive_and_revive(manager: ProductManager, flag: str) -> None:
    manager.archive(flag)
    time.sleep(0.3)
    manager.revive(flag)


Edit = Callable[[ProductManager, str], None]
EDITS: dict[str, Edit] = {
    "raise": lambda manager, flag: manager.set_share(flag, 60),
    "lower": lambda manager, flag: manager.set_share(flag, 3),
    "to zero": lambda manager, flag: manager.set_share(flag, 0),
    "off": lambda manager, flag: manager.switch(flag, on=False),
    "on": lambda manager, flag: manager.switch(flag, on=True),
    "delete": lambda manager, flag: manager.delete_strategies(flag),
    "disable": lambda manager, flag: manager.edit_strategy(flag, disabled=True),
    "constrain": lambda manager, flag: manager.edit_strategy(flag, constraints=[COUNTRY]),
    "archive": lambda manager, flag: manager.archive(flag),
    "revive": archive_and_revive,
}


@dataclass
class Loop:
    """The plan's job, as fast as it can."""

    rollout: Rollout
    told: list[str] = field(default_factory=list)
    bugs: list[BaseException] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        while not self.stop.is_set():
            try:
                self.told.append(sentence(advance(self.rollout)))
            except CanarioError as error:
                self.told.append(str(error))
            except BaseException as error:
                self.bugs.append(error)
                return


def trial(job: UnleashAdmin, admin: UnleashAdmin, manager: ProductManager, name: str, seed: int) -> str:
    """One flag of its own, one edit at a random moment of the plan; what the status says afterwards."""
    dice = random.Random(seed)
    flag = f"people-{seed}-{time.time_ns()}"
    admin.create_feature(flag, kind="release", description=name)
    admin.add_strategy(flag, percent=0, stickiness="userId", group=flag)
    admin.switch(flag, on=True)
    rollout = OpenGates(PLAN, job, Arms(flag, job.environment), "shadow")
    loop = Loop(rollout)
    thread = threading.Thread(target=loop.run)
    thread.start()
    try:
        time.sleep(dice.uniform(0.0, 3.0))
        EDITS[name](manager, flag)
        time.sleep(AFTER_SECONDS)
    finally:
        loop.stop.set()
        thread.join(30)
    assert loop.bugs == []
    changes = history(admin, flag)
    mine = [one for one in changes if one.who == "admin"]
    if mine:
        check(changes, mine)
    found = look_and_decide(rollout)
    assert found.step.sentence
    if mine and stops(mine[-1]):
        assert found.step.kind is StepKind.REFUSE, (name, sentence(found))
        assert "admin" in found.step.sentence, sentence(found)
    return sentence(found)


def stops(change: Change) -> bool:
    """Whether the person took users away, or the flag itself, at whatever share."""
    return change.lowered or not change.after.on


def check(changes: tuple[Change, ...], mine: list[Change]) -> None:
    """Nothing of the person's was overwritten, and what was lowered was never raised."""
    last = mine[-1]
    later = [one for one in changes if one.id > last.id and one.is_automation]
    lowered = stops(last)
    told = "\n".join(f"{one.id} {one.at:%S.%f} {one.who}: {one.words}" for one in changes)
    for one in later:
        assert one.type == "feature-strategy-update", "nothing but the share is ever written"
        if lowered and one.after.reach > last.after.reach:  # Unleash itself overwrote it: see 0015
            assert one.at - last.at < MOMENT, told
            back = next((two for two in later if two.id > one.id), None)
            assert back, told
            assert back.at - one.at < MOMENT, told
            assert back.after.reach == last.after.reach, told
    if not later:
        return
    (before,), (after,) = last.after.strategies.values(), later[-1].after.strategies.values()
    assert after.constraints == before.constraints
    assert after.disabled == before.disabled
    assert later[-1].after.on == last.after.on
    if lowered and last.after.share is not None:
        # Who archives and revives it may find a raise from in between taken back.
        assert later[-1].after.share in {one.after.share for one in mine}, told


def test_people_win_at_random_moments(stack: Stack, admin: UnleashAdmin, manager: ProductManager) -> None:
    job = UnleashAdmin(stack.addresses.unleash, stack.secret("canario-rollout.token"))
    names = list(EDITS) * (TRIALS // len(EDITS) + 1)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        trials = [
            (name, pool.submit(trial, job, admin, manager, name, seed))
            for seed, name in enumerate(names[:TRIALS])
        ]
    for seed, (name, found) in enumerate(trials):
        print(f"{seed:2} {name:9} {found.result()}")


def test_resume_lets_the_plan_go_on_and_not_before(
    stack: Stack, admin: UnleashAdmin, manager: ProductManager, own_flag: str
) -> None:
    manager.set_share(own_flag, 5)
    time.sleep(0.3)
    rollout = OpenGates(PLAN, admin, Arms(own_flag, admin.environment), "shadow")
    found = advance(rollout)
    assert found.step.kind is StepKind.REFUSE
    assert "admin lowered it" in found.step.sentence
    resume(admin, own_flag, "looked at it")
    assert advance(rollout).done == "5% -> 25%: 25% of the users get the challenger"


@pytest.mark.parametrize("edit", ["off", "disable", "archive", "constrain"])
def test_a_person_that_is_a_moment_faster_is_not_overrun(
    stack: Stack,
    admin: UnleashAdmin,
    manager: ProductManager,
    own_flag: str,
    monkeypatch: pytest.MonkeyPatch,
    edit: str,
) -> None:
    job = UnleashAdmin(stack.addresses.unleash, stack.secret("canario-rollout.token"))
    manager.set_share(own_flag, 5)
    resume(admin, own_flag, "begin")
    time.sleep(0.3)
    rollout = OpenGates(PLAN, job, Arms(own_flag, job.environment), "shadow")
    real = UnleashAdmin.change_parameter

    def slow(self: UnleashAdmin, *words: str, **rest: str) -> Written:
        monkeypatch.setattr(UnleashAdmin, "change_parameter", real)
        EDITS[edit](manager, own_flag)  # between the last look and the write
        return real(self, *words, **rest)

    monkeypatch.setattr(UnleashAdmin, "change_parameter", slow)
    with pytest.raises(CanarioError, match=r"admin changed .* in the moment in which it was raised to 25%"):
        advance(rollout)
    if edit == "archive":
        manager.revive(own_flag)
    (strategy,) = manager.strategies(own_flag)
    assert strategy["parameters"]["rollout"] == "5"
    assert strategy.get("disabled", False) == (edit == "disable")
    assert (len(strategy["constraints"]) == 1) == (edit == "constrain")
    kind = look_and_decide(rollout).step.kind
    assert (kind is StepKind.REFUSE) == (edit != "constrain")
