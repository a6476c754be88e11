"""The door to Prometheus against an HTTP server that misbehaves in every way it can."""

import json
import logging
import math
import socket
import time
from datetime import timedelta

import pytest

from common.answers import Sample
from common.prometheus import (
    MOST_POINTS,
    BadAnswer,
    Prometheus,
    PrometheusError,
    QueryRefused,
    SeveralSeries,
    Unreachable,
)
from tests.unit.rollback.conftest import NOW, Answer, Numbers, Server, result

ONE = {"metric": {}, "value": [1.0, "1.5"]}
LOOKS = tuple(NOW - timedelta(seconds=back) for back in (30, 15, 0))


@pytest.fixture
def prometheus(server: Server) -> Prometheus:
    return Prometheus(server.url, connect=0.5, read=0.5)


def always(server: Server, answer: Answer) -> None:
    server.reply = lambda _path, _form: answer


@pytest.mark.parametrize(
    ("answer", "value"),
    [
        (result("vector", [ONE]), 1.5),
        (result("scalar", [1.0, "1.5"]), 1.5),
        (result("vector", [{"metric": {}, "value": [1.0, "+Inf"]}]), math.inf),
        (result("vector", []), None),
    ],
)
def test_one_number_or_none(
    server: Server, prometheus: Prometheus, answer: Answer, value: float | None
) -> None:
    always(server, answer)
    assert prometheus.instant("x") == value


def test_nan_is_a_number_here(server: Server, prometheus: Prometheus) -> None:
    always(server, result("vector", [{"metric": {}, "value": [1.0, "NaN"]}]))
    assert math.isnan(prometheus.instant("x") or 0)


def test_a_query_is_asked_at_its_moment_and_given_up_in_time(server: Server, prometheus: Prometheus) -> None:
    prometheus.instant("sum(x)", NOW)
    ((path, form),) = server.asked
    assert path == "/api/v1/query"
    assert form == {"query": "sum(x)", "time": f"{NOW.timestamp():.3f}", "timeout": "0.450"}


@pytest.mark.parametrize(
    ("answer", "error", "words"),
    [
        (result("vector", [ONE, ONE]), SeveralSeries, "2 series where one is needed: x"),
        (result("matrix", []), BadAnswer, "gives a matrix, not one number"),
        (result("string", [1, "x"]), BadAnswer, "gives a string, not one number"),
        (result("vector", [{"metric": {}, "histogram": [1, {}]}]), BadAnswer, "unknown form"),
        (result("vector", [{"metric": {}, "value": [1, "much"]}]), BadAnswer, "unknown form"),
        (result("vector", None), BadAnswer, "unknown form"),
        (result("scalar", []), BadAnswer, "unknown form"),
        (Answer(b'{"status": "success"}'), BadAnswer, "is the address right"),
        (Answer(b"<html>Welcome</html>"), BadAnswer, "is the address right"),
        (Answer(b"[1, 2]"), BadAnswer, "is the address right"),
        (Answer(b""), BadAnswer, "is the address right"),
        (
            Answer(b'{"status": "error", "error": "parse error: x"}', 400),
            QueryRefused,
            "HTTP 400: parse error: x: x",
        ),
        (Answer(b'{"status": "error", "error": "odd"}', 200), QueryRefused, "HTTP 200: odd"),
        (Answer(b'{"status": "error", "error": "too many samples"}', 422), QueryRefused, "too many samples"),
        (Answer(b"no", 401), QueryRefused, "HTTP 401: Unauthorized"),
        (Answer(b"", 302), QueryRefused, "HTTP 302: Found"),
        (Answer(b"broken", 500), QueryRefused, "HTTP 500: Internal Server Error"),
        (Answer(b'{"status":', claimed_length=500), Unreachable, "cannot be reached"),
        (Answer(b"", delay=2), Unreachable, "did not answer within 0.5 s"),
    ],
)
def test_each_fault_has_its_error(
    server: Server, prometheus: Prometheus, answer: Answer, error: type[PrometheusError], words: str
) -> None:
    always(server, answer)
    with pytest.raises(error, match=words.replace("?", r"\?")):
        prometheus.instant("x")


def test_a_server_that_is_busy_for_a_moment_is_asked_again(server: Server, prometheus: Prometheus) -> None:
    answers = [Answer(b"starting", 503), result("vector", [ONE])]
    server.reply = lambda _path, _form: answers.pop(0)
    assert prometheus.instant("x") == 1.5


def test_a_server_that_stays_busy_is_told_with_its_own_words(server: Server, prometheus: Prometheus) -> None:
    always(server, Answer(b'{"status": "error", "error": "query timed out"}', 503))
    with pytest.raises(QueryRefused, match="HTTP 503: query timed out"):
        prometheus.instant("x")
    assert len(server.asked) == 2


def test_a_silent_server_is_asked_once(server: Server, prometheus: Prometheus) -> None:
    always(server, Answer(b"", delay=2))
    began = time.monotonic()
    with pytest.raises(Unreachable):
        prometheus.instant("x")
    assert time.monotonic() - began < 1.8
    assert len(server.asked) == 1


def test_nobody_listening_is_told_without_the_password() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(Unreachable) as caught:
        Prometheus(f"http://user:secret@127.0.0.1:{port}/prom", connect=0.2).instant("x")
    assert f"Prometheus at http://127.0.0.1:{port}/prom cannot be reached" in str(caught.value)
    assert "refused" in str(caught.value)
    assert "secret" not in str(caught.value)


def test_warnings_of_prometheus_reach_the_log(
    server: Server, prometheus: Prometheus, caplog: pytest.LogCaptureFixture
) -> None:
    body = json.loads(result("vector", [ONE]).body) | {"warnings": ["a store did not answer"]}
    always(server, Answer(json.dumps(body).encode()))
    with caplog.at_level(logging.WARNING):
        assert prometheus.instant("x") == 1.5
    assert caplog.records[0].__dict__["warning"] == "a store did not answer"


def test_the_clock_is_that_of_prometheus(server: Server, prometheus: Prometheus) -> None:
    server.reply = Numbers({})
    assert prometheus.now() == NOW


def test_a_series_has_one_point_a_look(server: Server, prometheus: Prometheus) -> None:
    start = LOOKS[0].timestamp()
    always(server, result("matrix", [{"metric": {}, "values": [[start, "1"], [start + 30, "NaN"]]}]))
    first, gap, last = prometheus.series("x", LOOKS)
    assert (first, gap) == (1.0, None)
    assert math.isnan(last or 0)
    ((path, form),) = server.asked
    assert path == "/api/v1/query_range"
    assert (form["start"], form["end"]) == (f"{start:.3f}", f"{start + 30:.3f}")
    assert form["step"] == "15.000"


def test_a_series_of_one_look_is_an_instant_query(server: Server, prometheus: Prometheus) -> None:
    always(server, result("vector", [ONE]))
    assert prometheus.series("x", (NOW,)) == (1.5,)
    assert server.asked[0][0] == "/api/v1/query"


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (result("vector", [ONE]), BadAnswer),
        (result("matrix", [{"metric": {}, "values": []}] * 2), SeveralSeries),
        (result("matrix", [{"metric": {}, "histograms": []}]), BadAnswer),
        (result("matrix", [{"metric": {}, "values": [["x", "1"]]}]), BadAnswer),
    ],
)
def test_a_series_of_another_form_is_refused(
    server: Server, prometheus: Prometheus, answer: Answer, error: type[PrometheusError]
) -> None:
    always(server, answer)
    with pytest.raises(error):
        prometheus.series("x", LOOKS)


def test_a_vector_has_all_series_with_their_labels(server: Server, prometheus: Prometheus) -> None:
    always(server, result("vector", [{"metric": {"a": "b"}, "value": [1, "2"]}, ONE]))
    assert prometheus.vector("x", NOW) == [Sample({"a": "b"}, 2.0), Sample({}, 1.5)]
    assert server.asked[0][1]["time"] == f"{NOW.timestamp():.3f}"


def test_a_matrix_has_gaps_where_a_series_has_no_sample(server: Server, prometheus: Prometheus) -> None:
    begin = NOW.timestamp()
    always(
        server, result("matrix", [{"metric": {"a": "b"}, "values": [[begin + 15, "1"], [begin + 45, "3"]]}])
    )
    (track,) = prometheus.matrix("x", NOW, timedelta(seconds=15), 4)
    assert track.labels == {"a": "b"}
    assert str(track.values.tolist()) == "[nan, 1.0, nan, 3.0]"


def test_a_matrix_of_many_points_is_asked_for_in_parts(server: Server, prometheus: Prometheus) -> None:
    asked = []

    def reply(_path: str, form: dict[str, str]) -> Answer:
        start, end = float(form["start"]), float(form["end"])
        asked.append(round((end - start) / 15) + 1)
        first = {"metric": {"part": "all"}, "values": [[start, str(start - NOW.timestamp())]]}
        late = {"metric": {"part": "late"}, "values": [[end, "7"]]}
        return result("matrix", [first, late] if len(asked) > 1 else [first])

    server.reply = reply
    whole, late = prometheus.matrix("x", NOW, timedelta(seconds=15), MOST_POINTS + 500)
    assert asked == [MOST_POINTS, 500]
    assert (whole.values[0], whole.values[MOST_POINTS]) == (0, MOST_POINTS * 15)
    assert late.values[-1] == 7
    assert math.isnan(late.values[0])


@pytest.mark.parametrize(
    "answer",
    [
        result("scalar", [1.0, "1.5"]),
        result("vector", [{"value": [1, "2"]}]),
        result("matrix", [{"metric": {}, "values": [["x", "1"]]}]),
        result("matrix", [{"metric": {}, "values": [[1e12, "1"]]}]),
        result("matrix", [{"metric": {}, "histograms": []}]),
        result("matrix", None),
    ],
)
def test_many_series_of_another_form_are_refused(
    server: Server, prometheus: Prometheus, answer: Answer
) -> None:
    always(server, answer)
    with pytest.raises(BadAnswer):
        prometheus.vector("x")
    with pytest.raises(BadAnswer):
        prometheus.matrix("x", NOW, timedelta(seconds=15), 3)


def test_no_series_is_a_gap_at_each_look(server: Server, prometheus: Prometheus) -> None:
    always(server, result("matrix", []))
    assert prometheus.series("x", LOOKS) == (None, None, None)
