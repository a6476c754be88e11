"""Users as the unit, against the same in plain Python on random logs."""

import random
from datetime import UTC, timedelta
from pathlib import Path
from typing import Any

import pytest

from analysis.log import open_log
from analysis.measures.experiment import loaded
from analysis.measures.metric import Kind, Metric
from analysis.measures.users import per_user
from tests.unit.analysis.make_log import (
    START,
    LogPlan,
    Record,
    make_records,
    write_log,
)
from tests.unit.analysis.plain_users import Wish, plain_users

UNTIL = START + timedelta(days=7)
WINDOW = timedelta(hours=6)


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


WISHES = [
    Wish(START, UNTIL, WINDOW, segment="country"),
    Wish(START, UNTIL, timedelta(days=3), from_first=True, before=timedelta(days=2)),
    Wish(START + timedelta(days=1), UNTIL, WINDOW, before_until=START - timedelta(days=1)),
]


@pytest.mark.parametrize("seed", range(12))
def test_the_same_as_in_plain_python(tmp_path: Path, seed: int) -> None:
    records = untidy(seed)
    log = open_log(str(write_log(tmp_path, records, files=2)))
    if seed % 2:
        log = loaded(log, segment=True)
    for kind, wish in zip(Kind, (WISHES * 2)[seed % 3 :], strict=False):
        metric = Metric(name="sales", outcome="bought", kind=kind)
        rows = log.rows(per_user(log, metric, **vars(wish)))
        expected = plain_users(records, "bought", kind, wish)
        assert sorted(row["user"] for row in rows) == sorted(expected)
        for row in rows:
            check(row, expected[row["user"]], wish)


def check(row: dict[str, Any], wanted: dict[str, Any], wish: Wish) -> None:
    """Raises AssertionError where a row is not as wanted."""
    assert row["first"].replace(tzinfo=UTC) == wanted["first"]
    names = ["assigned", "assignments", "requests", "outcomes", "converted"]
    for name in names + (["segment"] if wish.segment else []):
        assert row[name] == wanted[name], name
    for name in ("total", "measure", "before"):
        assert row[name] == pytest.approx(wanted[name], abs=1e-9), name
