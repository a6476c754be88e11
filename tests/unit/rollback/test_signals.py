"""Which series of a rollout are there, on a Prometheus that says what the test wants."""

import pytest

from common.arms import Arms, Signals
from common.prometheus import Prometheus
from rollback.signals import SeenSignal, look
from tests.unit.rollback.conftest import Server, result

ARMS = Arms(
    "ranker-v2",
    "production",
    'job="shop"',
    "variant",
    "control",
    "ranker-v2",
    Signals.model_validate(
        {
            "calls": "shop_requests_total",
            "errors": 'shop_requests_total{status=~"5.."}',
            "latency": "shop_seconds",
            "outcomes": {"counter": "shop_orders_total", "label": "kind"},
            "answers": "shop_answers_total",
        }
    ),
)


@pytest.fixture
def seen(server: Server) -> dict[str, SeenSignal]:
    """Of a shop without errors or orders, whose answers have another name, and other variants."""
    told = [
        ("of calls", "control", 3),
        ("of calls", "ranker-v2", 1),
        ("of calls", "somebody's", 7),
        ("all calls", None, 11),
        ("all errors", None, 11),
        ("of latency", "treatment", 2),
        ("all latency", None, 2),
    ]
    samples = [
        {
            "metric": {"canario_query": mark} | ({"variant": variant} if variant else {}),
            "value": [0, str(count)],
        }
        for mark, variant, count in told
    ]
    server.reply = lambda _path, _form: result("vector", samples)
    found = look(Prometheus(server.url), ARMS)
    ((_, form),) = server.asked
    for query in (
        'count by (variant) (shop_requests_total{status=~"5..", job="shop"})',
        'count (shop_requests_total{job="shop"})',
        'count by (variant) (shop_seconds_count{job="shop"})',
    ):
        assert query in form["query"]
    return {one.signal: one for one in found}


def test_each_signal_that_is_named_is_counted_by_arm(seen: dict[str, SeenSignal]) -> None:
    assert [*seen] == ["calls", "errors", "latency", "answers", "outcomes"]
    calls = seen["calls"]
    assert (calls.champion, calls.challenger, calls.missing, calls.sentence) == (3, 1, False, "there")


@pytest.mark.parametrize(
    ("signal", "missing", "words"),
    [
        ("errors", False, "nothing of it was counted so far"),
        ("latency", True, 'none with variant="control": are label and value right?; variant is "treatment"'),
        ("answers", True, 'no series with job="shop": is the name right'),
        ("outcomes", False, 'no series with job="shop": is the name right'),
    ],
)
def test_what_is_not_there_is_told_and_a_fault_where_calls_must_bring_it(
    seen: dict[str, SeenSignal], signal: str, missing: bool, words: str
) -> None:
    assert (seen[signal].missing, words in seen[signal].sentence) == (missing, True), seen[signal]


def test_another_value_than_the_challengers_is_told(server: Server) -> None:
    found = [
        {"metric": {"canario_query": "of calls", "variant": value}, "value": [0, "1"]}
        for value in ("control", "ranker-v3")
    ]
    found.append({"metric": {"canario_query": "all calls"}, "value": [0, "2"]})
    server.reply = lambda _path, _form: result("vector", found)
    calls = look(Prometheus(server.url), ARMS)[0]
    assert (calls.champion, calls.challenger, calls.missing) == (1, 0, False)
    assert calls.sentence.endswith('which perhaps nobody had so far; variant is "ranker-v3"')
