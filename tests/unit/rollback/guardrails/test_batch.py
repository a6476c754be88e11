from datetime import timedelta

import pytest

from common.answers import Sample
from common.prometheus import Prometheus, Unreachable
from rollback.guardrails.batch import at_once, over_time
from tests.unit.rollback.conftest import NOW, Answer, Numbers, Server, result

STEP = timedelta(seconds=15)
LOOKS = tuple(NOW - back * STEP for back in (3, 2, 1, 0))
REFUSED = Answer(b'{"status": "error", "error": "parse error"}', 400)


def test_many_queries_are_one_request(server: Server) -> None:
    server.reply = Numbers({"a": 1.0, "b": None, "c": 3.0}, counters=[({"__name__": "x"}, lambda _: 7.0)])
    answer = at_once(Prometheus(server.url), ["a", "b", "c"], NOW, '{__name__=~"x"}')
    assert [(each.query, each.points) for each in answer.readings] == [
        ("a", (1,)),
        ("b", (None,)),
        ("c", (3,)),
    ]
    assert answer.others == [Sample({"__name__": "x"}, 7.0)]
    assert len(server.asked) == 1


def test_a_query_that_is_refused_costs_only_itself(server: Server) -> None:
    server.reply = Numbers({"a": 1.0, "b": REFUSED}, counters=[({"__name__": "x"}, lambda _: 7.0)])
    answer = at_once(Prometheus(server.url), ["a", "b"], NOW, '{__name__=~"x"}')
    assert answer.readings[0].points == (1,)
    assert "parse error" in (answer.readings[1].fault or "")
    assert answer.others == [Sample({"__name__": "x"}, 7.0)]
    first, second = over_time(Prometheus(server.url), [("a", LOOKS), ("b", LOOKS)], STEP)
    assert first.points == (1, 1, 1, 1)
    assert "parse error" in (second.fault or "")


def test_a_query_with_several_series_is_at_fault_alone(server: Server) -> None:
    marked = [{"metric": {"canario_query": mark}, "value": [1, "5"]} for mark in ("0", "1", "1")]
    server.reply = lambda _path, _form: result("vector", marked)
    answer = at_once(Prometheus(server.url), ["a", "b"], NOW)
    assert answer.readings[0].points == (5,)
    assert answer.readings[1].fault == "the query gives 2 series where one is needed: b"


def test_looks_of_different_length_end_together(server: Server) -> None:
    server.reply = Numbers({"a": 1.0, "b": 2.0})
    short, long = over_time(Prometheus(server.url), [("a", LOOKS[2:]), ("b", LOOKS)], STEP)
    assert (short.points, long.points) == ((1, 1), (2, 2, 2, 2))
    assert len(server.asked) == 1


def test_nobody_is_asked_about_nothing(server: Server) -> None:
    prometheus = Prometheus(server.url)
    assert over_time(prometheus, [], STEP) == []
    assert at_once(prometheus, [], NOW).readings == []
    assert server.asked == []


def test_a_server_that_is_gone_is_asked_once(server: Server) -> None:
    server.reply = lambda _path, _form: Answer(b"", delay=1)
    with pytest.raises(Unreachable):
        at_once(Prometheus(server.url, read=0.1), ["a", "b"], NOW)
    assert len(server.asked) == 1
