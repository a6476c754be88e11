"""What is read, how seldom, and what is asked of Prometheus."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from board.history import Span, counts_of, read_history
from board.numbers import read_numbers
from board.sources import WHOLE_AT_LEAST_EVERY, DecisionReader, FlagReader, Shared
from common.answers import Sample, Track
from common.arms import Arms
from common.prometheus import Prometheus, PrometheusError
from flags.canary.feed import Feed
from flags.rollout.readings import Readings
from flags.rollout.situation import Rollout
from flags.unleash.errors import ChangedMeanwhile
from rollback.decisions.log import DecisionError, DecisionLog
from rollback.decisions.record import Decision, Kind, StopRecord
from tests.unit.flags.rollout.scenes import PLAN, at

NOW = datetime.now(UTC)
ARMS = Arms("canary", "production")


class Looked:
    """A rollout that counts how often it was read whole, and an event log with one last event."""

    def __init__(self) -> None:
        self.whole = 0
        self.event = 7
        self.flag, self.shadow_flag, self.arms = ARMS.flag, "shadow", ARMS

    def stamp(self, flag: str, environment: str) -> tuple[int, ...]:
        """As of a Feed: the event was about the flag's shadow."""
        assert environment == ARMS.environment
        return (self.event if flag == self.shadow_flag else 0,)

    def look(self) -> Any:
        self.whole += 1
        return replace(at(5), now=datetime.now(UTC))


@pytest.fixture
def looked(monkeypatch: pytest.MonkeyPatch) -> Looked:
    return Looked()


def reader(
    looked: Looked, monkeypatch: pytest.MonkeyPatch, shared: Shared | None = None, part: float = 0.0
) -> FlagReader:
    monkeypatch.setattr("board.sources.replace", lambda rollout, **_changes: rollout)
    return FlagReader(cast(Rollout, looked), cast(Feed, looked), shared or Shared(), part)


def test_flags_are_read_whole_only_after_an_event(looked: Looked, monkeypatch: pytest.MonkeyPatch) -> None:
    read = reader(looked, monkeypatch)
    for _ in range(5):
        read()
    assert looked.whole == 1
    looked.event = 8
    read()
    read()
    assert looked.whole == 2


def test_flags_are_read_whole_now_and_then(looked: Looked, monkeypatch: pytest.MonkeyPatch) -> None:
    read = reader(looked, monkeypatch)
    read()
    read._whole_at -= WHOLE_AT_LEAST_EVERY
    read()
    assert looked.whole == 2


def test_the_more_rollouts_the_more_seldom_each_is_read_whole(
    looked: Looked, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = Shared()
    read = reader(looked, monkeypatch, shared)
    read()
    shared.rollouts = 100
    read._whole_at -= timedelta(seconds=45)
    read()
    assert looked.whole == 1
    read._whole_at -= timedelta(seconds=6)
    read()
    assert looked.whole == 2


def test_a_hundred_that_were_read_whole_at_one_moment_are_not_so_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shared = Shared()
    shared.rollouts = 100
    found = [Looked() for _ in range(100)]
    readers = [reader(one, monkeypatch, shared, number / 100) for number, one in enumerate(found)]
    whole = [0]
    for _ in range(20):  # each 5 seconds
        for read in readers:
            read()
            read._whole_at -= timedelta(seconds=5)
        whole.append(sum(one.whole for one in found))
    each = [after - before for before, after in pairwise(whole)]
    assert each[0] == 100
    assert max(each[1:]) <= 11
    assert sum(each[1:]) == pytest.approx(190, abs=10)


def test_somebody_who_is_at_it_is_no_fault(looked: Looked, monkeypatch: pytest.MonkeyPatch) -> None:
    read = reader(looked, monkeypatch)
    before = read()
    looked.event = 8
    look = looked.look
    monkeypatch.setattr(looked, "look", lambda: (_ for _ in ()).throw(ChangedMeanwhile("again and again")))
    assert read() is before
    monkeypatch.setattr(looked, "look", look)
    assert read() is not before


def decision(kind: Kind, number: int, **fields: Any) -> Decision:
    name = {Kind.ROLLBACK: "rollback", Kind.STOPPED: "stop", Kind.VERDICT: "verdict"}[kind]
    return Decision(
        id=f"20261123T12000{number}.000Z-{name}-aaaa",
        time=NOW,
        kind=kind,
        flag="canary",
        environment="production",
        **fields,
    )


def test_the_last_rollback_is_told_with_its_stop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = DecisionLog(tmp_path, most_bytes=10**6)
    read = DecisionReader(tmp_path)
    assert read() is None
    log.write(decision(Kind.VERDICT, 1))
    told = read()
    assert told
    assert told.decision.kind is Kind.VERDICT
    log.write(
        decision(Kind.ROLLBACK, 2, rollback={"guardrail": "errors", "breached_at": None, "off_revision": 9})
    )
    log.write(decision(Kind.VERDICT, 3))
    told = read()
    assert told
    assert (told.decision.kind, told.stop) == (Kind.ROLLBACK, None)
    with monkeypatch.context() as patch:
        patch.setattr(DecisionLog, "read", lambda *_: pytest.fail("nothing has changed"))
        assert read() is told
    stop = StopRecord(
        state="stopped",
        sentence="still",
        off_at=NOW,
        off_by=None,
        off_revision=9,
        looked_at=NOW,
        limit_seconds=60,
        last_answer=None,
        stopped_at=NOW,
        instances=(),
    )
    log.write(decision(Kind.STOPPED, 4, stop=stop))
    told = read()
    assert told
    assert told.stop
    assert told.stop.kind is Kind.STOPPED


def test_a_folder_that_cannot_be_read_is_a_fault_and_none_is_not(tmp_path: Path) -> None:
    assert DecisionReader(None)() is None
    assert DecisionReader(tmp_path / "not made yet")() is None
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(DecisionError):
        DecisionReader(file)()


class Asked:
    """A Prometheus that keeps the queries, and answers with what a test gives it."""

    def __init__(self, *vectors: list[Sample]) -> None:
        self.vectors = iter(vectors)
        self.queries: list[str] = []
        self.steps: list[tuple[datetime, timedelta, int]] = []

    def vector(self, query: str, at: datetime | None = None) -> list[Sample]:
        self.queries.append(query)
        return next(self.vectors, [])

    def matrix(self, query: str, start: datetime, step: timedelta, points: int) -> list[Track]:
        self.queries.append(query)
        self.steps.append((start, step, points))
        line = np.full(points, np.nan)
        line[-1] = 2.0
        return [
            Track({"__name__": "error_rate", "model": "champion"}, line),
            Track({"__name__": "agreement_rate"}, line),
            Track({"__name__": "rollback_log_e", "guardrail": "errors"}, line),
        ]


def rollout_with(prometheus: Asked, readings: Readings) -> Rollout:
    found = SimpleNamespace(prometheus=prometheus, plan=PLAN, arms=ARMS, measure=lambda _seen: readings)
    return cast(Rollout, found)


def test_numbers_are_of_the_stage_and_finite() -> None:
    asked = Asked(
        [
            Sample({"__name__": "latency_seconds:p99", "model": "champion"}, 0.01),
            Sample({"__name__": "error_rate", "model": "champion"}, float("nan")),
        ],
        [Sample({"what": "model_requests:rate1m", "model": "champion"}, 40.0)],  # which is not recorded
        [Sample({"model": "challenger", "outcome": "bought"}, 12.0)],
        [Sample({"model": value}, 1.0) for value in ("champion", "v3")],
    )
    seen = at(5)
    found = read_numbers(rollout_with(asked, Readings(version="2")), seen)
    assert found.of("latency_seconds:p99", "champion") == 0.01
    assert found.of("error_rate", "champion") is None
    assert found.of("model_requests:rate1m", "champion") == 40.0
    assert found.outcomes == {("challenger", "bought"): 12.0}
    assert found.since == max(seen.changes[-1].at, found.since)
    assert asked.queries[-2].startswith("sum by (model, outcome) (increase(outcomes_total{")
    assert asked.queries[-1].startswith("count by (model) (model_calls_total{")
    assert (found.unseen or "").endswith('has model="challenger" so far; model is "champion", "v3"')


def test_who_calls_the_challenger_is_not_asked_where_it_is_called() -> None:
    called = Sample({"__name__": "model_requests:rate1m", "model": "challenger"}, 2.0)
    asked = Asked([called])
    assert read_numbers(rollout_with(asked, Readings(version="2")), at(5)).unseen is None
    assert not any(query.startswith("count by") for query in asked.queries)


def test_numbers_begin_with_the_version_where_that_came_later() -> None:
    later = NOW - timedelta(minutes=1)
    found = read_numbers(rollout_with(Asked([], []), Readings(version_since=later)), at(5))
    assert found.since == later


def test_without_unleash_the_numbers_are_of_an_hour() -> None:
    asked = Asked([], [])
    read_numbers(rollout_with(asked, Readings(fault="never asked")), None)
    assert "[3600s]" in asked.queries[-1]


def test_a_fault_of_prometheus_is_one_of_the_source() -> None:
    with pytest.raises(PrometheusError, match="down"):
        read_numbers(rollout_with(Asked(), Readings(fault="down")), at(5))


def test_a_history_has_steady_moments() -> None:
    asked = Asked()
    found = read_history(cast(Prometheus, asked), Span.HOUR, ARMS)
    again = read_history(cast(Prometheus, asked), Span.HOUR, ARMS)
    assert len(asked.queries) == 6
    assert asked.queries[0].startswith("max by (__name__, model, guardrail) (")
    assert len(found.times) == Span.HOUR.points == 241
    assert all(moment % 15 == 0 for moment in (*found.times, *again.times))
    assert set(found.lines) == {
        ("error_rate", "champion"),
        ("agreement_rate", ""),
        ("rollback_log_e", "errors"),
    }


def test_what_the_stage_counted_before_the_chart_is_asked_at_its_edge() -> None:
    told = [
        Sample({"model": "challenger", "outcome": "bought"}, 12.0),
        Sample({"model": "challenger"}, 100.0),
    ]
    asked = Asked(told)
    found = read_history(cast(Prometheus, asked), Span.HOUR, ARMS, datetime.now(UTC) - timedelta(hours=3))
    assert found.counts.outcomes_before == {("bought", "challenger"): 12.0}
    assert found.counts.requests_before == {"challenger": 100.0}
    young = read_history(cast(Prometheus, Asked()), Span.HOUR, ARMS, datetime.now(UTC) - timedelta(minutes=3))
    assert young.counts.since is None


def test_counters_are_counted_through_a_restart_and_a_swap_of_versions_is_seen() -> None:
    def track(name: str, *values: float, **labels: str) -> Track:
        return Track({"__name__": name, "instance": "a", **labels}, np.array(values))

    gone = float("nan")
    found = counts_of(
        [
            track("outcomes_total", 5, 7, 1, 3, model="champion", outcome="bought"),
            track("assignments_total", 50, 70, 10, 30, model="champion", reason="flag_off"),
            track("assignments_total", 1, 2, 3, 4, model="champion", reason="no_flag"),
            track("model_info", 1, gone, 1, 0, model="challenger", version="1", sha256="a"),
            track("model_info", 0, gone, 0, 1, model="challenger", version="2", sha256="b"),
        ]
    )
    assert found.outcomes["bought", "champion"].tolist() == [2, 1, 2]
    assert found.requests["champion"].tolist() == [21, 11, 21]
    assert found.swaps == (3,)  # a scrape that failed is none
