"""What analysis.users says, once more in plain Python, slowly and in the order of its docstring."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from analysis.metric import Metric
from analysis.users import SLACK, Covariate, Period
from tests.unit.analysis.make_log import Record

Rows = dict[str, dict[str, Any]]


def plain_users(
    records: Sequence[Record],
    metric: Metric,
    period: Period,
    covariate: Covariate,
    segment: str | None = None,
) -> Rows:
    """user -> the columns of `in_test`, of `with_measure`, and of `with_segments` for `segment`."""
    since, until, window = period.since, period.until, period.window
    asked = sorted(
        (
            (_time(r), r["assigned"] == "challenger", r)
            for r in records
            if r["kind"] == "prediction" and r["user"]
        ),
        key=lambda each: (*each[:2], each[2]["user"]),
    )
    told: dict[str | int, Record] = {}
    for number, record in enumerate(sorted(records, key=_time)):
        if record["kind"] == "feedback" and record["outcome"] == metric.outcome:
            told.setdefault(record["request_id"] or number, record)
    users: Rows = {}
    for time, _, record in asked:
        if since <= time < until:
            empty = {
                "first": time,
                "assigned": record["assigned"],
                "arms": set(),
                "values": [],
            }
            user = users.setdefault(
                record["user"], empty | {"segment": record["context"].get(segment) if segment else None}
            )
            if segment and time == user["first"]:  # of two at the same time, the lesser value
                user["segment"] = min(user["segment"] or "", record["context"].get(segment) or "") or None
            if time <= user["first"] + window:
                user["arms"].add(record["assigned"])
    outcomes = list(told.values())
    _earn(users, [r for t, _, r in asked if since <= t < until], outcomes, window)
    begin, end = covariate.since, covariate.until
    earlier: Rows = {r["user"]: {"first": None, "values": []} for t, _, r in asked if begin <= t < end}
    _earn(
        earlier,
        [r for t, _, r in asked if begin <= t < end],
        [r for r in outcomes if begin <= _time(r) < end],
        window,
    )
    for name, user in users.items():
        user |= {"outcomes": len(user["values"]), "total": sum(user["values"])}
        user["assignments"] = len(user["arms"])
        user["measure"] = _measure(user["values"], metric.kind)
        user["before"] = _measure(earlier[name]["values"], metric.kind) if name in earlier else None
    return users


def _earn(users: Rows, asked: Sequence[Record], told: Sequence[Record], window: timedelta) -> None:
    by_id: dict[str, list[Record]] = defaultdict(list)
    for record in asked:
        by_id[record["request_id"]].append(record)
    for record in told:
        value = record["value"] or 0.0
        if record["request_id"]:
            fitting = [r for r in by_id[record["request_id"]] if _time(record) <= _time(r) + window]
            if fitting:
                user = users[fitting[0]["user"]]
                if user["first"] is None or _time(record) <= user["first"] + window:
                    user["values"].append(value)
        elif record["user"] in users:
            first = users[record["user"]]["first"]
            if first is None or _within(first, _time(record), window):
                users[record["user"]]["values"].append(value)


def _within(asked: datetime, told: datetime, window: timedelta) -> bool:
    return asked - SLACK <= told <= asked + window


def _measure(values: Sequence[float], kind: str) -> float:
    return {"proportion": float(len(values) > 0), "count": float(len(values)), "mean": float(sum(values))}[
        kind
    ]


def _time(record: Record) -> datetime:
    return datetime.fromisoformat(record["time"])
