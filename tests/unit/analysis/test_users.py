"""Users as the unit, against the same in plain Python on random logs."""

import random
from datetime import UTC, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from analysis.log import Log, open_log
from analysis.measures.metric import Kind, Metric
from analysis.measures.users import per_user
from tests.unit.analysis.make_log import (
    START,
    LogPlan,
    Record,
    feedback,
    make_records,
    prediction,
    write_log,
)
from tests.unit.analysis.plain_users import plain_users

UNTIL = START + timedelta(days=7)
WINDOW = timedelta(hours=6)


def users_of(log: Log, kind: Kind, segment: str | None = None) -> dict[str, dict[str, Any]]:
    """The rows of the test from START to UNTIL, by user."""
    metric = Metric(name="sales", outcome="bought", kind=kind)
    table = per_user(log, metric, since=START, until=UNTIL, window=WINDOW, segment=segment)
    rows = log.rows(table)
    assert len({row["user"] for row in rows}) == len(rows)
    return {row["user"]: row for row in rows}


def untidy(seed: int) -> list[Record]:
    """A random log with everything that happens to logs, short of bad lines."""
    chance = random.Random(seed)
    plan = LogPlan(
        users=chance.randint(1, 60),
        requests=chance.choice([1, 2, 6]),
        days_before=chance.choice([0, 5]),
        baseline=0.6,
        by_user=chance.choice([0, 0.4, 1]),
        changers=chance.choice([0, 0.5]),
        value=chance.choice([None, 30]),
        late=timedelta(hours=chance.choice([1, 8])),
        seed=seed,
    )
    records = make_records(plan)
    extra = []
    for record in records:
        draw = chance.random()
        if record["kind"] == "feedback":
            if draw < 0.2:  # sent twice, later with another value
                later = START + timedelta(days=chance.uniform(-4, 9))
                extra.append({**record, "time": later.isoformat(timespec="milliseconds"), "value": 1.0})
            elif draw < 0.3:
                extra.append({**record, "request_id": "nobody's", "user": None})
            elif draw < 0.4:
                extra.append({**record, "outcome": "returned"})
            elif draw < 0.5:
                extra.append({**record, "request_id": None, "user": None})
        elif draw < 0.05:
            record["user"] = None
        elif draw < 0.1 and record["kind"] == "prediction":  # a client that sends its id again
            again = chance.choice(records)
            extra.append({**record, "user": again["user"], "time": again["time"]})
        elif draw < 0.15:
            record["context"] = {}
    return records + extra


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("kind", list(Kind))
def test_the_same_as_in_plain_python(tmp_path: Path, seed: int, kind: Kind) -> None:
    records = untidy(seed)
    rows = users_of(open_log(str(write_log(tmp_path, records, files=2))), kind, "country")
    expected = plain_users(records, "bought", kind, START, UNTIL, WINDOW, "country")
    assert rows.keys() == expected.keys()
    for user, row in rows.items():
        wanted = expected[user]
        assert row["first"].replace(tzinfo=UTC) == wanted["first"]
        for name in ("assigned", "assignments", "requests", "segment", "outcomes", "converted"):
            assert row[name] == wanted[name], name
        for name in ("total", "measure", "before"):
            assert row[name] == pytest.approx(wanted[name], abs=1e-9), name


def by_hand(tmp_path: Path, records: list[Record], **period: Any) -> dict[str, dict[str, Any]]:
    """The rows of `records`, a proportion from START for a week with a window of an hour."""
    log = open_log(str(write_log(tmp_path, sorted(records, key=lambda record: str(record["time"])))))
    table = per_user(
        log,
        Metric(name="sales", outcome="bought", kind=Kind.COUNT),
        since=START,
        until=UNTIL,
        window=timedelta(hours=1),
        **period,
    )
    return {row["user"]: row for row in log.rows(table)}


def asked(user: str, hours: float, arm: str = "champion") -> Record:
    """A request so many hours after START, its id made of both."""
    record = prediction(LogPlan(), np.random.default_rng(1), user, {}, arm, START + timedelta(hours=hours))
    return record | {"request_id": f"{user}-{hours:g}"}


def bought(request_id: str, hours: float) -> Record:
    """What came of it."""
    return feedback(START + timedelta(hours=hours), "bought", request_id=request_id)


def test_every_user_is_watched_for_the_same_time(tmp_path: Path) -> None:
    """With `from_first` the window runs from the first request, also for outcomes of a later one."""
    records = [
        *(asked("a", hours) for hours in (1, 1.5, 30)),
        bought("a-1", 1.2),
        bought("a-1.5", 1.9),
        bought("a-30", 30.5),
        asked("b", 2),
        bought("b-2", 3.5),
    ]
    each = by_hand(tmp_path / "each", records)
    first = by_hand(tmp_path / "first", records, from_first=True)
    assert {user: row["outcomes"] for user, row in each.items()} == {"a": 3, "b": 0}
    assert {user: row["outcomes"] for user, row in first.items()} == {"a": 2, "b": 0}


def test_the_time_before_may_end_before_the_test(tmp_path: Path) -> None:
    records = [asked("a", hours) for hours in (-30, -5, 1)]
    records += [bought("a--30", -29.5), bought("a--5", -4.5)]
    assert by_hand(tmp_path / "all", records)["a"]["before"] == 2
    cut = by_hand(tmp_path / "cut", records, before_until=START - timedelta(hours=10))
    assert cut["a"]["before"] == 1
    back = by_hand(tmp_path / "back", records, before=timedelta(hours=8))
    assert back["a"]["before"] == 1
