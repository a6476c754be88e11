from datetime import timedelta

import pytest

from rollback.measure import check_fresh, measure
from rollback.prometheus import NotScraped, Prometheus, Unreachable
from rollback.window import Window
from tests.unit.rollback.conftest import NOW, Answer, Numbers, Server, make_policy

SCRAPE = timedelta(seconds=5)
WINDOW = Window(timedelta(seconds=40), (NOW,))


def test_both_queries_are_asked_over_the_window(server: Server) -> None:
    server.reply = Numbers({"value_slow": 0.3, "sample_slow": 80})
    (guardrail,) = make_policy().guardrails
    measured = measure(Prometheus(server.url), guardrail, WINDOW)
    assert (measured.value.query, measured.value.points) == ("value_slow[40s]", (0.3,))
    assert (measured.sample.query, measured.sample.points) == ("sample_slow[40s]", (80.0,))


def test_a_refused_query_is_a_reading_with_its_fault(server: Server) -> None:
    refusal = Answer(b'{"status": "error", "error": "parse error"}', 400)
    server.reply = Numbers({"value_slow": refusal, "sample_slow": 80})
    (guardrail,) = make_policy().guardrails
    measured = measure(Prometheus(server.url), guardrail, WINDOW)
    assert "parse error" in (measured.value.fault or "")
    assert measured.value.points == ()
    assert measured.sample.fault is None


def test_a_server_that_is_gone_ends_the_measuring(server: Server) -> None:
    server.reply = lambda _path, _form: Answer(b"", delay=1)
    (guardrail,) = make_policy().guardrails
    with pytest.raises(Unreachable):
        measure(Prometheus(server.url, read=0.1), guardrail, WINDOW)
    assert len(server.asked) == 1


@pytest.mark.parametrize(("up", "words"), [(None, "has not scraped"), (0, "every scrape"), (1, None)])
def test_numbers_of_a_service_that_is_not_scraped_are_stale(
    server: Server, up: float | None, words: str | None
) -> None:
    server.reply = Numbers({}, up=up)
    prometheus = Prometheus(server.url)
    if words is None:
        check_fresh(prometheus, SCRAPE, NOW)
    else:
        with pytest.raises(NotScraped, match=words):
            check_fresh(prometheus, SCRAPE, NOW)
    assert server.asked[0][1]["query"] == 'max(max_over_time(up{job="service"}[30s]))'
