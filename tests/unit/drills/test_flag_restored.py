"""What stands in a drill's way is named at once, and the flag ends as it was found."""

import signal
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from common.model_store import ModelStore
from drills import flag_restorer as module
from drills.flag_restorer import FlagRestorer, bring_back, flag_restored, notes_folder
from drills.notes import FlagNotes, Notes, opened
from drills.target import NEEDED, InTheWayError, Target, require_free_way
from flags.canary.history import held, history
from flags.canary.marks import BEGIN, LIFT, PAUSE, QUARANTINE, quarantine
from flags.canary.share import set_share
from tests.unit.drills.conftest import FakeStack
from tests.unit.flags.fake_unleash import FakeUnleash, gradual

VERSION = "1 aaaaaaaaaaaa"


@pytest.fixture
def stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    roles = type("Roles", (), {"challenger": VERSION})
    release = type("Release", (), {"roles": roles})
    monkeypatch.setattr(ModelStore, "read", lambda _: release)
    return FakeStack(tmp_path, running=NEEDED)


def tag(unleash: FakeUnleash, kind: str, value: str) -> None:
    unleash.tags.setdefault("canary", []).append({"type": kind, "value": value})


def constrained(unleash: FakeUnleash) -> None:
    only = {"contextName": "country", "operator": "IN", "values": ["NO"], "inverted": False}
    unleash.add("canary", gradual(0, constraints=[only]))


def of_a_segment(unleash: FakeUnleash) -> None:
    unleash.add("canary", gradual(0, segments=[77]))


def two_strategies(unleash: FakeUnleash) -> None:
    unleash.add("canary", gradual(5), gradual(25))


def rollout_under_way(unleash: FakeUnleash) -> None:
    unleash.add("canary", gradual(5))
    tag(unleash, BEGIN, VERSION)


@pytest.mark.parametrize(
    ("situation", "named", "helps"),
    [
        (constrained, "country IN NO", "/features/canary"),
        (of_a_segment, "of a segment", "/features/canary"),
        (two_strategies, "2 strategies", "keep one in the Unleash UI"),
        (rollout_under_way, f"the rollout of {VERSION} is under way", "rollout pause --reason"),
    ],
)
def test_what_stands_in_the_way_is_named_with_what_helps(
    unleash: FakeUnleash,
    target: Target,
    stack: Any,
    situation: Callable[[FakeUnleash], None],
    named: str,
    helps: str,
) -> None:
    situation(unleash)
    with pytest.raises(InTheWayError) as caught:
        require_free_way(stack, target)
    assert named in str(caught.value)
    assert helps in str(caught.value)
    assert unleash.writes() == []


def test_a_free_way_is_free(unleash: FakeUnleash, target: Target, stack: Any) -> None:
    rollout_under_way(unleash)
    tag(unleash, PAUSE, "a drill")
    tag(unleash, QUARANTINE, VERSION)
    require_free_way(stack, target)


def test_a_program_that_does_not_run_is_named(
    unleash: FakeUnleash, target: Target, stack: Any, tmp_path: Path
) -> None:
    unleash.add("canary", gradual(0))
    some: Any = FakeStack(tmp_path, running=("unleash", "prometheus", "service"))
    with pytest.raises(InTheWayError, match=r"rollback does not run: `\./canario up`"):
        require_free_way(some, target)


def demo(stack: Any, target: Target, tell: Callable[[str], None]) -> AbstractContextManager[FlagRestorer]:
    """As `./canario demo` changes the flag."""
    return flag_restored(stack, target, tell)


def roll_back(unleash: FakeUnleash, target: Target) -> None:
    """As the job does."""
    unleash.here()["enabled"] = False
    unleash.log("feature-environment-disabled", "canary", "canario-rollback", "production")
    quarantine(target.admin, "canary", VERSION, "errors: 1 (limit 0.02)")


def marks(target: Target) -> dict[str, str]:
    return {one.type: one.value for one in target.admin.tags.of("canary")}


@pytest.mark.parametrize(("percent", "enabled"), [(0, True), (10, True), (10, False)])
def test_after_a_rollback_the_flag_is_as_it_was(
    unleash: FakeUnleash, target: Target, stack: Any, percent: int, enabled: bool
) -> None:
    unleash.add("canary", gradual(percent), enabled=enabled)
    told: list[str] = []
    target.switch_fault_on("exception")
    with demo(stack, target, told.append) as flags:
        flags.share(0)
        flags.share(25)
        roll_back(unleash, target)
    assert (unleash.rollout(), unleash.here()["enabled"]) == (str(percent), enabled)
    assert marks(target).keys() <= {LIFT, "canario-resume"}
    assert held(history(target.admin, "canary")) is None
    assert not target.drill_file.exists()
    assert told == [
        f"canary is as it was found: {'on' if enabled else 'off'}, {percent}%, no version blocked by it"
    ]
    set_share(target.admin, "canary", 25, version=VERSION)  # the next step of the README


def test_what_was_blocked_before_stays_so_and_is_told(
    unleash: FakeUnleash, target: Target, stack: Any
) -> None:
    unleash.add("canary", gradual(0))
    tag(unleash, QUARANTINE, VERSION)
    told: list[str] = []
    with demo(stack, target, told.append) as flags:
        flags.share(25)
        roll_back(unleash, target)
    assert marks(target)[QUARANTINE] == VERSION
    assert f"{VERSION} was blocked before" in told[0]
    assert "./canario lift canary --reason" in told[0]


def interrupted(stack: Any, target: Target, fault: type[BaseException]) -> None:
    with demo(stack, target, lambda _: None) as flags:
        flags.share(25)
        raise fault


def test_a_failure_and_an_interruption_bring_back_too(
    unleash: FakeUnleash, target: Target, stack: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MARK_SECONDS", 0.0)
    unleash.add("canary", gradual(0))
    before = signal.getsignal(signal.SIGTERM)
    for fault in (RuntimeError, KeyboardInterrupt):
        with pytest.raises(fault):
            interrupted(stack, target, fault)
        assert unleash.rollout() == "0"
    assert signal.getsignal(signal.SIGTERM) is before


def test_what_a_person_changed_meanwhile_stays_and_what_to_type_is_told(
    unleash: FakeUnleash, target: Target, stack: Any
) -> None:
    unleash.add("canary", gradual(0))
    told: list[str] = []
    with demo(stack, target, told.append) as flags:
        flags.share(25)
        unleash.save(parameters={"rollout": "40"})
    assert unleash.rollout() == "40"
    assert told[0].startswith("canary is NOT as it was found: ada changed canary meanwhile")
    assert "./canario set canary 0 --no-enable" in told[0]


def killed(stack: Any, target: Target) -> None:
    """A demo that SIGKILL ends: nothing of it runs any more."""
    with opened(notes_folder(stack)) as notebook:
        notes = Notes(begun=datetime.now(UTC), found=FlagNotes.of(target.admin, "canary"))
        FlagRestorer(target, notebook, notes).share(25)


def test_what_a_killed_demo_left_is_brought_back_by_the_next_run(
    unleash: FakeUnleash, target: Target, stack: Any
) -> None:
    unleash.add("canary", gradual(10))
    target.switch_fault_on("exception")
    killed(stack, target)
    roll_back(unleash, target)
    told: list[str] = []
    with opened(notes_folder(stack)) as notebook:
        assert bring_back(target, notebook, told.append)
        assert not bring_back(target, notebook, told.append)
    assert (unleash.rollout(), unleash.here()["enabled"]) == ("10", True)
    assert QUARANTINE not in marks(target)
    assert not target.drill_file.exists()
    assert told[0].startswith("The demo of ")
    assert told[1] == "canary is as it was found: on, 10%, no version blocked by it"
