"""One iteration, over real HTTP to a Prometheus that says what a test wants, and a flag in memory."""

import json
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from math import nan

import pytest

from common.errors import CanarioError
from common.prometheus import Prometheus
from rollback.guardrails.file import Policy, rejudge
from rollback.guardrails.kinds.threshold import Threshold
from rollback.guardrails.verdict import Status
from rollback.iteration import ExitCode, Iteration
from rollback.job import Job
from tests.unit.rollback.conftest import (
    ARMS,
    NOW,
    SEQUENTIAL,
    STATE,
    TAIL,
    Answer,
    FakeCanary,
    Numbers,
    Server,
    make_policy,
    policy_of,
    serving,
)

GONE = CanarioError("Unleash does not answer")
FAST: dict[str, float | Answer | None] = {"value_slow": 0.1, "sample_slow": 80}
SLOW: dict[str, float | Answer | None] = {"value_slow": 0.3, "sample_slow": 80}
REFUSED = Answer(b'{"status": "error", "error": "parse error"}', 400)


def run(server: Server, numbers: Numbers, canary: FakeCanary, *, dry_run: bool = False) -> Iteration:
    server.reply = numbers
    return Job(make_policy(), Prometheus(server.url, read=0.5), canary, ARMS, dry_run=dry_run).run()


@pytest.mark.parametrize(
    ("numbers", "canary", "outcome", "exit_code"),
    [
        (Numbers(FAST), FakeCanary(), "fine", 0),
        (Numbers({"value_slow": nan, "sample_slow": 0}), FakeCanary(), "fine", 0),
        (Numbers({"value_slow": None, "sample_slow": None}), FakeCanary(), "cannot measure", 3),
        (Numbers({"value_slow": None, "sample_slow": 80}), FakeCanary(), "cannot measure", 3),
        (Numbers(SLOW), FakeCanary(), "rolled back", 1),
        (Numbers(FAST, up=0), FakeCanary(), "cannot measure", 3),
        (Numbers({**FAST, "value_slow": REFUSED}), FakeCanary(), "cannot measure", 3),
        (Numbers(FAST), FakeCanary(read_fault=GONE), "cannot measure", 3),
        (Numbers(FAST), FakeCanary(replace(STATE, trouble="two strategies")), "cannot measure", 3),
        (Numbers(SLOW), FakeCanary(replace(STATE, percent=None, trouble="odd")), "rolled back", 1),
        (Numbers(SLOW), FakeCanary(obeys=False), "cannot act", 4),
        (Numbers(SLOW), FakeCanary(off_fault=GONE, obeys=False), "cannot act", 4),
    ],
)
def test_what_an_iteration_comes_to(
    server: Server, numbers: Numbers, canary: FakeCanary, outcome: str, exit_code: int
) -> None:
    done = run(server, numbers, replace(canary))
    assert (done.outcome, done.exit_code) == (outcome, ExitCode(exit_code))


@pytest.mark.parametrize(
    ("state", "outcome"),
    [
        (replace(STATE, enabled=False), "not exposed"),
        (replace(STATE, percent=0), "not exposed"),
        (replace(STATE, enabled=False, percent=None, strategies=2, trouble="two"), "not exposed"),
        (replace(STATE, enabled=False, strategies=0, percent=None, trouble="no strategy"), "cannot measure"),
        (replace(STATE, exists=False, enabled=False, strategies=0, trouble="no flag"), "cannot measure"),
    ],
)
def test_nobody_exposed_is_nothing_to_judge(server: Server, state: object, outcome: str) -> None:
    canary = FakeCanary(state)  # type: ignore[arg-type]
    done = run(server, Numbers(SLOW), canary)
    assert done.outcome == outcome
    assert done.verdicts == ()
    assert server.asked == []
    assert canary.orders == 0


def test_prometheus_is_judged_and_the_flag_turned_off_although_it_could_not_be_read(server: Server) -> None:
    canary = FakeCanary(read_fault=GONE)
    done = run(server, Numbers(SLOW), canary)
    assert canary.orders == 1
    assert (done.exit_code, done.state) == (ExitCode.BREACHED, None)


def test_of_an_unknown_stage_only_the_last_two_minutes_count(server: Server) -> None:
    server.reply, unknown = Numbers(FAST), FakeCanary(read_fault=GONE)
    policy = make_policy(window="10m")
    (verdict,) = Job(policy, Prometheus(server.url), unknown, ARMS).run().verdicts
    assert verdict.query == "value_slow[1m55s]"
    policy = make_policy(window="10m", **{"for": "5m"})
    (verdict,) = Job(policy, Prometheus(server.url), unknown, ARMS).run().verdicts
    assert verdict.status is Status.NO_DATA
    assert verdict.sentence.startswith("without Unleash only the last 2m count")


def test_calls_from_before_the_flag_was_seen_off_ask_for_nothing(server: Server) -> None:
    """Unleash falls silent right after a rollback, while its calls are still in every window."""
    server.reply, canary = Numbers(SLOW), FakeCanary()
    job = Job(make_policy(), Prometheus(server.url), canary, ARMS)
    assert job.run().exit_code is ExitCode.BREACHED
    canary.read_fault = canary.off_fault = GONE
    done = job.run()
    assert (done.rollback, done.verdicts[0].status) == (None, Status.NO_DATA)
    assert done.verdicts[0].sentence.startswith("without Unleash only the last 1s count")
    assert canary.orders == 1
    canary.read_fault = canary.off_fault = None
    canary.state = replace(STATE, enabled=True)  # a person turns it on again
    assert job.run().exit_code is ExitCode.BREACHED
    assert canary.orders == 2


def test_a_flag_without_a_history_has_an_old_stage(server: Server) -> None:
    done = run(server, Numbers(FAST), FakeCanary(replace(STATE, changed_at=None)))
    assert done.verdicts[0].window == timedelta(minutes=1)


def test_a_restarted_canary_is_not_judged_by_what_was_before(server: Server) -> None:
    young = FakeCanary(replace(STATE, changed_at=NOW - timedelta(seconds=30)))
    done = run(server, Numbers(FAST), young)
    assert done.verdicts[0].query == "value_slow[25s]"
    younger = FakeCanary(replace(STATE, changed_at=NOW - timedelta(seconds=3)))
    done = run(server, Numbers(SLOW), younger)
    assert done.verdicts[0].status is Status.NO_DATA
    assert younger.orders == 0


def test_a_dry_run_says_what_it_would_do_and_does_not(server: Server) -> None:
    canary = FakeCanary()
    done = run(server, Numbers(SLOW), canary, dry_run=True)
    assert (done.outcome, done.exit_code, canary.orders) == ("would roll back", ExitCode.BREACHED, 0)


def test_a_warning_is_no_rollback(server: Server) -> None:
    server.reply, canary = Numbers(SLOW), FakeCanary()
    done = Job(make_policy(action="warn"), Prometheus(server.url), canary, ARMS).run()
    assert done.verdicts[0].status is Status.BREACH
    assert (done.exit_code, canary.orders) == (ExitCode.FINE, 0)


def two_guardrails() -> Policy:
    (slow,) = make_policy().of(Threshold)
    names = {"name": "later", "value": "value_later[{window}]", "sample": "sample_later[{window}]"}
    return make_policy().model_copy(update={"guardrails": (slow, slow.model_copy(update=names))})


def test_a_breach_is_acted_on_before_slower_guardrails_are_asked_for(server: Server) -> None:
    canary = FakeCanary()
    numbers, orders_when_asked = Numbers({**SLOW, "value_later": 0.3, "sample_later": 80}), []

    def reply(path: str, form: dict[str, str]) -> Answer:
        if "value_later" in form["query"]:
            orders_when_asked.append(canary.orders)
        return numbers(path, form)

    server.reply = reply
    later, slow = reversed(two_guardrails().guardrails)
    assert isinstance(later, Threshold)
    held = later.model_copy(update={"hold": timedelta(minutes=1)})
    policy = make_policy().model_copy(update={"guardrails": (held, slow)})
    done = Job(policy, Prometheus(server.url), canary, ARMS).run()
    assert orders_when_asked == [1]
    assert [verdict.guardrail for verdict in done.verdicts] == ["later", "slow"]  # as in the file
    assert [verdict.status for verdict in done.verdicts] == [Status.BREACH, Status.BREACH]
    assert canary.orders == 1


def test_a_refused_query_leaves_the_other_guardrails_in_force(server: Server) -> None:
    numbers = Numbers({"value_slow": REFUSED, "sample_slow": 80, "value_later": 0.3, "sample_later": 80})
    server.reply, canary = numbers, FakeCanary()
    done = Job(two_guardrails(), Prometheus(server.url), canary, ARMS).run()
    assert [verdict.status for verdict in done.verdicts] == [Status.CANNOT_MEASURE, Status.BREACH]
    assert done.exit_code is ExitCode.BREACHED


def test_a_prometheus_that_falls_silent_is_not_asked_on(server: Server) -> None:
    silent = Answer(b"", delay=0.5)
    server.reply = Numbers({"value_slow": silent})
    done = Job(two_guardrails(), Prometheus(server.url, read=0.1), FakeCanary(), ARMS).run()
    assert [verdict.status for verdict in done.verdicts] == [Status.CANNOT_MEASURE] * 2
    assert len(server.asked) == 2  # the beginning of the iteration, the first values


def test_a_rollback_is_one_line_with_all_that_it_rests_on(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        run(server, Numbers(SLOW), FakeCanary())
    (line,) = (record.__dict__ for record in caplog.records if record.message == "canary rolled back")
    assert line["levelname"] == "WARNING"
    wanted = {
        "guardrail": "slow",
        "query": "value_slow[1m]",
        "value": 0.3,
        "limit": 0.2,
        "sample": 80,
        "flag": "canary",
        "environment": "production",
        "share": 5,
        "changed_by": "paula",
        "verified": True,
        "fault": None,
    }
    assert {name: line[name] for name in wanted} == wanted
    assert 0 <= line["seconds"] < 5


def test_a_rollback_that_fails_is_an_error_line(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    run(server, Numbers(SLOW), FakeCanary(off_fault=GONE, obeys=False))
    (line,) = (record.__dict__ for record in caplog.records if record.message == "canary NOT rolled back")
    assert line["levelname"] == "ERROR"
    assert line["fault"] == "Unleash does not answer"


def test_a_signal_waits_for_the_rollback_and_its_line(server: Server) -> None:
    events: list[str] = []
    canary = FakeCanary()

    @contextmanager
    def undisturbed() -> Iterator[None]:
        events.append(f"held, {canary.orders} orders")
        yield
        events.append(f"free, {canary.orders} orders")

    server.reply = Numbers(SLOW)
    Job(make_policy(), Prometheus(server.url), canary, ARMS, undisturbed=undisturbed).run()
    assert events == ["held, 0 orders", "free, 1 orders"]


BEGAN = NOW - timedelta(hours=1)


def counters(bad_share: float, *, from_minute: float = 0) -> Numbers:
    """50 calls a second, 5% of them the challenger's, of which some fail from a minute of the stage on."""

    def grown(rate: float, since: float = 0) -> Callable[[float], float]:
        return lambda at: 1000 + round(rate * max(at - BEGAN.timestamp() - since, 0))

    labels = {"job": "service", "instance": "a"}
    return Numbers(
        FAST,
        counters=[
            ({"__name__": "calls_total", "model": "champion", **labels}, grown(47.5)),
            ({"__name__": "calls_total", "model": "challenger", **labels}, grown(2.5)),
            ({"__name__": "bad_total", "model": "champion", **labels}, grown(0.01 * 47.5)),
            (
                {"__name__": "bad_total", "model": "challenger", **labels},
                grown(bad_share * 2.5, 60 * from_minute),
            ),
        ],
    )


@pytest.mark.parametrize(
    ("action", "bad_share", "status", "exit_code", "orders"),
    [
        ("rollback", 0.01, Status.OK, 0, 0),
        ("rollback", 0.04, Status.BREACH, 1, 1),
        ("pause", 0.04, Status.BREACH, 0, 0),
        ("warn", 0.04, Status.BREACH, 0, 0),
    ],
)
def test_a_sequential_guardrail_counts_from_the_beginning_of_the_stage(
    server: Server, action: str, bad_share: float, status: Status, exit_code: int, orders: int
) -> None:
    server.reply, canary = counters(bad_share, from_minute=30), FakeCanary()
    policy = policy_of({**SEQUENTIAL, "action": action})
    done = Job(policy, Prometheus(server.url), canary, ARMS).run()
    (verdict,) = done.verdicts
    assert (verdict.status, done.exit_code, canary.orders) == (status, exit_code, orders)
    assert verdict.holds_up_promotion is (status is Status.BREACH and action != "warn")
    assert verdict.sample == pytest.approx(2.5 * 3595, abs=1)
    if verdict.breached_at:
        assert timedelta(minutes=30) < verdict.breached_at - BEGAN < timedelta(minutes=50)
    evidence = json.loads(json.dumps(verdict.evidence))
    assert rejudge(evidence) == (verdict.status, verdict.sentence, verdict.log_e)
    assert len(server.asked) == 3


def test_every_change_of_the_share_begins_anew(server: Server) -> None:
    server.reply = counters(0.04)
    young = FakeCanary(replace(STATE, changed_at=NOW - timedelta(minutes=1)))
    (verdict,) = Job(policy_of(SEQUENTIAL), Prometheus(server.url), young, ARMS).run().verdicts
    assert verdict.window == timedelta(seconds=55)
    assert verdict.sample == pytest.approx(2.5 * 55, abs=1)
    younger = FakeCanary(replace(STATE, changed_at=NOW - timedelta(seconds=7)))
    (verdict,) = Job(policy_of(SEQUENTIAL), Prometheus(server.url), younger, ARMS).run().verdicts
    assert verdict.sentence == "the stage began 7 s ago and is judged from 10s on"


def test_without_unleash_or_a_history_the_counts_reach_back_as_far_as_is_safe(server: Server) -> None:
    server.reply = counters(0.01)
    policy = policy_of(SEQUENTIAL)
    (verdict,) = Job(policy, Prometheus(server.url), FakeCanary(read_fault=GONE), ARMS).run().verdicts
    assert verdict.window == timedelta(seconds=115)
    endless = FakeCanary(replace(STATE, changed_at=None))
    (verdict,) = Job(policy, Prometheus(server.url), endless, ARMS).run().verdicts
    assert verdict.window == timedelta(days=1) - timedelta(seconds=5)


def test_thresholds_and_counters_share_their_requests(server: Server) -> None:
    server.reply = counters(0.01)
    policy = make_policy().model_copy(
        update={"guardrails": (*policy_of(SEQUENTIAL, TAIL).guardrails, *make_policy().guardrails)}
    )
    verdicts = Job(policy, Prometheus(server.url), FakeCanary(), ARMS).run().verdicts
    assert [verdict.guardrail for verdict in verdicts] == ["errors", "tail", "slow"]
    assert verdicts[1].sentence == "Prometheus has no series of x_bucket; is the name right?"
    paths = [path.rpartition("/")[2] for path, _ in server.asked]
    # The second reads the challenger's starts, and the third learns of the tail in vain.
    assert paths == ["query", "query_range", "query", "query", "query_range"]


def test_counters_that_are_refused_leave_the_thresholds_in_force(server: Server) -> None:
    numbers = counters(0.01)

    def reply(path: str, form: dict[str, str]) -> Answer:
        return REFUSED if "__name__" in form["query"] else numbers(path, form)

    server.reply = reply
    policy = make_policy().model_copy(
        update={"guardrails": (*policy_of(SEQUENTIAL).guardrails, *make_policy().guardrails)}
    )
    done = Job(policy, Prometheus(server.url), FakeCanary(), ARMS).run()
    assert [verdict.status for verdict in done.verdicts] == [Status.CANNOT_MEASURE, Status.OK]
    assert "parse error" in done.verdicts[0].sentence


@pytest.mark.parametrize(
    "numbers", [FAST, SLOW, {**FAST, "value_slow": REFUSED}, {**FAST, "sample_slow": None}]
)
def test_the_evidence_of_a_threshold_gives_the_same_verdict_again(
    server: Server, numbers: dict[str, float | Answer | None]
) -> None:
    (verdict,) = run(server, Numbers(numbers), FakeCanary(), dry_run=True).verdicts
    evidence = json.loads(json.dumps(verdict.evidence, allow_nan=False))
    assert rejudge(evidence) == (verdict.status, verdict.sentence, None)
    unmeasured = run(server, Numbers(FAST, up=0), FakeCanary()).verdicts[0]
    assert rejudge(unmeasured.evidence) == (unmeasured.status, unmeasured.sentence, None)


@pytest.mark.parametrize(
    ("seen", "words"),
    [
        (["champion", "challenger"], None),
        ([], None),  # that is told otherwise
        (["champion"], 'has model="challenger" so far; model is "champion"'),
        (["champion", "v3"], 'has model="challenger" so far; model is "champion", "v3"'),
        ([""], 'has model="champion" or model="challenger" so far; model is ""'),
    ],
)
def test_which_values_the_label_has_instead_of_the_challengers(
    server: Server, seen: list[str], words: str | None
) -> None:
    fleet = serving("2.0.0")
    fleet["arms"] = [({"model": value} if value else {}, 1) for value in seen]
    done = run(server, Numbers({"value_slow": 0.1, "sample_slow": 3}, fleet=fleet), FakeCanary())
    (verdict,) = done.verdicts
    assert verdict.status is Status.NO_DATA
    assert verdict.sentence.startswith("only 3 calls in the window, and 50 are needed")
    assert ("no series of model_calls_total" in verdict.sentence) == (words is not None)
    assert verdict.sentence.endswith(words or "needed")
