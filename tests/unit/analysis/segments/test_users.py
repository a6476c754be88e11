"""Which users are in which segment: the property of the context that came with the first request."""

import json
from pathlib import Path

import duckdb

from tests.unit.analysis.make_log import LogPlan, make_records, write_log
from tests.unit.analysis.segment_report import run


def test_a_property_of_later_requests_alone_makes_no_segments(tmp_path: Path) -> None:
    records = make_records(LogPlan(users=300, requests=3, shadow=0))
    seen = set()
    for record in records:
        if record["kind"] == "prediction":
            record["context"] |= {"coupon": "spring"} if record["user"] in seen else {}
            seen.add(record["user"])
    log = str(write_log(tmp_path / "lines", records))
    parquet = str(tmp_path / "log.parquet")  # where each context has a coupon, of nothing
    duckdb.sql(f"COPY (FROM read_json('{log}/*.jsonl')) TO '{parquet}'")
    for place in (log, parquet):
        found = run("--metric", "bought", "--least", "20", "--log", place, "--format", "json")
        assert set(json.loads(found.stdout)["numbers"]["properties"]) == {"country", "plan"}
    asked = run("--metric", "bought", "--log", log, "--by", "coupon")
    assert asked.exit_code == 3
    assert "no user of that time has 'coupon'" in asked.output


def test_requests_at_the_same_moment(tmp_path: Path) -> None:
    """The least value counts, in the log's order or not; and none before any."""
    records = make_records(LogPlan(users=400, requests=1, shadow=0, segments={"plan": {"pro": 1.0}}))
    twins = []
    for number, record in enumerate(each for each in records if each["kind"] == "prediction"):
        record["context"] = {"plan": "free"} if number % 2 else {"plan": "pro"}
        twin = {"plan": "pro"} if number % 2 else ({} if number % 4 else {"plan": "free"})
        twins.append({**record, "request_id": f"twin-{number}", "context": twin})
    log = str(write_log(tmp_path, records + twins))
    numbers = json.loads(run("--metric", "bought", "--least", "20", "--log", log, "--format", "json").stdout)[
        "numbers"
    ]
    users = {
        each["segment"]: each["champion_users"] + each["challenger_users"] for each in numbers["segments"]
    }
    assert users == {"plan=free": 300, "without plan": 100}
