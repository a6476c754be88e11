"""Who changed what, from the event log of the real Unleash, and what people set binds automation."""

from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from flags.canary.history import Hold, held, history
from flags.canary.marks import resume
from flags.canary.share import set_share, turn_off, turn_on
from flags.unleash.admin import UnleashAdmin
from stack.api import Stack
from tests.integration.conftest import ProductManager
from tests.integration.flags_command import cli

COUNTRY = {"contextName": "country", "operator": "IN", "values": ["NO"]}
Edit = Callable[[ProductManager, str], None]


def hold(admin: UnleashAdmin, flag: str) -> Hold | None:
    return held(history(admin, flag))


def revive(manager: ProductManager, flag: str) -> None:
    manager.archive(flag)
    manager.revive(flag)


def off_and_on(manager: ProductManager, flag: str) -> None:
    manager.switch(flag, on=False)
    manager.switch(flag, on=True)


def down_and_up(manager: ProductManager, flag: str) -> None:
    manager.set_share(flag, 5)
    manager.set_share(flag, 7)


@pytest.mark.parametrize(
    ("edit", "limit", "words"),
    [
        pytest.param(lambda m, f: m.set_share(f, 5), 5, "share 25% -> 5%", id="lowered"),
        pytest.param(lambda m, f: m.set_share(f, 50), None, "share 25% -> 50%", id="raised"),
        pytest.param(lambda m, f: m.switch(f, on=False), 0, "turned off", id="off"),
        pytest.param(off_and_on, None, "turned on", id="off and on"),
        pytest.param(down_and_up, None, "share 5% -> 7%", id="down and up"),
        pytest.param(lambda m, f: m.delete_strategies(f), 0, "gradual rollout of 25% removed", id="deleted"),
        pytest.param(
            lambda m, f: m.edit_strategy(f, constraints=[COUNTRY]),
            None,
            "constraint country IN NO added",
            id="constraint",
        ),
        pytest.param(lambda m, f: m.edit_strategy(f, disabled=True), 0, "turned off", id="disabled"),
        pytest.param(lambda m, f: m.archive(f), 0, "archived", id="archived"),
        pytest.param(revive, 0, "revived, off everywhere", id="revived"),
    ],
)
def test_what_a_person_does_in_the_ui_is_told_and_binds_automation(
    admin: UnleashAdmin, manager: ProductManager, own_flag: str, edit: Edit, limit: int | None, words: str
) -> None:
    set_share(admin, own_flag, 25)
    resume(admin, own_flag, "begin")  # to go from 100% to 25% was an order too
    assert hold(admin, own_flag) is None
    edit(manager, own_flag)
    changes = history(admin, own_flag)
    assert (changes[-1].who, changes[-1].is_automation, changes[-1].words) == ("admin", False, words)
    found = held(changes)
    assert (found.limit if found else None) == limit
    if found and limit is not None:
        assert found.who == "admin"
        assert found.refusal(limit) is None
        assert "admin lowered it at 20" in str(found.refusal(limit + 1))
        assert "rollout resume" in str(found.refusal(100))


def test_a_hold_ends_when_a_person_says_so_and_not_before(
    stack: Stack, admin: UnleashAdmin, manager: ProductManager, own_flag: str
) -> None:
    manager.set_share(own_flag, 5)
    set_share(admin, own_flag, 3)
    found = hold(admin, own_flag)
    assert found
    assert (found.limit, found.who) == (3, "canario-flags")  # by the command line a person lowers, too
    set_share(admin, own_flag, 10)  # and only a person raises or resumes
    assert hold(admin, own_flag) == found
    resume(admin, own_flag, "go on")
    assert hold(admin, own_flag) is None
    manager.set_share(own_flag, 2)
    assert hold(admin, own_flag)
    resume(admin, own_flag, "go on")  # the same words a second time
    assert hold(admin, own_flag) is None
    job = UnleashAdmin(stack.addresses.unleash, stack.secret("canario-rollback.token"))
    turn_off(job, own_flag)
    assert hold(admin, own_flag) is None  # a rollback is the quarantine's matter
    turn_on(admin, own_flag)
    manager.switch(own_flag, on=False)
    code, told = cli(stack, "history", own_flag)
    assert code == 0
    assert "! automation stays at 0% at most: admin, turned off, 20" in told
    assert "2% -> 0%" in told
    assert cli(stack, "resume", own_flag, "--reason", "after lunch")[0] == 0
    assert "! automation" not in cli(stack, "history", own_flag)[1]


def test_only_this_environment_counts_and_since_cuts(
    stack: Stack, admin: UnleashAdmin, manager: ProductManager, own_flag: str
) -> None:
    moment = datetime.now(UTC)
    elsewhere = UnleashAdmin(
        stack.addresses.unleash, stack.secret("canario-flags.token"), environment="development"
    )
    elsewhere.add_strategy(own_flag, percent=50, stickiness="userId", group=own_flag)
    turn_on(elsewhere, own_flag)
    turn_off(elsewhere, own_flag)
    assert hold(admin, own_flag) is None
    assert history(admin, own_flag, since=moment) == ()
    manager.set_share(own_flag, 60)
    (change,) = history(admin, own_flag, since=moment)
    assert (change.before.share, change.after.share, change.after.on) == (100, 60, True)
    assert (change.before.reach, change.after.reach) == (100, 60)
