"""Whose numbers a pass judges: those of one pair of models, of one rollout, and none from before."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from common.every_rollout import LabelledRegistry
from common.names import Model
from common.prometheus import Prometheus
from common.served import BLUR
from rollback.actions.stop import Off, StopState, StopVerifier
from rollback.guardrails.edges import FEWEST_CALLS
from rollback.guardrails.measure import begin
from rollback.guardrails.verdict import Status
from rollback.iteration import Iteration
from rollback.job import Job
from rollback.metrics import JobMetrics
from tests.unit.rollback.conftest import (
    ARMS,
    MODEL,
    NOW,
    STATE,
    TAIL,
    FakeCanary,
    Fleet,
    Numbers,
    Server,
    make_policy,
    policy_of,
    result,
    serving,
)

SLOW: dict[str, float | None] = {"value_slow": 0.3, "sample_slow": 80}


def judged(server: Server, fleet: Fleet, settled: float | None = None, **policy: object) -> Iteration:
    server.reply = Numbers({**SLOW}, fleet=fleet, settled=settled)
    return Job(make_policy(**policy), Prometheus(server.url), FakeCanary(), ARMS, dry_run=True).run()


def test_a_window_never_reaches_back_before_every_instance_served_the_challenger(server: Server) -> None:
    """The stage is an hour old, and the challenger has come into it."""
    came = serving("2.0.0", gone={"1.0.0": 100})
    (verdict,) = judged(server, came, settled=95, window="10m").verdicts
    assert verdict.query == "value_slow[1m30s]"
    (verdict,) = judged(server, serving("2.0.0"), window="10m").verdicts
    assert verdict.query == "value_slow[10m]"


def test_a_challenger_that_has_just_come_has_no_data(server: Server) -> None:
    done = judged(server, serving("2.0.0", gone={"1.0.0": 12}), settled=8)
    assert (done.verdicts[0].status, done.exit_code) == (Status.NO_DATA, 0)
    assert done.verdicts[0].sentence == (
        "every instance began to serve these models 8 s ago, and they are judged from 20s on"
    )


def test_what_left_before_the_stage_is_no_matter(server: Server) -> None:
    (verdict,) = judged(server, serving("2.0.0", gone={"1.0.0": 3700})).verdicts
    assert verdict.status is Status.BREACH
    assert len(server.asked) == 2


@pytest.mark.parametrize(
    ("fleet", "why"),
    [
        (serving("2.0.0", "1.0.0", instances=2), "instances serve different models as challenger: "),
        (serving("2.0.0", gone={"1.0.0": 60}), "another model was served until 11:59:00 UTC, and not every"),
        (serving(champion=""), "the service does not say which models it serves (model_info)"),
        (
            {**serving("2.0.0"), "follow": [({"flag": "ranker", "environment": "production"}, 1)]},
            "matches the service of another rollout than canary in production: ranker in production",
        ),
        (
            {**serving("2.0.0"), "follow": [({"flag": "canary", "environment": "development"}, 1)]},
            "canary in development; set CANARIO_SELECTOR to labels that only this one's service has",
        ),
        ({**serving("2.0.0"), "follow": []}, "does not say which flag it follows (rollout_info)"),
        (
            {**serving("2.0.0", "2.0.0", instances=4), "follow": serving(instances=1)["follow"]},
            "does not say which flag it follows (rollout_info)",
        ),
    ],
    ids=[
        "swapping",
        "not heard since",
        "no models",
        "other flag",
        "other environment",
        "unknown",
        "some unknown",
    ],
)
def test_numbers_that_are_not_this_challengers_cannot_be_measured(
    server: Server, fleet: Fleet, why: str
) -> None:
    done = judged(server, fleet)
    assert (done.verdicts[0].status, done.exit_code) == (Status.CANNOT_MEASURE, 3)
    assert why in done.verdicts[0].sentence
    assert done.challenger is None


def test_a_flag_that_gives_users_a_challenger_that_nobody_serves_has_no_data(server: Server) -> None:
    (verdict,) = judged(server, serving()).verdicts
    assert (verdict.status, verdict.sentence) == (Status.NO_DATA, "the service serves no challenger")


def test_a_service_that_does_not_know_its_environment_is_known_by_its_flag(server: Server) -> None:
    done = judged(server, {**serving("2.0.0"), "follow": [({"flag": "canary"}, 1)]})
    assert done.verdicts[0].status is Status.BREACH


def test_a_verdict_says_which_challenger_it_is_about(server: Server) -> None:
    done = judged(server, serving("2.0.0"))
    assert done.challenger == done.verdicts[0].models[Model.CHALLENGER]
    assert (done.challenger.version, done.challenger.sha256) == ("2.0.0", MODEL["sha256"])
    registry = CollectorRegistry()
    metrics = JobMetrics(registry, cannot_measure_for=timedelta(minutes=5))
    metrics.after_iteration(done)
    labels = {"version": "2.0.0", "sha256": MODEL["sha256"]}
    assert registry.get_sample_value("rollback_judged_model_info", labels) == 1
    metrics.after_iteration(
        Iteration(state=replace(STATE, enabled=False), flag_error=None, dry_run=False, seconds=0)
    )
    assert registry.get_sample_value("rollback_judged_model_info", labels) is None


def test_another_champions_times_are_no_measure(server: Server) -> None:
    edges = dict.fromkeys(("0.01", "+Inf"), float(FEWEST_CALLS))
    now = {**MODEL, "model": "champion", "version": "1.0.0"}
    changed = serving("2.0.0")
    began = datetime.now(UTC) - timedelta(hours=1)
    for ago, known in ((timedelta(hours=3), True), (timedelta(minutes=90), False)):
        left = (NOW - ago).timestamp()
        changed["last"] = [({**now, "version": "0.9.0"}, left), (now, NOW.timestamp())]
        server.reply = Numbers({}, fleet=changed, before=edges)
        opening = begin(Prometheus(server.url), policy_of(TAIL), ARMS, began)
        assert bool(opening.before) is known
    assert f"[{round((timedelta(hours=2) + BLUR).total_seconds())}s:" in server.asked[-1][1]["query"]


def test_each_series_of_the_job_says_whose_it_is() -> None:
    registry = LabelledRegistry({"flag": "canary", "environment": "production"})
    JobMetrics(registry, cannot_measure_for=timedelta(minutes=5))
    lines = [line for line in generate_latest(registry).decode().splitlines() if not line.startswith("#")]
    assert lines
    assert all('flag="canary"' in line and 'environment="production"' in line for line in lines)


def test_another_rollouts_service_is_not_seen_to_stop(server: Server) -> None:
    stamps = [NOW.timestamp() - 5 * back for back in reversed(range(13))]

    def one(name: str, value: int, **labels: str) -> dict[str, object]:
        metric = {"__name__": name, "job": "service", "instance": "a", **labels}
        return {"metric": metric, "values": [[stamp, str(value)] for stamp in stamps]}

    of_other = [
        one("up", 1),
        one("predictions_total", 9, model="challenger"),
        one("rollout_info", 1, flag="ranker", environment="production"),
    ]
    server.reply = Numbers({}, still=result("matrix", of_other))
    off = Off(NOW - timedelta(seconds=90))
    stop = StopVerifier(Prometheus(server.url), ARMS, timedelta(seconds=5), timedelta(minutes=1)).look_at(off)
    assert stop.state is StopState.UNSEEN
    assert "another rollout than canary in production: ranker in production" in stop.sentence
