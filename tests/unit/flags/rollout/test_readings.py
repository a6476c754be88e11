"""What Prometheus says, from answers as its API gives them."""

import math
from datetime import UTC, datetime, timedelta

import pytest

from common.answers import Sample
from common.arms import Arms
from common.measured import Measured
from common.names import JobMetric
from common.prometheus import Prometheus, QueryRefused
from flags.canary.marks import label
from flags.rollout.closeness import Closeness
from flags.rollout.readings import counts_query, read

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
ARMS = Arms("canary", "production")
BEGAN = NOW - timedelta(hours=2)
SHA = "0123456789ab" + 52 * "0"


Series = list[tuple[dict[str, str], float]]


class Answers(Prometheus):
    """Answers queries by what is in them."""

    def __init__(self) -> None:
        super().__init__("http://unused.example")
        self.job: Series = []
        self.counts: Series = []
        self.service = service(("2", SHA))
        self.settled: datetime | None = None
        self.broken = False
        self.queries: list[str] = []

    def vector(self, query: str, at: datetime | None = None) -> list[Sample]:
        self.queries.append(query)
        if self.broken:
            raise QueryRefused("out of memory")
        found = self.service if "rollout_info" in query else self.counts if "increase" in query else self.job
        return [Sample(labels, value) for labels, value in found]

    def instant(self, query: str, at: datetime | None = None) -> float | None:
        self.queries.append(query)
        return self.settled.timestamp() if self.settled else None


def service(
    *challengers: tuple[str, str], instances: int = 1, live: int = 1, gone: tuple[datetime, ...] = ()
) -> Series:
    """A service whose instances serve these challengers, and other ones until so long ago."""
    served = [{"model": "challenger", "name": "x", "version": one, "sha256": sha} for one, sha in challengers]
    served.append({"model": "champion", "name": "x", "version": "1", "sha256": SHA})
    return [
        ({"canario_query": "targets"}, instances),
        ({"canario_query": "live"}, live),
        ({"canario_query": "follow", "flag": "canary", "environment": "production"}, instances),
        *(({"canario_query": "serve", **one}, 1) for one in served),
        *(({"canario_query": "last", **one}, NOW.timestamp()) for one in served),
        *(
            ({"canario_query": "last", **served[0], "version": f"0.{number}"}, one.timestamp())
            for number, one in enumerate(gone)
        ),
    ]


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
    assert read(prometheus, ARMS, BEGAN, NOW).last_pass == NOW - timedelta(seconds=70)
    assert any("time() - timestamp(rollback_last_pass_ago_seconds{" in query for query in prometheus.queries)
    assert not any("rollback_last_pass_timestamp" in query for query in prometheus.queries)


def test_all_of_it(prometheus: Answers) -> None:
    prometheus.job = [
        *of_job("a", last_pass_ago_seconds=5, judged_revision=17),
        *verdict("errors", "ok"),
        ({"__name__": "rollback_log_e", "instance": "a", "guardrail": "errors"}, 0.5),
        ({"__name__": "rollback_log_e_limit", "instance": "a", "guardrail": "errors"}, 3.9),
        ({"__name__": JobMetric.WARM_UP, "instance": "a", "guardrail": "errors"}, 135.0),
        (
            {"__name__": JobMetric.WARM_UP_START, "instance": "a", "guardrail": "errors"},
            1795428120.0,
        ),
        (
            {
                "__name__": JobMetric.GUARDRAIL,
                "instance": "a",
                "guardrail": "errors",
                "unit": "share",
                "limit_is": "least",
            },
            1.0,
        ),
        ({"__name__": JobMetric.VALUE, "instance": "a", "guardrail": "errors"}, math.nan),
        ({"__name__": JobMetric.WINDOW, "instance": "a", "guardrail": "errors"}, 90.0),
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
        ({"what": "pairs", "order": "same"}, 40.0),
        ({"what": "classes", "class": "fraud", "by": "both"}, 2.0),
        ({"what": "scores", "by": "challenger", "part": "3"}, 9.0),
        ({"what": "user scores", "model": "champion", "part": "4"}, 5.0),
    ]
    readings = read(prometheus, ARMS, BEGAN, NOW)
    assert readings.fault is None
    assert readings.scores == {("champion", 4): 5.0}
    assert readings.closeness == Closeness({"same": 40.0}, {("fraud", "both"): 2.0}, {("challenger", 3): 9.0})
    assert readings.guardrails == (
        Measured("agreement", "breach", binding=False),
        Measured(
            "errors",
            "ok",
            unit="share",
            fewer=True,
            window=timedelta(seconds=90),
            score=0.5,
            threshold=3.9,
            warm_up=135.0,
            warm_up_start=1795428120.0,
        ),
    )
    assert readings.judged == 17
    assert readings.last_pass == NOW - timedelta(seconds=5)
    assert (readings.champion_requests, readings.challenger_requests) == (950, 50)
    assert (readings.outcomes, readings.samples, readings.agreements, readings.failures) == (7, 100, 97, 1)
    assert (readings.version, readings.version_since) == (label("2", SHA), None)
    assert len(prometheus.queries) == 3


def test_a_champion_alone_is_no_challenger_and_no_job(prometheus: Answers) -> None:
    prometheus.service = service()
    readings = read(prometheus, ARMS, BEGAN, NOW)
    assert (readings.fault, readings.version, readings.last_pass, readings.judged) == (None, None, None, None)
    assert readings.guardrails == ()


def test_a_version_that_came_into_the_stage(prometheus: Answers) -> None:
    came = BEGAN + timedelta(hours=1)
    prometheus.service = service(("2", SHA), gone=(came - timedelta(seconds=3),))
    prometheus.settled = came
    readings = read(prometheus, ARMS, BEGAN, NOW)
    assert (readings.version, readings.version_since, readings.mixed) == (label("2", SHA), came, None)
    assert "[3600s]" in prometheus.queries[2], "only what it did itself counts"


def test_a_version_that_left_before_the_stage_is_no_matter(prometheus: Answers) -> None:
    prometheus.service = service(("2", SHA), gone=(BEGAN - timedelta(seconds=20),))
    assert read(prometheus, ARMS, BEGAN, NOW).version_since is None
    assert len(prometheus.queries) == 3


@pytest.mark.parametrize(
    ("told", "why"),
    [
        (
            service(("2", SHA), ("1", SHA), instances=2, live=2),
            "instances serve different models as challenger",
        ),
        (service(("2", SHA), instances=2, live=2), "only 1 of 2 instances serve it"),
        (service(("2", SHA), instances=2, gone=(NOW,)), "another model was served until 12:00:00 UTC"),
    ],
    ids=["one has swapped", "one has no challenger", "one is not heard since"],
)
def test_what_is_not_one_challengers_work_on_every_instance(
    prometheus: Answers, told: Series, why: str
) -> None:
    prometheus.service = told
    readings = read(prometheus, ARMS, BEGAN, NOW)
    assert readings.fault is None
    assert why in str(readings.mixed)


@pytest.mark.parametrize(
    ("told", "why"),
    [
        ([], 'hears of no service with job="service"'),
        (
            [*service(("2", SHA)), ({"canario_query": "follow", "flag": "ranker", "environment": "shop"}, 1)],
            "matches the service of another rollout than canary in production: ranker in shop",
        ),
        (
            [one for one in service(("2", SHA)) if one[0]["canario_query"] != "follow"],
            "does not say which flag it follows",
        ),
    ],
    ids=["nobody", "two rollouts", "nobody knows whose"],
)
def test_numbers_of_nobody_or_of_others_are_none(prometheus: Answers, told: Series, why: str) -> None:
    prometheus.service = told
    assert why in str(read(prometheus, ARMS, BEGAN, NOW).fault)


def test_only_the_job_of_this_flag_is_asked(prometheus: Answers) -> None:
    read(prometheus, ARMS, BEGAN, NOW)
    assert prometheus.queries[-1].count('flag="canary", environment="production"') == 3


def test_a_job_that_judged_nothing(prometheus: Answers) -> None:
    prometheus.job = of_job("a", last_pass_ago_seconds=0, judged_revision=math.nan)
    assert read(prometheus, ARMS, BEGAN, NOW).judged is None


def test_a_fault_is_a_reading(prometheus: Answers) -> None:
    prometheus.broken = True
    assert "out of memory" in str(read(prometheus, ARMS, BEGAN, NOW).fault)
    assert "cannot be reached" in str(read(Prometheus("http://127.0.0.1:9"), ARMS, BEGAN, NOW).fault)


def test_windows_are_whole_seconds_and_never_none() -> None:
    assert "[1s]" in counts_query(ARMS, timedelta(seconds=0.2))
    assert "[604800s]" in counts_query(ARMS, timedelta(days=7))
    assert 'increase(assignments_total{job="service"}[1s])' in counts_query(ARMS, timedelta())
