"""What is asked of Prometheus for `no_worse`, and what becomes of the answers."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from common.answers import Sample, Track
from common.arms import OURS, Arms, Outcomes
from common.names import latency_buckets
from common.prometheus import Prometheus
from flags.rollout.evidence import EvidenceCache, Period, read_evidence
from flags.rollout.no_worse import Evidence
from flags.rollout.schema import NoWorse
from rollback.simulate.traffic import Behaviour

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
BEGAN = NOW - timedelta(hours=8)
RULES = NoWorse(errors=1.2, p99=1.1, outcomes={"bought": 0.95})
ARMS = Arms("canary", "production")
MODEL = Behaviour(median=0.02, sigma=0.6, errors=0.02)
CALLS = {"champion": 75.0, "challenger": 25.0}  # a second, of all buckets


class Service(Prometheus):
    """Answers as if both models had been called for ever, evenly: each counter grows by what is expected."""

    def __init__(self, *, errors: float = 1.0, slower: float = 1.0, bought: float = 1.0) -> None:
        super().__init__("http://unused.example")
        self.errors, self.slower, self.bought = errors, slower, bought
        self.without: tuple[str, ...] = ()
        self.asked: list[str] = []

    def matrix(self, query: str, start: datetime, step: timedelta, points: int) -> list[Track]:
        self.asked.append(query)
        at = (start - NOW).total_seconds() + 1e6 + step.total_seconds() * np.arange(points)
        return [
            Track({**labels, "job": "service", "instance": "a"}, np.floor(rate * at))
            for labels, rate in self._series()
            if labels["__name__"] in query.partition('"')[2].partition('"')[0].split("|")
            and labels["__name__"] not in self.without
            and ('model="champion"' not in query or labels["model"] == "champion")
        ]

    def vector(self, query: str, at: datetime | None = None) -> list[Sample]:
        self.asked.append(query)
        fast = {f"{edge:g}": 1e6 * (1 - MODEL.beyond(edge)) for edge in latency_buckets()} | {"+Inf": 1e6}
        return [Sample({"le": le}, value) for le, value in fast.items()]

    def _series(self) -> Iterator[tuple[dict[str, Any], float]]:
        for model, calls in CALLS.items():
            other = model == "challenger"
            bad = calls * MODEL.errors * (self.errors if other else 1)
            sold = calls * 0.1 * (self.bought if other else 1)
            known = MODEL.worse(slower=self.slower) if other else MODEL
            yield {"__name__": "model_calls_total", "model": model}, calls
            yield {"__name__": "prediction_errors_total", "model": model, "reason": "timeout"}, bad
            yield {"__name__": "assignments_total", "model": model, "reason": "flag_on"}, calls
            yield {"__name__": "outcomes_total", "model": model, "outcome": "bought"}, sold
            yield {"__name__": "outcomes_total", "model": model, "outcome": "returned"}, calls
            for bucket in range(1, 26) if other else range(26, 101):
                labels, part = {"model": model, "bucket": str(bucket)}, 25 if other else 75
                yield {"__name__": "bucket_calls_total", **labels}, calls / part
                yield {"__name__": "bucket_user_windows_bad_total", **labels}, bad / part
                yield {"__name__": "bucket_outcomes_total", "outcome": "bought", **labels}, sold / part
            for edge in latency_buckets():
                fast = {"__name__": "latency_seconds_bucket", "model": model, "le": f"{edge:g}"}
                yield fast, calls * (1 - known.beyond(edge))
            yield {"__name__": "latency_seconds_bucket", "model": model, "le": "+Inf"}, calls


def read(
    service: Service, *, arms: Arms = ARMS, rules: NoWorse = RULES, **period: Any
) -> dict[str, Evidence]:
    asked = Period(**{"began": BEGAN, "until": NOW} | period)
    return {one.name: one for one in read_evidence(service, arms, rules, asked, EvidenceCache())}


def test_the_names_are_those_of_the_service() -> None:
    names = {labels["__name__"] for labels, _ in Service()._series()}
    signals = OURS
    wanted = (
        signals.calls,
        signals.of("errors"),
        signals.of("assignments"),
        signals.of("outcomes"),
        signals.user_windows and signals.user_windows.buckets.calls,
        signals.user_windows and signals.user_windows.buckets.bad,
        signals.outcomes and signals.outcomes.buckets and signals.outcomes.buckets.outcomes,
    )
    assert {str(one) for one in wanted} | {f"{signals.of('latency').name}_bucket"} == names


@pytest.mark.parametrize(
    ("truth", "lost"),
    [
        ({}, set()),
        ({"errors": 1.3}, {"errors"}),
        ({"slower": 1.15}, {"p99"}),
        ({"bought": 0.9}, {"bought"}),
    ],
    ids=str,
)
def test_each_metric_is_held_to_its_margin(truth: dict[str, float], lost: set[str]) -> None:
    found = read(Service(**truth))
    assert {name for name, one in found.items() if not one.holds} == lost
    assert all(one.found and one.found.dispersion == 1 and not one.why for one in found.values())
    measured = {name: one.found.ratio for name, one in found.items() if one.found}
    assert measured["errors"] == pytest.approx(truth.get("errors", 1), rel=0.01)
    assert measured["bought"] == pytest.approx(truth.get("bought", 1), rel=0.01)
    p99 = found["p99"]
    assert p99.found is not None
    assert p99.found.ratio is not None
    assert p99.found.ratio ** (1 / p99.index) == pytest.approx(truth.get("slower", 1), rel=0.02)


def test_without_buckets_calls_count_and_that_is_said() -> None:
    service = Service()
    service.without = ("bucket_calls_total", "bucket_user_windows_bad_total", "bucket_outcomes_total")
    found = read(service)
    assert all(one.holds for one in found.values())
    assert found["errors"].why == "by calls, the counters of the signal `user_windows` have none"
    lacks = {"user_windows": None, "outcomes": Outcomes(counter="outcomes_total", label="outcome")}
    found = read(service, arms=replace(ARMS, signals=OURS.model_copy(update=lacks)))
    assert all(one.holds for one in found.values())
    assert found["errors"].why == "by calls, for want of the signal `user_windows`"
    assert found["bought"].why == "by calls, for want of the signal `outcomes.buckets`"


@pytest.mark.parametrize("bought", [1.0, 0.9])
def test_events_that_are_not_counted_by_bucket_count_by_call(bought: float) -> None:
    """As an outcome that neither a guardrail nor the setting of the service names."""
    service = Service(bought=bought)
    service.without = ("bucket_user_windows_bad_total", "bucket_outcomes_total")
    found = read(service)
    assert (found["errors"].holds, found["bought"].holds) == (True, bought == 1)
    assert found["errors"].why == "by calls, the counters of the signal `user_windows` have none"
    told = found["bought"].sentence()
    assert f"measured {bought:g} times; by calls, the counters of the signal `outcomes.buckets`" in told


def test_a_plan_says_in_which_spans_it_is_counted() -> None:
    quick = RULES.model_copy(update={"span": timedelta(seconds=30), "lag": timedelta(seconds=30)})
    young: dict[str, Any] = {"began": NOW - timedelta(minutes=9)}
    assert not any(one.found for one in read(Service(), **young).values())
    assert all(one.found for one in read(Service(), rules=quick, **young).values())
    with pytest.raises(ValidationError, match="span: 10s at least"):
        NoWorse.model_validate({"errors": 1.2, "span": "5s"})


def test_what_the_rollout_does_not_name_is_not_asked_for() -> None:
    arms = replace(ARMS, signals=OURS.model_copy(update={"outcomes": None, "errors": None, "latency": None}))
    found = read(Service(), arms=arms)
    assert all(one.holds and not one.asked for one in found.values())
    assert {name: one.sentence() for name, one in found.items()} == {
        "errors": "not available: the rollout names no signal `errors`",
        "p99": "not available: the rollout names no signal `latency`",
        "bought": "not available: the rollout names no signal `outcomes`",
    }


def test_an_outcome_that_nobody_tells_is_not_asked_for() -> None:
    service = Service()
    service.without = ("outcomes_total", "bucket_outcomes_total")
    assert read(service)["bought"].sentence() == "nobody tells an outcome 'bought': not asked for"
    assert not read(Service(bought=0))["bought"].holds  # the champion sells, so somebody does


def test_a_stage_that_has_just_begun_waits() -> None:
    found = read(Service(), began=NOW - timedelta(minutes=9))
    assert not any(one.holds for one in found.values())
    assert found["errors"].sentence() == "it is counted in whole spans of 10m, and there is none yet"
    young = read(Service(), began=NOW - timedelta(minutes=35))
    assert not young["bought"].holds  # outcomes come after the call


def test_a_stage_without_a_call_waits_for_calls_and_for_nobody() -> None:
    service = Service()
    calls = dict.fromkeys(CALLS, 0.0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tests.unit.flags.rollout.test_evidence.CALLS", calls)
        errors = read(service)["errors"]
    assert (errors.holds, errors.takes_a_person) == (False, False)
    assert errors.sentence().endswith("; it waits for calls")
    assert read(Service(errors=1.3))["errors"].takes_a_person


def test_a_stage_that_is_over_says_so() -> None:
    assert read(Service(errors=1.3), over=True)["errors"].sentence().endswith("or that stage again")


def test_it_is_asked_again_when_the_next_span_is_over() -> None:
    service, cache = Service(), EvidenceCache()
    asked = []
    for later in (timedelta(), timedelta(seconds=599), RULES.span):
        read_evidence(service, ARMS, RULES, Period(BEGAN, NOW + later), cache)
        asked.append(len(service.asked))
    assert asked[0] == asked[1] < asked[2]


def test_a_long_stage_has_longer_spans() -> None:
    service = Service()
    assert read(service, began=NOW - timedelta(days=20))["errors"].holds


def test_a_rollout_of_others_that_names_its_buckets_of_outcomes() -> None:
    told = {"counter": "sold_total", "label": "what", "buckets": {"calls": "c_total", "outcomes": "o_total"}}
    named = OURS.model_validate({"calls": "requests_total", "outcomes": told})
    assert named.outcomes is not None
    assert named.outcomes.buckets is not None
    assert str(named.outcomes.buckets.outcomes) == "o_total"
