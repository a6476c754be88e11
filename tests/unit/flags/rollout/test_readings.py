"""What Prometheus says, from answers as its API gives them."""

import math
from datetime import UTC, datetime, timedelta

import pytest

from common.answers import Sample
from common.prometheus import Prometheus, QueryRefused
from flags.quarantine import label
from flags.rollout.readings import counts_query, read, version_query
from flags.rollout.situation import Guarded

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
BEGAN = NOW - timedelta(hours=2)
SHA = "0123456789ab" + 52 * "0"


Series = list[tuple[dict[str, str], float]]


class Answers(Prometheus):
    """Answers queries by what is in them."""

    def __init__(self) -> None:
        super().__init__("http://unused.example")
        self.job: Series = []
        self.counts: Series = []
        self.versions: Series = []
        self.broken = False
        self.queries: list[str] = []

    def vector(self, query: str, at: datetime | None = None) -> list[Sample]:
        self.queries.append(query)
        if self.broken:
            raise QueryRefused("out of memory")
        found = self.versions if "model_info" in query else self.counts if "increase" in query else self.job
        return [Sample(labels, value) for labels, value in found]


@pytest.fixture
def prometheus() -> Answers:
    return Answers()


def of_job(instance: str, **values: float) -> Series:
    return [({"__name__": f"rollback_{name}", "instance": instance}, value) for name, value in values.items()]


def verdict(guardrail: str, wanted: str, instance: str = "a", *, binding: float = 1) -> Series:
    of = {"guardrail": guardrail, "instance": instance}
    found = [
        ({"__name__": "rollback_verdict", "verdict": each, **of}, float(each == wanted))
        for each in ("ok", "breach", "no data", "cannot measure")
    ]
    return [*found, ({"__name__": "rollback_binding", **of}, binding)]


def test_a_last_pass_is_as_old_as_the_job_and_prometheus_say_and_no_two_clocks(prometheus: Answers) -> None:
    prometheus.job = of_job("a", last_pass_ago_seconds=70)
    assert read(prometheus, BEGAN, NOW).last_pass == NOW - timedelta(seconds=70)
    assert any("time() - timestamp(rollback_last_pass_ago_seconds)" in query for query in prometheus.queries)
    assert not any("rollback_last_pass_timestamp" in query for query in prometheus.queries)


def test_all_of_it(prometheus: Answers) -> None:
    prometheus.job = [
        *of_job("a", last_pass_ago_seconds=5, judged_revision=17),
        *verdict("errors", "ok"),
        ({"__name__": "rollback_log_e", "instance": "a", "guardrail": "errors"}, 0.5),
        ({"__name__": "rollback_log_e_limit", "instance": "a", "guardrail": "errors"}, 3.9),
        *verdict("agreement", "breach", binding=0),
        *of_job("old", last_pass_ago_seconds=105, judged_revision=3),
        *verdict("errors", "breach", "old"),
    ]
    prometheus.counts = [
        ({"what": "requests", "model": "champion"}, 950.0),
        ({"what": "requests", "model": "challenger"}, 50.0),
        ({"what": "outcomes", "model": "challenger"}, 7.0),
        ({"what": "samples"}, 100.0),
        ({"what": "agreements"}, 97.0),
        ({"what": "failures"}, 1.0),
    ]
    prometheus.versions = [({"version": "2", "sha256": SHA}, BEGAN.timestamp() - 30)]
    readings = read(prometheus, BEGAN, NOW)
    assert readings.fault is None
    assert readings.guardrails == (
        Guarded("agreement", "breach", binding=False),
        Guarded("errors", "ok", log_e=0.5, log_e_needed=3.9),
    )
    assert readings.judged == 17
    assert readings.last_pass == NOW - timedelta(seconds=5)
    assert (readings.champion_requests, readings.challenger_requests) == (950, 50)
    assert (readings.outcomes, readings.samples, readings.agreements, readings.failures) == (7, 100, 97, 1)
    assert (readings.version, readings.version_since) == (label("2", SHA), None)
    assert len(prometheus.queries) == 3


def test_nothing_at_all_is_no_challenger_and_no_job(prometheus: Answers) -> None:
    readings = read(prometheus, BEGAN, NOW)
    assert (readings.fault, readings.version, readings.last_pass, readings.judged) == (None, None, None, None)
    assert readings.guardrails == ()


def test_a_version_that_came_into_the_stage(prometheus: Answers) -> None:
    came = BEGAN + timedelta(hours=1)
    prometheus.versions = [
        ({"version": "1", "sha256": SHA}, BEGAN.timestamp() - 30),
        ({"version": "2", "sha256": SHA}, came.timestamp()),
    ]
    readings = read(prometheus, BEGAN, NOW)
    assert (readings.version, readings.version_since) == (label("2", SHA), came)


def test_a_job_that_judged_nothing(prometheus: Answers) -> None:
    prometheus.job = of_job("a", last_pass_ago_seconds=0, judged_revision=math.nan)
    assert read(prometheus, BEGAN, NOW).judged is None


def test_a_fault_is_a_reading(prometheus: Answers) -> None:
    prometheus.broken = True
    assert "out of memory" in str(read(prometheus, BEGAN, NOW).fault)
    assert "cannot be reached" in str(read(Prometheus("http://127.0.0.1:9"), BEGAN, NOW).fault)


def test_windows_are_whole_seconds_and_never_none() -> None:
    assert "[1s]" in counts_query(timedelta(seconds=0.2))
    assert "[604800s]" in counts_query(timedelta(days=7))
    assert "[7260s:15s]" in version_query(timedelta(hours=2, minutes=1), timedelta(seconds=15))
