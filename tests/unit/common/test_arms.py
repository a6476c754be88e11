"""A stranger's names become queries, and Canario's names again."""

import pytest

from common.answers import Sample, Series
from common.arms import OURS, UNVERSIONED, Arms, MissingSignal, ServedModel, Signals
from common.names import Metric, Model
from common.selector import Selector, parse_selector

SHOP = Signals.model_validate(
    {
        "calls": "shop_requests_total",
        "errors": 'shop_requests_total{status=~"5.."}',
        "latency": {"metric": "shop_request_duration_milliseconds", "unit": "milliseconds"},
        "outcomes": {"counter": "shop_orders_total", "label": "kind"},
        "versions": {"metric": "shop_build_info", "version": "tag"},
    }
)
ARMS = Arms("ranker-v2", "production", 'job="shop"', "variant", "control", "ranker-v2", SHOP)


def test_queries_have_the_names_of_the_service() -> None:
    assert ARMS.of(SHOP.of("errors"), ARMS.only(Model.CHALLENGER)) == (
        'shop_requests_total{status=~"5..", job="shop", variant="ranker-v2"}'
    )
    assert ARMS.both == 'variant=~"control|ranker\\\\-v2"'
    assert ARMS.alive == 'up{job="shop"}'


def test_answers_and_assignments_are_the_calls_where_nothing_else_is_said() -> None:
    assert SHOP.of("answers") == SHOP.of("assignments") == Selector("shop_requests_total")


@pytest.mark.parametrize(
    ("signal", "told"), [("shadow_samples", "shadow.samples"), ("latency", "latency"), ("errors", "errors")]
)
def test_what_is_not_named_is_told_by_name(signal: str, told: str) -> None:
    with pytest.raises(MissingSignal, match=f"not available: the rollout names no signal `{told}`"):
        Signals.model_validate({"calls": "x_total"}).of(signal)


def test_a_guardrails_signal_keeps_its_matchers() -> None:
    assert (
        str(OURS.resolve(parse_selector('{outcomes}{outcome="bought"}')))
        == 'outcomes_total{outcome="bought"}'
    )
    assert str(SHOP.resolve(parse_selector("{errors}"))) == 'shop_requests_total{status=~"5.."}'
    with pytest.raises(ValueError, match="is no signal; there are calls, errors"):
        parse_selector("{mistakes}")


def test_answers_get_the_names_of_the_two_models() -> None:
    found = [
        Sample({"variant": "control", "model": "resnet"}, 1),
        Sample({"variant": "ranker-v2"}, 2),
        Sample({"variant": "other", "model": "champion"}, 3),
    ]
    assert [one.labels.get("model") for one in ARMS.told(found)] == ["champion", "challenger", None]


def test_one_series_may_stand_for_several_signals() -> None:
    def of(name: str, **labels: str) -> Series:
        return Series({"__name__": name, "instance": "a", **labels}, ((1.0, 1.0),))

    raw = [
        of("up"),
        of("shop_requests_total", variant="ranker-v2", status="500"),
        of("shop_build_info", variant="control", tag="1.4"),
        of("shop_orders_total", variant="control", kind="bought"),
    ]
    wanted = (
        "up",
        Metric.PREDICTIONS,
        Metric.ERRORS,
        Metric.MODEL_INFO,
        Metric.OUTCOMES,
        Metric.ROLLOUT_INFO,
    )
    told = ARMS.canonical(raw, wanted)
    named = [(one.labels["__name__"], one.labels.get("model")) for one in told]
    assert named == [
        ("up", None),
        (Metric.PREDICTIONS, "challenger"),
        (Metric.ERRORS, "challenger"),
        (Metric.MODEL_INFO, "champion"),
        (Metric.OUTCOMES, "champion"),
    ]
    assert told[3].labels["version"] == "1.4"
    assert told[4].labels["outcome"] == "bought"
    assert ARMS.names(wanted) == ["up", "shop_requests_total", "shop_build_info", "shop_orders_total"]


def test_a_version_is_told_as_far_as_the_service_tells_it() -> None:
    assert ARMS.served({"tag": "1.4"}) == ServedModel("", "1.4", "")
    assert Arms("f", "e", signals=Signals(calls=Selector("x_total"))).served({"version": "1"}) is UNVERSIONED


def test_simulations_know_the_same_signals_by_canarios_names() -> None:
    known = SHOP.canonical()
    assert str(known.calls) == Metric.CALLS
    assert known.latency
    assert (known.latency.metric, known.latency.unit) == (Metric.LATENCY, "milliseconds")
    assert known.shadow is None
