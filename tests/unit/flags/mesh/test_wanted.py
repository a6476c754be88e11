"""Which share the weights should have, by what Unleash says and by how long it has said nothing."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from flags.canary.state import CanaryState
from flags.mesh.job import ShareSource
from flags.mesh.wanted import wanted
from flags.unleash.errors import Unreachable

STATE = CanaryState(
    flag="ranker",
    environment="production",
    exists=True,
    archived=False,
    enabled=True,
    percent=5,
    stickiness="userId",
    strategies=1,
    constraints=(),
    segments=(),
    variants=0,
    trouble=None,
    changed_by="ada",
    changed_at=None,
    change=None,
)


def in_minutes(minutes: int) -> datetime:
    return datetime.now(UTC) + timedelta(minutes=minutes)


def test_the_share_of_a_flag_that_is_on_counts() -> None:
    found = wanted(replace(STATE, segments=(7,), lease_until=in_minutes(10)))
    assert (found.percent, found.why) == (5, "the flag ranker says 5%, set by ada")


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"enabled": False}, "the flag ranker is off, by ada"),
        ({"exists": False, "percent": None}, "the flag ranker is missing"),
        ({"archived": True}, "the flag ranker is archived"),
        ({"trouble": "no one share", "percent": None}, "no one share"),
        ({"segments": (7,), "lease_until": in_minutes(-1)}, "has run out"),
        ({"constraints": ("country NOT_IN NO",)}, "only for some users (country NOT_IN NO)"),
        ({"segments": (7, 8), "lease_until": in_minutes(10)}, "only for some users"),
        ({"segments": (8,)}, "only for some users"),
    ],
)
def test_otherwise_nobody_has_the_challenger(changes: dict[str, Any], why: str) -> None:
    found = wanted(replace(STATE, **changes))
    assert found.percent == 0
    assert why in found.why


class Unleash:
    """Answers, until it does not."""

    def __init__(self, state: CanaryState | None) -> None:
        self.state, self.now = state, 0.0

    def read(self) -> CanaryState:
        if self.state is None:
            raise Unreachable("Unleash does not answer")
        return self.state

    def source(self, lease: timedelta | None = timedelta(minutes=15)) -> ShareSource:
        return ShareSource(self.read, lease, lambda: self.now)


def test_while_unleash_is_away_its_last_word_counts_and_the_lease_runs_out() -> None:
    unleash = Unleash(replace(STATE, segments=(7,), lease_until=in_minutes(10)))
    source = unleash.source()
    source.now()
    unleash.state = None
    found = source.now()
    assert (found and found.percent, source.fault) == (5, "Unleash does not answer")
    unleash.state = replace(STATE, segments=(7,), lease_until=in_minutes(-1))
    source.now()
    unleash.state = None
    found = source.now()
    assert found is not None
    assert found.percent == 0


def test_where_unleash_never_answered_nothing_is_done_until_a_lease_would_be_over() -> None:
    unleash = Unleash(None)
    source, without = unleash.source(), unleash.source(None)
    assert source.now() is None
    unleash.now = 901.0
    found = source.now()
    assert found is not None
    assert found.percent == 0
    assert "has not answered for 15m" in found.why
    assert without.now() is None  # leases are off
