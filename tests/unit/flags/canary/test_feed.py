"""Flags are read whole only where the event log tells of them."""

from datetime import UTC, datetime

import pytest

from flags.canary.feed import FRESH_SECONDS, LINES, WHOLE_SECONDS, Feed, FollowedFlag
from flags.canary.share import read_state, set_share
from flags.unleash.admin import UnleashAdmin
from flags.unleash.errors import Unreachable
from flags.unleash.models import Event
from tests.unit.flags.fake_unleash import FakeUnleash, gradual


class Clock:
    """Stands still until it is told."""

    now = 100.0

    def __call__(self) -> float:
        return self.now

    def passes(self, seconds: float) -> None:
        self.now += seconds


class Log:
    """The end of an event log, and how often it was asked for."""

    def __init__(self) -> None:
        self.lines: list[Event] = []
        self.asked = 0
        self.fault: Unreachable | None = None

    @property
    def events(self) -> "Log":
        return self

    def recent(self, _types: object, *, limit: int) -> tuple[Event, ...]:
        self.asked += 1
        if self.fault:
            raise self.fault
        return tuple(sorted(self.lines, key=lambda one: -one.id)[:limit])

    def add(self, number: int, flag: str | None = None, segment: str | None = None) -> None:
        self.lines.append(
            Event(
                id=number,
                type="x",
                created_by="ada",
                created_at=datetime.now(UTC),
                feature_name=flag,
                data={"name": segment},
            )
        )


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def log() -> Log:
    return Log()


@pytest.fixture
def feed(log: Log, clock: Clock) -> Feed:
    return Feed(log, clock=clock)  # type: ignore[arg-type]


def test_one_answer_counts_for_all_who_ask_within_a_moment(feed: Feed, log: Log, clock: Clock) -> None:
    for flag in ("a", "b", "c"):
        feed.stamp(flag, "production")
    assert log.asked == 1
    clock.passes(FRESH_SECONDS + 0.1)
    feed.stamp("a", "production")
    assert log.asked == 2


@pytest.mark.parametrize("segment", [None, "canario-lease-a (production)"])
def test_only_the_flag_that_is_told_of_has_another_stamp(
    feed: Feed, log: Log, clock: Clock, segment: str | None
) -> None:
    log.add(7, "a")
    before = [feed.stamp(flag, "production") for flag in ("a", "b")]
    log.add(8, None if segment else "a", segment)
    clock.passes(2)
    after = [feed.stamp(flag, "production") for flag in ("a", "b")]
    assert after[0] != before[0]
    assert after[1] == before[1]


def test_a_line_that_comes_late_with_a_lower_number_counts(feed: Feed, log: Log, clock: Clock) -> None:
    log.add(9, "b")
    before = feed.stamp("a", "production")
    log.add(8, "a")  # its transaction took longer
    clock.passes(2)
    assert feed.stamp("a", "production") != before


def test_where_lines_were_missed_every_flag_may_have_changed(feed: Feed, log: Log, clock: Clock) -> None:
    log.add(1, "b")
    before = feed.stamp("a", "production")
    for number in range(2, LINES + 2):
        log.add(number, "b")
    clock.passes(2)
    assert feed.stamp("a", "production") != before


def test_silence_is_told_to_all_and_asked_again_later(feed: Feed, log: Log, clock: Clock) -> None:
    log.fault = Unreachable("no answer")
    for _ in range(3):
        with pytest.raises(Unreachable):
            feed.stamp("a", "production")
    assert log.asked == 1
    log.fault = None
    clock.passes(2)
    feed.stamp("a", "production")


def test_a_flag_is_read_whole_after_a_change_and_now_and_then(
    feed: Feed, log: Log, clock: Clock, unleash: FakeUnleash
) -> None:
    unleash.add("canary", gradual(5, id="s"))
    admin = UnleashAdmin(unleash.url, "user:flags")
    flag = FollowedFlag(admin, "canary", feed, clock)
    assert flag.read().percent == 5
    calls = len(unleash.calls)
    clock.passes(2)
    assert flag.read().percent == 5
    assert len(unleash.calls) == calls
    set_share(admin, "canary", 25)
    log.add(50, "canary")
    clock.passes(2)
    assert flag.read().percent == 25
    calls = len(unleash.calls)
    clock.passes(WHOLE_SECONDS + 1)  # not all that happens is an event
    flag.read()
    assert len(unleash.calls) > calls
    calls = len(unleash.calls)
    flag.forget()
    flag.read()
    assert len(unleash.calls) > calls


def test_a_share_may_be_drawn_by_what_the_rollout_says(unleash: FakeUnleash) -> None:
    strategy = gradual(5, id="s")
    strategy["parameters"]["stickiness"] = "sessionId"
    unleash.add("canary", strategy)
    theirs = UnleashAdmin(unleash.url, "user:flags", stickiness="sessionId")
    assert set_share(theirs, "canary", 25).trouble is None
    ours = read_state(UnleashAdmin(unleash.url, "user:flags"), "canary")
    assert "drawn by sessionId instead of userId" in str(ours.trouble)
