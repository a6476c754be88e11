from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from common.answers import Sample
from common.prometheus import NotScraped, Prometheus
from rollback.guardrails.measure import LEARNING, begin, learn, modifier, read_counters
from rollback.guardrails.window import Grid
from tests.unit.rollback.conftest import ARMS, NOW, TAIL, Numbers, Server, make_policy, policy_of

STEP = timedelta(seconds=15)
EDGES = {"0.01": 900.0, "0.02": 1000.0, "+Inf": 1000.0}


@pytest.mark.parametrize(("up", "words"), [(None, "has not scraped"), (0, "every scrape")])
def test_numbers_of_a_service_that_is_not_scraped_are_stale(
    server: Server, up: float | None, words: str
) -> None:
    server.reply = Numbers({}, up=up)
    with pytest.raises(NotScraped, match=words):
        begin(Prometheus(server.url), make_policy(), ARMS, NOW)


def test_a_pass_begins_with_one_request(server: Server) -> None:
    server.reply = Numbers({}, before=EDGES)
    policy = policy_of(TAIL)
    opening = begin(Prometheus(server.url), policy, ARMS, datetime.fromtimestamp(1, UTC))
    assert opening.now == NOW
    assert opening.known == opening.before == {"x": EDGES}
    ((_, form),) = server.asked
    assert 'max(max_over_time(up{job="service"}[30s]))' in form["query"]
    assert 'increase(x_bucket{job="service", model="champion"}[1h] @ 1.000)' in form["query"]


def test_the_beginning_of_a_stage_is_a_moment_or_so_long_ago() -> None:
    assert modifier(NOW) == f"@ {NOW.timestamp():.3f}"
    assert modifier(timedelta(minutes=2)) == "offset 2m"


def test_a_cold_champion_is_learnt_in_the_shortest_time_that_is_enough(server: Server) -> None:
    server.reply = Numbers({}, before=EDGES)
    start = NOW - timedelta(minutes=3)
    learnt = learn(Prometheus(server.url), ARMS, ["x"], start, NOW)
    assert learnt == {"x": (EDGES, start + timedelta(seconds=30))}
    assert server.asked[0][1]["query"].count("label_replace") == 3  # what lies ahead is not asked for
    server.reply = Numbers({}, before={"+Inf": 999.0})
    assert learn(Prometheus(server.url), ARMS, ["x"], start, NOW) == {}


def test_nobody_is_asked_about_nothing(server: Server) -> None:
    prometheus = Prometheus(server.url)
    assert learn(prometheus, ARMS, [], NOW - timedelta(days=1), NOW) == {}
    assert learn(prometheus, ARMS, ["x"], NOW, NOW) == {}
    assert len(LEARNING) == 7
    assert server.asked == []


def test_counters_are_read_at_each_step_and_now(server: Server) -> None:
    grid = Grid(NOW - timedelta(seconds=35), STEP, 2, NOW)
    begun = grid.start.timestamp()
    server.reply = Numbers({}, counters=[({"__name__": "a"}, lambda at: at - begun)])
    last = [Sample({"__name__": "a"}, 35.0), Sample({"__name__": "new"}, 4.0)]
    old, new = read_counters(Prometheus(server.url), '{__name__=~"a"}', grid, last)
    assert old.values.tolist() == [0, 15, 30, 35]
    assert np.isnan(new.values[:3]).all()
    assert new.values[3] == 4
    (gone, _) = read_counters(Prometheus(server.url), '{__name__=~"a"}', grid, last[1:])
    assert np.isnan(gone.values[3])
