"""Two hosts log by two clocks: feedback that names its request counts, and what does not is told."""

import json
from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner

from analysis.__main__ import main
from analysis.log import Log, open_log
from analysis.log.left_out import LeftOut, Named, left_out, named_requests
from analysis.metric import Kind, Metric
from analysis.users import Period, in_test, with_measure
from tests.unit.analysis.make_log import START, Record, write_log

METRIC = Metric(name="sales", outcome="bought", kind=Kind.COUNT)
WINDOW = timedelta(hours=6)
PERIOD = Period(START, START + timedelta(days=1), WINDOW)
NOON = timedelta(hours=12)


def prediction(number: int, at: timedelta = NOON) -> Record:
    return {
        "schema": 1,
        "time": (START + at).isoformat(timespec="milliseconds"),
        "kind": "prediction",
        "request_id": f"r{number}",
        "user": f"u{number}",
        "context": {"country": "NO"},
        "assigned": "challenger" if number % 2 else "champion",
        "model": "champion",
        "reason": "flag_off",
        "model_name": "m",
        "model_version": "1",
        "prediction": 1,
        "class_name": "a",
        "probability": 0.9,
        "seconds": 0.001,
    }


def feedback(request: str | None, user: str | None, after: timedelta, at: timedelta = NOON) -> Record:
    return {
        "schema": 1,
        "time": (START + at + after).isoformat(timespec="milliseconds"),
        "kind": "feedback",
        "request_id": request,
        "user": user,
        "outcome": "bought",
        "value": None,
        "known": True,
        "assigned": None,
    }


def seconds(number: float) -> timedelta:
    return timedelta(seconds=number)


RECORDS = [
    *map(prediction, range(9)),
    feedback("r0", "u0", seconds(-0.3)),  # the other host's clock is late
    feedback("r1", "u1", seconds(-3600)),
    feedback(None, "u2", seconds(-3)),
    feedback("r3", "u3", WINDOW),
    feedback("r4", "u4", WINDOW + seconds(1)),
    feedback(None, "u5", seconds(-8)),
    feedback(None, "u6", WINDOW + seconds(1)),
    feedback("nobody's", "u7", seconds(1)),
    feedback(None, None, seconds(1)),
    feedback(None, None, timedelta(), at=-NOON),  # before the test
]


@pytest.fixture
def log(tmp_path: Path) -> Log:
    return open_log(str(write_log(tmp_path / "log", RECORDS)))


def test_what_counts(log: Log) -> None:
    table = with_measure(log, METRIC, PERIOD, in_test(log, PERIOD))
    counted = {row["user"] for row in log.rows(table) if row["outcomes"]}
    assert counted == {"u0", "u1", "u2", "u3"}


def test_what_does_not_is_told(log: Log) -> None:
    found = left_out(log, METRIC, PERIOD, in_test(log, PERIOD))
    assert found == LeftOut(told=9, late=2, early=1, unknown=1, nameless=1)
    assert found.is_odd
    assert found.sentence == (
        "Of 9 feedbacks of that name, 2 came after the window, 1 named a user, before the user's first"
        " request, 1 named a request that is not in the log, 1 named neither request nor user."
    )


def test_nothing_was_left_out(tmp_path: Path) -> None:
    records = [prediction(0), feedback("r0", "u0", seconds(1))]
    log = open_log(str(write_log(tmp_path, records)))
    found = left_out(log, METRIC, PERIOD, in_test(log, PERIOD))
    assert (found.sentence, found.is_odd) == ("Of 1 feedbacks of that name, none was left out.", False)


def test_the_log_tells_of_clocks(log: Log, tmp_path: Path) -> None:
    assert named_requests(log) == Named(count=5, unknown=1, before=2)
    result = CliRunner().invoke(main, ["log", "--log", str(tmp_path / "log"), "--format", "json"])
    document = json.loads(result.stdout)
    assert "2 carry a time before that of their request" in document["answer"]
    assert document["numbers"]["feedback_of_requests"] == {"count": 5, "unknown": 1, "before": 2}


def test_half_of_the_outcomes_do_not_vanish_where_clocks_differ(tmp_path: Path) -> None:
    """Each feedback 0.1 s after its answer, logged by a host whose clock is 0.4 s late or early."""
    asked = [prediction(number, timedelta(minutes=number)) for number in range(400)]
    shares = {}
    for name, skew in (("one clock", 0.0), ("two clocks", 0.4)):
        told = [
            feedback(f"r{n}", f"u{n}", seconds(0.1 + (skew if n % 8 < 4 else -skew)), timedelta(minutes=n))
            for n in range(0, 400, 2)
        ]
        told += [feedback(f"r{n}", f"u{n}", seconds(0.1), timedelta(minutes=n)) for n in range(1, 400, 4)]
        folder = write_log(tmp_path / name, asked + told)
        arguments = ["--metric", "bought", "--by", "country", "--log", str(folder), "--format", "json"]
        result = CliRunner().invoke(main, ["segments", *arguments])
        assert result.exit_code in {0, 1}, result.output
        numbers = json.loads(result.stdout)["numbers"]
        assert numbers["left_out"] == {"told": 300, "late": 0, "early": 0, "unknown": 0, "nameless": 0}
        shares[name] = (numbers["whole"]["champion"], numbers["whole"]["challenger"])
    assert shares["two clocks"] == shares["one clock"]
