"""The lease and blocked versions: when the job vouches, and what it blocks."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from common.prometheus import Prometheus
from flags.canary.aftermath import UNKNOWN
from flags.canary.lease import ensure_lease, read_lease
from flags.canary.marks import ROLLED_BACK, quarantined
from flags.canary.state import CanaryState
from flags.unleash.admin import UnleashAdmin
from flags.unleash.http import Timeouts
from rollback.actions.lease import LeaseRenewer, VersionBlocker, challenger
from rollback.guardrails.verdict import Status, Verdict
from rollback.iteration import Iteration
from tests.unit.flags.fake_unleash import FakeUnleash, gradual
from tests.unit.flags.server import Answer, serving
from tests.unit.rollback.conftest import ARMS, STATE, make_policy
from tests.unit.waiting import until

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
LEASE, EVERY = timedelta(minutes=15), timedelta(minutes=5)
GUARDRAIL = make_policy().guardrails[0]
SHORT = replace(STATE, lease_until=NOW + timedelta(minutes=9))


def verdict(status: Status) -> Verdict:
    return GUARDRAIL.unjudged(status, "")


def after(state: CanaryState | None, *statuses: Status, fault: str | None = None) -> Iteration:
    return Iteration(state, fault, False, 0.1, verdicts=tuple(map(verdict, statuses)))


@pytest.fixture
def unleash() -> Iterator[FakeUnleash]:
    with serving() as server:
        fake = FakeUnleash(server)
        fake.add("canary", gradual(5))
        yield fake


@pytest.fixture
def admin(unleash: FakeUnleash) -> UnleashAdmin:
    return UnleashAdmin(unleash.url, "user:flags", timeouts=Timeouts(connect=0.5, read=0.5, backoff=0.01))


def renewer(admin: UnleashAdmin, *, hears: bool = True) -> LeaseRenewer:
    return LeaseRenewer(admin, "canary", lambda: hears, lease=LEASE, lease_every=EVERY)


def blocker(admin: UnleashAdmin, version: str | None = "2 abc") -> VersionBlocker:
    return VersionBlocker(admin, "canary", lambda: version)


def no_threads(_: object) -> None:
    raise RuntimeError("can't start new thread")


@pytest.mark.parametrize(
    ("done", "due"),
    [
        pytest.param(after(SHORT, Status.OK), True, id="all well"),
        pytest.param(after(SHORT, Status.NO_DATA), True, id="nobody called: it can measure"),
        pytest.param(after(SHORT, Status.OK, Status.CANNOT_MEASURE), False, id="cannot measure"),
        pytest.param(after(SHORT, Status.OK, Status.BREACH), False, id="breached"),
        pytest.param(after(SHORT, Status.OK, fault="odd"), False, id="a person must mend the flag"),
        pytest.param(after(None, Status.OK), False, id="Unleash is silent"),
        pytest.param(after(replace(SHORT, lease_until=NOW + LEASE), Status.OK), False, id="long enough"),
        pytest.param(after(replace(SHORT, lease_until=NOW - EVERY), Status.OK), True, id="it ran out"),
        pytest.param(after(replace(SHORT, lease_until=None), Status.OK), False, id="taken off by a person"),
        pytest.param(after(replace(SHORT, enabled=False)), False, id="off"),
        pytest.param(after(replace(SHORT, percent=0)), True, id="on at 0%"),
    ],
)
def test_when_it_vouches(admin: UnleashAdmin, done: Iteration, due: bool) -> None:
    assert renewer(admin).is_due(done, NOW) is due
    assert not replace(renewer(admin), lease=None).is_due(done, NOW)


def test_a_renewal_puts_the_end_off(admin: UnleashAdmin) -> None:
    ensure_lease(admin, "canary", timedelta(minutes=1))
    lease = read_lease(admin, "canary")
    assert lease
    renewer(admin).renew_if_due(after(replace(STATE, lease_until=lease.until), Status.OK))

    def renewed() -> bool:
        now = read_lease(admin, "canary")
        return now is not None and now.left > timedelta(minutes=14)

    until(renewed)


@pytest.mark.parametrize("hears", [True, False])
def test_where_nothing_was_judged_it_asks_whether_it_could(admin: UnleashAdmin, hears: bool) -> None:
    ensure_lease(admin, "canary", timedelta(minutes=1))
    lease = read_lease(admin, "canary")
    assert lease
    one = renewer(admin, hears=hears)
    one.renew_if_due(after(replace(STATE, percent=0, lease_until=lease.until)))
    until(lambda: one._renewed is not None and one._renewed.is_set())
    now = read_lease(admin, "canary")
    assert now
    assert (now.left > timedelta(minutes=14)) is hears


@pytest.mark.parametrize(("version", "mark"), [("2 abc", "2 abc"), (None, UNKNOWN)])
def test_a_rollback_blocks_the_version(admin: UnleashAdmin, version: str | None, mark: str) -> None:
    one = blocker(admin, version)
    one.block(GUARDRAIL.unjudged(Status.BREACH, "It was slow"))
    one.close(5)
    assert quarantined(admin, "canary") == {mark}
    assert [tag.value for tag in admin.tags.of("canary") if tag.type == ROLLED_BACK] == ["slow: It was slow"]


def test_a_block_is_tried_again(
    unleash: FakeUnleash, admin: UnleashAdmin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rollback.actions.lease.WAITS", (0.0, 0.01, 0.01))
    monkeypatch.setattr("rollback.actions.lease.LATER", 0.01)
    unleash.fail("PUT", "/tags", *[Answer({}, 500)] * 30)  # three for each try
    one = blocker(admin)
    one.block(verdict(Status.BREACH))
    one.close(5)
    assert quarantined(admin, "canary") == {"2 abc"}


def test_a_version_that_cannot_be_told_is_blocked_as_unknown(admin: UnleashAdmin) -> None:
    def bug() -> str:
        raise LookupError("a bug")

    one = replace(blocker(admin), version=bug)
    one.block(verdict(Status.BREACH))
    one.close(5)
    assert quarantined(admin, "canary") == {UNKNOWN}


def test_a_renewal_that_never_began_does_not_stand_in_the_way_of_the_next(
    admin: UnleashAdmin, monkeypatch: pytest.MonkeyPatch
) -> None:
    ensure_lease(admin, "canary", timedelta(minutes=1))
    lease = read_lease(admin, "canary")
    assert lease
    one, blocking, due = (
        renewer(admin),
        blocker(admin),
        after(replace(STATE, lease_until=lease.until), Status.OK),
    )
    with monkeypatch.context() as patched:
        patched.setattr("rollback.background.threading.Thread.start", no_threads)
        one.renew_if_due(due)
        blocking.block(verdict(Status.BREACH))

    def renewed() -> bool:
        one.renew_if_due(due)
        blocking.ensure_alive()
        now = read_lease(admin, "canary")
        return now is not None and now.left > timedelta(minutes=14)

    until(renewed)
    until(lambda: quarantined(admin, "canary") == {"2 abc"})  # nor is the block lost


def test_a_failed_renewal_troubles_nobody(unleash: FakeUnleash, admin: UnleashAdmin) -> None:
    unleash.fail("GET", "/segments", *[Answer({}, 500)] * 9)
    one = renewer(admin)
    one.renew_if_due(after(replace(STATE, lease_until=datetime.now(UTC)), Status.OK))
    until(lambda: one._renewed is not None and one._renewed.is_set())


def test_an_unreadable_models_folder_is_no_reason_not_to_block(tmp_path: Path) -> None:
    assert challenger(tmp_path, Prometheus("http://127.0.0.1:9"), ARMS) is None
