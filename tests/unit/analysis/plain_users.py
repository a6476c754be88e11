"""What analysis.measures.users says, once more in plain Python, slowly and in the order of its docstring."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from analysis.measures.users import SLACK
from tests.unit.analysis.make_log import Record

Rows = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Wish:
    """The arguments of `per_user` under their names."""

    since: datetime
    until: datetime
    window: timedelta
    segment: str | None = None
    before: timedelta | None = None
    from_first: bool = False
    before_until: datetime | None = None


def plain_users(records: Sequence[Record], outcome: str, kind: str, wish: Wish) -> Rows:
    """user -> the columns of `per_user`."""
    since, until, window, segment = wish.since, wish.until, wish.window, wish.segment
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
        if record["kind"] == "feedback" and record["outcome"] == outcome:
            told.setdefault(record["request_id"] or number, record)
    users: Rows = {}
    for time, _, record in asked:
        if since <= time < until:
            empty = {
                "first": time,
                "assigned": record["assigned"],
                "arms": set(),
                "requests": 0,
                "values": [],
            }
            user = users.setdefault(
                record["user"], empty | {"segment": record["context"].get(segment) if segment else None}
            )
            if segment and time == user["first"]:  # of two at the same time, the lesser value
                user["segment"] = min(user["segment"] or "", record["context"].get(segment) or "") or None
            user["requests"] += 1
            user["arms"].add(record["assigned"])
    outcomes = list(told.values())
    _earn(users, [r for t, _, r in asked if since <= t < until], outcomes, window, from_first=wish.from_first)
    begin = since - wish.before if wish.before is not None else datetime.min.replace(tzinfo=UTC)
    end = wish.before_until or since
    earlier: Rows = {r["user"]: {"first": None, "values": []} for t, _, r in asked if begin <= t < end}
    _earn(
        earlier,
        [r for t, _, r in asked if begin <= t < end],
        [r for r in outcomes if begin <= _time(r) < end],
        window,
    )
    for name, user in users.items():
        user |= {"outcomes": len(user["values"]), "total": sum(user["values"])}
        user |= {"converted": int(user["outcomes"] > 0), "assignments": len(user["arms"])}
        user["measure"] = _measure(user["values"], kind)
        user["before"] = _measure(earlier[name]["values"], kind) if name in earlier else None
    return users


def _earn(
    users: Rows, asked: Sequence[Record], told: Sequence[Record], window: timedelta, from_first: bool = False
) -> None:
    by_id: dict[str, list[Record]] = defaultdict(list)
    for record in asked:
        by_id[record["request_id"]].append(record)
    for record in told:
        value = record["value"] or 0.0
        if record["request_id"]:
            fitting = [r for r in by_id[record["request_id"]] if _time(record) <= _time(r) + window]
            if fitting:
                user = users[fitting[0]["user"]]
                if not from_first or _time(record) <= user["first"] + window:
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
