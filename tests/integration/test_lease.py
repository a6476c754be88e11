"""Exposure on a lease, on the real Unleash and in the real SDK: time runs out without anybody's help."""

import json
import os
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from common.names import Metric
from flags.accounts.users import EDITOR, USERS
from flags.canary.lease import ensure_lease, read_lease, remove_lease, renew
from flags.canary.lease_segment import Lease, segment_name
from flags.canary.share import read_state
from flags.unleash.admin import UnleashAdmin
from flags.unleash.errors import Rejected
from stack.api import Stack
from tests.integration.conftest import SEEN_WITHIN_SECONDS, ProductManager, wait_for
from tests.integration.flags_command import FILE, cli
from tests.integration.own_service import OwnService, own_service

LONG = timedelta(minutes=15)


def until(seconds: float) -> datetime:
    return datetime.now(UTC) + timedelta(seconds=seconds)


def gives(own: OwnService) -> str:
    return str(own.predict("u")["assigned"])


def falls_back(own: OwnService, lease: Lease) -> float:
    """Seconds from the end of the lease to the champion; fails if it comes before."""
    assert lease.until
    while datetime.now(UTC) < lease.until:
        assert gives(own) == "challenger" or datetime.now(UTC) >= lease.until
    wait_for(lambda: gives(own) == "champion", 2, "the champion after the lease")
    return (datetime.now(UTC) - lease.until).total_seconds()


def test_users_fall_back_at_the_end_with_no_call_and_with_unleash_down(
    stack: Stack, admin: UnleashAdmin, own_flag: str, tmp_path: Path
) -> None:
    lease = ensure_lease(admin, own_flag, timedelta(seconds=20))  # a busy machine starts a service in 10
    assert lease.attached
    # The SDK asks once when it starts, and then not for a minute.
    with own_service(stack, tmp_path, canary_flag=own_flag, refresh_seconds="60") as own:
        wait_for(lambda: gives(own) == "challenger", 5, "the flag")
        heard = own.metric(Metric.FLAG_FETCHED)
        stack.stop("unleash")
        try:
            assert falls_back(own, lease) < 1
            assert own.metric(Metric.FLAG_FETCHED) == pytest.approx(heard, abs=0.1)
            with own_service(
                stack, tmp_path / "again", canary_flag=own_flag, state_dir=str(tmp_path / "state")
            ) as again:
                assert again.predict("u")["reason"] == "flag_off"  # the lease is in the state on disk, too
        finally:
            stack.start("unleash")


def test_a_renewal_brings_the_challenger_back_and_writes_no_strategy(
    stack: Stack, admin: UnleashAdmin, manager: ProductManager, own_flag: str, tmp_path: Path
) -> None:
    job = UnleashAdmin(stack.addresses.unleash, stack.secret("canario-rollback.token"))
    with own_service(stack, tmp_path, canary_flag=own_flag, refresh_seconds="1") as own:
        wait_for(lambda: gives(own) == "challenger", 5, "the flag")
        lease = ensure_lease(admin, own_flag, timedelta(seconds=6))
        before, changed = manager.strategies(own_flag), admin.last_change(own_flag)
        assert falls_back(own, lease) < 1
        state = read_state(admin, own_flag)
        assert (state.lapsed, state.exposed, state.trouble) == (True, True, None)
        renewed = renew(job, own_flag, until(900))
        assert renewed
        assert renewed.attached
        assert timedelta(minutes=14) < renewed.left < LONG
        wait_for(lambda: gives(own) == "challenger", SEEN_WITHIN_SECONDS, "the challenger after the renewal")
    assert (manager.strategies(own_flag), admin.last_change(own_flag)) == (before, changed)
    assert not read_state(admin, own_flag).lapsed


def only_strategy(manager: ProductManager, flag: str) -> dict[str, Any]:
    """The one of `flag`. Unleash tells its segments in any order."""
    (strategy,) = manager.strategies(flag)
    return strategy | {"segments": sorted(strategy["segments"])}


def test_what_a_person_adds_stays(admin: UnleashAdmin, manager: ProductManager, own_flag: str) -> None:
    country = {"contextName": "country", "operator": "IN", "values": ["NO"], "inverted": False}
    own = admin.segments.create(f"{own_flag}-own", "a person's", [country])
    manager.edit_strategy(own_flag, segments=[own.id])
    lease = ensure_lease(admin, own_flag, LONG)
    assert lease.attached
    manager.edit_strategy(own_flag, constraints=[country])
    before = only_strategy(manager, own_flag)
    assert own.id in before["segments"]
    assert len(before["segments"]) == 2
    # Somebody also narrows the segment of the lease, which is no good idea, and is kept.
    segment = next(one for one in admin.segments.all() if one.name == segment_name(own_flag, "production"))
    admin.segments.rewrite(segment, [*segment.constraints, country])
    end = until(3600).replace(microsecond=0)
    assert renew(admin, own_flag, end) == Lease(end, attached=True)
    assert only_strategy(manager, own_flag) == before
    segment = next(one for one in admin.segments.all() if one.id == segment.id)
    assert [one["contextName"] for one in segment.constraints] == ["country", "currentTime"]
    assert "rollback job" in str(segment.description)
    assert renew(admin, own_flag, until(60)) == Lease(end, attached=True)  # never shorter
    remove_lease(admin, own_flag)
    assert only_strategy(manager, own_flag) == before | {"segments": [own.id]}


def test_a_person_who_takes_it_off_has_switched_it_off(
    stack: Stack, admin: UnleashAdmin, manager: ProductManager, own_flag: str, tmp_path: Path
) -> None:
    lease = ensure_lease(admin, own_flag, timedelta(seconds=5))
    with own_service(stack, tmp_path, canary_flag=own_flag, refresh_seconds="1") as own:
        manager.edit_strategy(own_flag, segments=[])
        time.sleep(max(lease.left.total_seconds(), SEEN_WITHIN_SECONDS) + 1)
        assert gives(own) == "challenger"
        refused = ensure_lease(admin, own_flag, LONG)
        assert not refused.attached
        assert str(refused.declined).startswith("admin took the lease off at 20")
        renewed = renew(admin, own_flag, until(900))
        assert renewed
        assert not renewed.attached
        assert manager.strategies(own_flag)[0]["segments"] == []
        assert read_state(admin, own_flag).lease_until is None
        # Deleting the segment itself says the same, and a person may change his mind.
        segment = next(one for one in admin.segments.all() if own_flag in one.name)
        manager.delete_segment(segment.id)
        assert str(ensure_lease(admin, own_flag, LONG).declined).startswith("admin took")
        assert renew(admin, own_flag, until(900)) is None
        assert ensure_lease(admin, own_flag, LONG, insist=True).attached
    with pytest.raises(Rejected):  # while the strategy refers to it
        admin.segments.delete(next(one for one in admin.segments.all() if own_flag in one.name).id)


@pytest.mark.parametrize("user", [user.username for user in USERS if user.role == EDITOR])
def test_each_of_the_users_may_make_renew_and_remove_a_lease(
    stack: Stack, admin: UnleashAdmin, own_flag: str, user: str
) -> None:
    one = UnleashAdmin(stack.addresses.unleash, stack.secret(f"{user}.token"))
    assert ensure_lease(one, own_flag, LONG).attached
    assert ensure_lease(one, own_flag, timedelta(hours=9)).left < LONG  # it is there already
    renewed = renew(one, own_flag, until(3600))
    assert renewed
    assert renewed.left > LONG
    remove_lease(one, own_flag)
    assert read_lease(one, own_flag) is None
    assert admin.feature(own_flag).environments[-1].strategies[0].segments == ()


def test_apply_makes_a_leased_flag_with_links_and_takes_the_lease_off_again(
    stack: Stack, admin: UnleashAdmin, manager: ProductManager, tmp_path: Path
) -> None:
    flag, file = f"test-{time.time_ns()}", tmp_path / "flags.yaml"
    file.write_text(FILE.format(flag=flag), encoding="utf-8")
    settings: dict[str, Any] = {
        "lease": "20m",
        "runbook_url": "https://wiki.example/run%20book/?page=a%20b",
        "board_url": "http://127.0.0.1:9090/",
    }
    code, told = cli(stack, "apply", "--file", str(file), **settings)
    assert code == 0, told
    assert "a lease of 20m that the rollback job renews" in told
    assert cli(stack, "plan", "--exit-code", "--file", str(file), **settings) == (
        0,
        f"{flag}\n  as the file says\nno changes due\n",
    )
    state = read_state(admin, flag)
    assert state.lease_left
    assert timedelta(minutes=19) < state.lease_left <= timedelta(minutes=20)
    assert [(link.title, link.url[:11]) for link in admin.feature(flag).links] == [
        ("Runbook", "https://wik"),
        ("Dashboard", "http://127."),
    ]
    code, shown = cli(stack, "show", flag)
    assert code == 0
    assert "19m" in shown
    assert json.loads(cli(stack, "show", flag, "--json")[1])["lapsed"] is False
    # A person takes it off: `apply` keeps that, and says so; `lease` is a person's word for having it back.
    manager.edit_strategy(flag, segments=[])
    code, told = cli(stack, "apply", "--file", str(file), **settings)
    assert code == 0
    assert "kept: lease: Unleash says none, the file says 20m (admin took the lease off at" in told
    assert read_state(admin, flag).lease_until is None
    assert cli(stack, "lease", flag, **settings)[0] == 0
    assert read_state(admin, flag).lease_until
    settings["board_url"] = "https://boards.example/canary"
    code, told = cli(stack, "apply", "--file", str(file), **settings | {"lease": "off"})
    assert code == 0, told
    assert "let its share depend on no lease" in told
    assert read_lease(admin, flag) is None
    assert [link.url for link in admin.feature(flag).links][1:] == ["https://boards.example/canary"]
    assert os.environ.get("CANARIO_LEASE") is None
