"""A log with everything that happens to logs."""

import random
from datetime import timedelta

from tests.unit.analysis.make_log import (
    START,
    LogPlan,
    Record,
    make_records,
)


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
