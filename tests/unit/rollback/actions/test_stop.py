"""When the challenger counts as stopped: tabled histories of one or two instances, scraped every 5 s."""

from collections.abc import Callable, Sequence
from datetime import timedelta

import pytest

from common.prometheus import Prometheus
from rollback.actions.stop import Off, Stop, StopState, StopVerifier
from tests.unit.rollback.conftest import ARMS, NOW, Answer, Server, result

OFF = Off(NOW - timedelta(seconds=40), "canario-rollback", 7)
SCRAPE = timedelta(seconds=5)
LIMIT = timedelta(seconds=60)
Counts = Sequence[float | None]


def points(values: Counts, last: float = 1) -> list[list[object]]:
    """Samples 5 s apart, the last of them `last` seconds ago; None is no sample."""
    first = NOW.timestamp() - last - 5 * (len(values) - 1)
    return [[first + 5 * at, str(value)] for at, value in enumerate(values) if value is not None]


def series(name: str, metric: str, counts: Counts, last: float = 1, **labels: str) -> list[object]:
    """One series of an instance; none where it has no sample."""
    metric_of = {"__name__": metric, "job": "service", "instance": name, **labels}
    return [{"metric": metric_of, "values": samples}] if (samples := points(counts, last)) else []


def instance(name: str, counts: Counts, up: Counts | None = None, last: float = 1) -> list[object]:
    """The series of one instance: `up` and the answers of both models."""
    tries = up if up is not None else [1] * len(counts)
    return [
        *series(name, "up", tries, last),
        *series(name, "predictions_total", [one and 70 for one in tries], last, model="champion"),
        *series(name, "predictions_total", counts, last, model="challenger"),
    ]


def answers(*instances: list[object], before: Sequence[str] = ()) -> Callable[[str, dict[str, str]], Answer]:
    """A Prometheus that knows these; those of `before` served a challenger when the flag went off."""

    def reply(_path: str, form: dict[str, str]) -> Answer:
        if "time()" in form["query"]:
            told = [({"canario_query": "time"}, NOW.timestamp()), *(({"instance": one}, 1) for one in before)]
            return result(
                "vector", [{"metric": one, "value": [NOW.timestamp(), str(number)]} for one, number in told]
            )
        return result("matrix", [one for found in instances for one in found])

    return reply


def see(
    server: Server,
    *instances: list[object],
    off: Off = OFF,
    limit: timedelta = LIMIT,
    before: Sequence[str] = (),
) -> Stop:
    reply = answers(*instances, before=before)

    server.reply = reply
    return StopVerifier(Prometheus(server.url, read=0.5), ARMS, SCRAPE, limit).look_at(off)


def off_ago(seconds: float) -> Off:
    return Off(NOW - timedelta(seconds=seconds))


RISING = list(range(13))


@pytest.mark.parametrize(
    ("counts", "ago", "state"),
    [
        ([5, 8, 9, 9, 9, 9], 22, StopState.VERIFIED),  # one more answer after the flag went off
        ([5, 8, 9, 9, 9, 9], 9, StopState.PENDING),  # it stands still, but two scrapes are too few
        ([9, 9, 9, 9], 15, StopState.VERIFIED),  # the last three scrapes are 1, 6 and 11 s old
        ([5, 6, 7, 8, 9, 10], 22, StopState.PENDING),
        (RISING, 70, StopState.RISING),
        (RISING, 3600, StopState.RISING),
        ([9] * 13, 3600, StopState.VERIFIED),
        ([None] * 6, 22, StopState.VERIFIED),  # it never answered anybody
        ([None, None, None, 2, 2, 3], 22, StopState.PENDING),
        ([9, 9, 3, 3, 3, 3], 28, StopState.VERIFIED),  # restarted, three more answers, and no more
        ([9, 9, 9, 9, 1, 2], 28, StopState.PENDING),  # restarted, and goes on
        (
            [9] * 40 + [10] + [10] * 5,
            3600,
            StopState.RISING,
        ),  # one answer, 30 s ago, an hour after the change
        ([9, 9], 3600, StopState.UNSEEN),  # Prometheus has just come back
    ],
)
def test_one_instance(server: Server, counts: Counts, ago: float, state: StopState) -> None:
    assert see(server, instance("a", counts), off=off_ago(ago)).state is state


def test_the_moments_are_those_of_the_scrapes(server: Server) -> None:
    stop = see(server, instance("a", [5, 8, 9, 9, 9, 9]), off=off_ago(22))
    assert stop.last_answer == NOW - timedelta(seconds=16)
    assert stop.stopped_at == NOW - timedelta(seconds=1)
    assert stop.instances[0].answers == 4
    longer = see(server, instance("a", [5, 8, 9, 9, 9, 9, 9, 9]), off=off_ago(40))
    assert longer.stopped_at == NOW - timedelta(seconds=11)


def test_every_instance_must_stand_still(server: Server) -> None:
    still, moving = instance("a", [9] * 13), instance("b", RISING)
    assert see(server, still, moving).state is StopState.PENDING
    stop = see(server, still, moving, off=off_ago(90))
    assert stop.state is StopState.RISING
    assert stop.sentence.startswith(
        "b: 12 requests still went to the challenger since the flag went off, the last"
    )


@pytest.mark.parametrize(("ago", "state"), [(30, StopState.PENDING), (90, StopState.UNSEEN)])
@pytest.mark.parametrize(
    ("other", "fault"),
    [
        (
            instance("b", [9] * 8 + [None] * 5, [1] * 8 + [0] * 5),
            "b: no successful scrape since 11:59:34 UTC",
        ),
        (instance("b", [], [0] * 13), "b: no successful scrape in the last minutes"),
    ],
)
def test_an_instance_that_is_not_heard_is_not_seen_to_stand_still(
    server: Server, ago: float, state: StopState, other: list[object], fault: str
) -> None:
    stop = see(server, instance("a", [9] * 13), other, off=off_ago(ago))
    assert (stop.state, stop.sentence) == (state, fault)


def test_an_instance_that_left_long_before_the_change_is_left_out(server: Server) -> None:
    gone = instance("b", RISING, last=60)
    stop = see(server, instance("a", [9] * 13), gone, before=["a"])
    assert stop.state is StopState.VERIFIED
    assert [one.name for one in stop.instances] == ["a"]


@pytest.mark.parametrize(("ago", "state"), [(40, StopState.PENDING), (90, StopState.UNSEEN)])
@pytest.mark.parametrize("counts", [RISING, [9] * 13])
def test_an_instance_that_left_may_go_on_answering(
    server: Server, ago: float, state: StopState, counts: Counts
) -> None:
    """It is no target any more, from a moment after the flag went off; its users are still there."""
    gone = instance("b", counts, last=ago - 8)
    stop = see(server, instance("a", [9] * 25), gone, off=off_ago(ago), before=["a", "b"])
    assert stop.state is state
    assert "b: no target of Prometheus since 11:5" in stop.sentence
    assert "was not seen to stand still" in stop.sentence
    unknown = see(server, instance("a", [9] * 25), off=off_ago(ago), before=["a", "b"])
    assert (unknown.state, [one.name for one in unknown.instances]) == (state, ["a", "b"])


def test_an_instance_that_stood_still_before_it_left_has_stopped(server: Server) -> None:
    gone = instance("b", [5, 6, 9, 9, 9, 9], last=70)
    stop = see(server, instance("a", [9] * 25), gone, off=off_ago(92), before=["a", "b"])
    assert stop.state is StopState.VERIFIED
    assert [one.name for one in stop.instances] == ["a", "b"]


@pytest.mark.parametrize(("ago", "state"), [(30, StopState.PENDING), (90, StopState.UNSEEN)])
@pytest.mark.parametrize(
    ("counted", "sentence"),
    [
        ([], "a: no predictions_total of the challenger in its scrapes, so nobody sees its answers"),
        (
            series("a", "predictions_total", [9] * 10 + [None] * 3, model="challenger"),
            "a: no predictions_total of the challenger in its scrapes since 11:59:44 UTC, so nobody sees its"
            " answers",
        ),
        (
            [
                *series("a", "predictions_total", [9] * 13, model="champion"),
                *series("a", "model_info", [1] * 13, model="challenger"),
            ],
            "a: no predictions_total of the challenger in its scrapes, so nobody sees its answers",
        ),
    ],
    ids=["no counter at all", "a counter that went", "a challenger that is not counted"],
)
def test_what_is_not_counted_is_not_seen_to_stand_still(
    server: Server, ago: float, state: StopState, counted: list[object], sentence: str
) -> None:
    """Scrapes succeed all the time: the counters were renamed, or dropped, or it is another program."""
    stop = see(server, [*series("a", "up", [1] * 13), *counted], off=off_ago(ago))
    assert (stop.state, stop.sentence) == (state, sentence)


def test_an_instance_without_a_challenger_has_none_to_stop(server: Server) -> None:
    left = series("a", "model_info", [1] * 5 + [0] * 8, model="challenger")
    champion = series("a", "predictions_total", RISING, model="champion")
    assert see(server, [*series("a", "up", [1] * 13), *champion, *left]).state is StopState.VERIFIED


def test_what_was_answered_before_the_change_and_scraped_late_is_no_alarm(server: Server) -> None:
    """Prometheus was down from 10 s before the change until two minutes after it."""
    counts: Counts = [4, 5, *[None] * 26, 90, 90, 90, 90]
    up: Counts = [1, 1, *[None] * 26, 1, 1, 1, 1]
    stop = see(server, instance("a", counts, up), off=off_ago(140))
    assert stop.state is StopState.VERIFIED


def test_nobody_to_look_at_is_not_a_stop(server: Server) -> None:
    assert see(server, off=off_ago(30)).state is StopState.PENDING
    stop = see(server, off=off_ago(90))
    assert stop.state is StopState.UNSEEN
    assert "no fresh scrape" in stop.sentence


@pytest.mark.parametrize(
    "answer",
    [
        Answer(b"", delay=0.3),
        Answer(b"oops", 500),
        Answer(b'{"status": "success"', claimed_length=200),
        result("vector", []),
        result("matrix", [{"metric": {}, "values": [["x", "y"]]}]),
        result("matrix", [{"values": 3}]),
        result("matrix", [3]),
    ],
)
def test_a_broken_prometheus_is_a_finding_and_no_exception(server: Server, answer: Answer) -> None:
    known = answers()
    server.reply = lambda path, form: known(path, form) if "time()" in form["query"] else answer
    stop = StopVerifier(Prometheus(server.url, read=0.1), ARMS, SCRAPE, LIMIT).look_at(off_ago(90))
    assert stop.state is StopState.UNSEEN
    assert stop.sentence


def test_a_worker_that_has_not_heard_of_it_is_named(server: Server) -> None:
    labels = {"__name__": "flag_state_fetched_timestamp_seconds", "job": "service", "instance": "a"}
    heard = {"metric": labels, "values": [[NOW.timestamp() - 1, str(NOW.timestamp() - 300)]]}
    stop = see(server, [*instance("a", RISING), heard], off=off_ago(90))
    assert "a worker last heard from Unleash at 11:55:00 UTC, before that" in stop.sentence


def test_users_who_are_sent_to_a_challenger_that_fails_count_as_well(server: Server) -> None:
    labels = {"__name__": "assignments_total", "job": "service", "instance": "a", "model": "challenger"}
    sent = {"metric": labels, "values": points(RISING)}
    assert see(server, [*instance("a", [9] * 13), sent], off=off_ago(90)).state is StopState.RISING
