from dataclasses import replace

import pytest

from common.errors import CanarioError
from rollback.actions.turn_off import roll_back
from rollback.guardrails.verdict import Status
from tests.unit.rollback.conftest import STATE, FakeCanary, make_policy

LOST = CanarioError("the answer was lost")
BREACH = make_policy().guardrails[0].unjudged(Status.BREACH, "too slow")


def test_an_order_that_is_carried_out_is_verified() -> None:
    canary = FakeCanary()
    rollback = roll_back(canary, BREACH)
    assert rollback.verified
    assert rollback.guardrail == "slow"
    assert not canary.state.enabled


def test_an_order_whose_answer_is_lost_is_verified_by_reading() -> None:
    assert roll_back(FakeCanary(off_fault=LOST), BREACH).verified


def test_a_flag_that_somebody_removed_needs_no_order() -> None:
    gone = replace(STATE, exists=False, enabled=False)
    assert roll_back(FakeCanary(gone, off_fault=CanarioError("no such flag"), obeys=False), BREACH).verified


@pytest.mark.parametrize(
    ("canary", "error"),
    [
        (FakeCanary(off_fault=LOST, obeys=False), "the answer was lost"),
        (FakeCanary(off_fault=LOST, read_fault=CanarioError("gone")), "the answer was lost"),
        (FakeCanary(obeys=False), "canary is still on in production"),
        (FakeCanary(off_fault=KeyError("bug")), "KeyError: 'bug'"),
    ],
)
def test_what_is_not_seen_to_be_off_is_not_verified(canary: FakeCanary, error: str) -> None:
    rollback = roll_back(canary, BREACH)
    assert not rollback.verified
    assert rollback.error == error
