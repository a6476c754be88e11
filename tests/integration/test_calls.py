"""How many calls of a real Unleash an order costs, and that its answer is what Unleash says then."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import requests
from click.testing import CliRunner, Result

from flags.__main__ import cli
from flags.canary.lease import ensure_lease
from flags.canary.overwritten import KINDS
from flags.canary.share import read_state, set_share
from flags.unleash.admin import UnleashAdmin
from flags.unleash.errors import ChangedMeanwhile
from flags.unleash.fields import fields
from flags.unleash.models import Written
from stack.api import Stack
from tests.integration.conftest import ProductManager


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every call that this process sends from now on."""
    sent: list[str] = []
    request = requests.Session.request

    def counted(self: requests.Session, method: str, url: str, *args: Any, **rest: Any) -> requests.Response:
        sent.append(f"{method} {url}")
        return request(self, method, url, *args, **rest)

    monkeypatch.setattr(requests.Session, "request", counted)
    return sent


@pytest.fixture
def run(stack: Stack) -> Callable[..., Result]:
    """`python -m flags`, in this process."""
    told = {
        "CANARIO_UNLEASH_URL": stack.addresses.unleash,
        "CANARIO_UNLEASH_ADMIN_TOKEN": stack.secret("canario-flags.token"),
    }
    return lambda *words: CliRunner(env=told).invoke(cli, words)


@pytest.mark.parametrize("leased", [True, False], ids=["leased", "without a lease"])
@pytest.mark.parametrize("on", [True, False], ids=["on", "off"])
def test_flags_set_takes_six_calls(
    admin: UnleashAdmin, own_flag: str, calls: list[str], run: Callable[..., Result], leased: bool, on: bool
) -> None:
    if leased:
        ensure_lease(admin, own_flag, timedelta(minutes=15))
    if not on:
        admin.switch(own_flag, on=False)
    for percent in ("5", "25", "0", "0"):
        calls.clear()
        done = run("set", own_flag, percent)
        assert done.exit_code == 0, done.output
        assert f"on, {percent}% of the users; " in done.stdout
        assert len(calls) <= 6, calls


def test_the_answer_is_what_unleash_says(admin: UnleashAdmin, own_flag: str) -> None:
    ensure_lease(admin, own_flag, timedelta(minutes=15))
    admin.switch(own_flag, on=False)
    assert set_share(admin, own_flag, 5) == read_state(admin, own_flag)
    assert set_share(admin, own_flag, 25) == read_state(admin, own_flag)


def test_unleash_answers_a_write_with_what_its_log_tells(admin: UnleashAdmin, own_flag: str) -> None:
    """By this a write knows its own line (flags.canary.overwritten)."""
    country = {"contextName": "country", "operator": "IN", "values": ["NO"]}
    lease = ensure_lease(admin, own_flag, timedelta(minutes=15))
    assert lease.attached
    (strategy,) = admin.feature(own_flag).environments[-1].strategies
    written: list[Written] = [
        admin.change_parameter(own_flag, strategy.id, "rollout", "5"),
        admin.change_constraints(own_flag, strategy.id, [country], seen=[]),
        admin.detach_segment(own_flag, strategy.id, strategy.segments[0], among=1),
        admin.attach_segment(own_flag, strategy.id, strategy.segments[0]),
    ]
    lines = [line for line in admin.log(own_flag) if line.type in KINDS][-len(written) :]
    assert [fields(one.root) for one in written] == [fields(line.data) for line in lines]


@pytest.mark.parametrize("how", ["removed", "disabled"])
def test_strategies_that_go_while_both_are_ordered_leave_it_off(
    admin: UnleashAdmin,
    manager: ProductManager,
    own_flag: str,
    monkeypatch: pytest.MonkeyPatch,
    how: str,
) -> None:
    """Unleash adds one for everybody then; the log alone tells so of a leased flag."""
    ensure_lease(admin, own_flag, timedelta(minutes=15))
    admin.switch(own_flag, on=False)
    switch = admin.switch

    def a_person_is_faster(flag: str, *, on: bool) -> None:
        if on and how == "removed":
            manager.delete_strategies(flag)
        elif on:
            manager.edit_strategy(flag, disabled=True)
        switch(flag, on=on)

    monkeypatch.setattr(admin, "switch", a_person_is_faster)
    with pytest.raises(ChangedMeanwhile, match="it is off again"):
        set_share(admin, own_flag, 5)
    assert not read_state(admin, own_flag).enabled


def test_what_a_person_does_right_after_both_orders_is_what_is_answered(
    admin: UnleashAdmin, manager: ProductManager, own_flag: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ensure_lease(admin, own_flag, timedelta(minutes=15))
    admin.switch(own_flag, on=False)
    switch = admin.switch

    def a_person_goes_on(flag: str, *, on: bool) -> None:
        switch(flag, on=on)
        manager.set_share(flag, 7)
        manager.switch(flag, on=False)

    monkeypatch.setattr(admin, "switch", a_person_goes_on)
    state = set_share(admin, own_flag, 5)
    assert (state.percent, state.enabled, state.changed_by) == (7, False, "admin")
    assert state == read_state(admin, own_flag)
