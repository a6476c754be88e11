"""A rollback over HTTP that breaks at each point: what is called verified is off, the next try does the rest.

Each call of a rollback is broken in each way, before Unleash has carried it out and after, once and for good.
"""

from dataclasses import replace
from threading import Thread

import pytest

from flags.unleash.admin import UnleashAdmin
from flags.unleash.http import Timeouts
from rollback.actions.turn_off import Rollback, UnleashCanary, roll_back
from rollback.guardrails.verdict import Status
from tests.unit.flags.fake_unleash import FakeUnleash, gradual
from tests.unit.flags.server import Answer, Call, serving
from tests.unit.rollback.conftest import make_policy

BREACH = make_policy().guardrails[0].unjudged(Status.BREACH, "too slow")
QUICK = Timeouts(connect=0.1, read=0.1, backoff=0.001)
FAULTS = {
    "cut": Answer(cut=True),
    "half": Answer({"events": [], "name": "x" * 500}, half=True),
    "hanging": Answer("late", delay=0.25),
    "500": Answer("oops", 500),
    "401": Answer("no", 401),
    "no JSON": Answer("<html>welcome</html>", headers={"Content-Type": "text/html"}),
}
CALLS = ("POST off", "GET feature", "GET events", "GET life")


class Unsteady(FakeUnleash):
    """Gives `fault` for the calls that are named, `times` times, after or instead of doing what they ask."""

    target = ""
    fault = Answer()
    carried_out = False
    times = 0

    def answer(self, call: Call) -> Answer:
        if name_of(call) != self.target or self.times == 0:
            return super().answer(call)
        self.times -= 1
        if self.carried_out:
            super().answer(call)
        return self.fault


def name_of(call: Call) -> str:
    if call.method == "POST":
        return "POST off"
    if "search/events" not in call.path:
        return "GET feature"
    return "GET events" if "environment" in call.query else "GET life"


@pytest.mark.parametrize("times", [1, 99], ids=["once", "for good"])
@pytest.mark.parametrize("carried_out", [True, False], ids=["after", "before"])
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("target", CALLS)
def test_a_network_that_breaks(target: str, fault: str, carried_out: bool, times: int) -> None:
    with serving() as server:
        unleash = Unsteady(server)
        unleash.add("canary", gradual(5))
        unleash.target, unleash.fault, unleash.times = target, FAULTS[fault], times
        unleash.carried_out = carried_out
        canary = UnleashCanary(UnleashAdmin(server.url, "user:flags", timeouts=QUICK), "canary")
        rollback = roll_back(canary, BREACH)
        off = not unleash.here()["enabled"]
        assert not rollback.verified or off, "verified, and users still get the challenger"
        assert rollback.verified or rollback.error
        if target.startswith("GET") and "feature" not in target:
            assert rollback.verified, "the event log is no reason to doubt the flag"
        if times == 1 and fault not in {"401", "no JSON"}:
            assert rollback.verified, "one broken call is repeated"
        unleash.times = 0
        again = roll_back(canary, BREACH)
        assert again.verified
        assert not unleash.here()["enabled"]
        switched = [event for event in unleash.events if event["type"] == "feature-environment-disabled"]
        assert len(switched) == 1, "one change in the event log, however often it was ordered"
        assert again.after is not None
        assert again.after.revision == switched[0]["id"]


def test_two_jobs_at_once_leave_one_change() -> None:
    with serving() as server:
        unleash = FakeUnleash(server)
        unleash.add("canary", gradual(5))
        found: list[Rollback] = []

        def act() -> None:
            admin = UnleashAdmin(server.url, "user:flags")
            found.append(roll_back(UnleashCanary(admin, "canary"), BREACH))

        threads = [Thread(target=act) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [one.verified for one in found] == [True] * 4
        assert {one.after.revision for one in found if one.after} == {3}
        assert replace(found[0], seconds=0).error is None
