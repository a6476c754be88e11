"""Weights in documents: which two count, and what is never touched."""

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flags.mesh.errors import RouteError
from flags.mesh.routes import EnvoyPart, VirtualServicePart, full_host
from flags.mesh.weights import Weights, of_envoy, of_virtual_service

PART = VirtualServicePart.model_validate(
    {
        "kind": "VirtualService",
        "namespace": "shop",
        "name": "ranker",
        "champion": {"host": "ranker", "subset": "v1"},
        "challenger": {"host": "ranker", "subset": "v2"},
    }
)


def route(*arms: tuple[str, int | None]) -> dict[str, Any]:
    entries = [
        {
            "destination": {"host": "ranker", "subset": subset},
            **({} if weight is None else {"weight": weight}),
        }
        for subset, weight in arms
    ]
    return {"spec": {"http": [{"route": entries}]}}


@given(percent=st.integers(0, 100), others=st.integers(0, 99))
def test_weights_sum_to_100_and_none_is_negative(percent: int, others: int) -> None:
    made = Weights("r", 1, 1, others).at(percent)
    assert made.champion + made.challenger + others == 100
    assert min(made.champion, made.challenger) >= 0
    assert made.challenger <= (100 - others) * percent / 100  # never more than the flag says
    assert percent < 100 or made.champion == 0


def test_of_three_arms_the_third_keeps_its_weight() -> None:
    document = route(("v1", 60), ("v2", 0), ("old", 40))
    [rule] = of_virtual_service(PART, document)
    rule.set(rule.weights.at(10))
    assert [one["weight"] for one in document["spec"]["http"][0]["route"]] == [54, 6, 40]


def test_a_third_arm_that_leaves_nothing_is_said() -> None:
    [rule] = of_virtual_service(PART, route(("v1", 0), ("v2", 0), ("old", 100)))
    with pytest.raises(RouteError, match="have 100 of 100, which leaves 0"):
        rule.weights.at(5)


def test_an_arm_without_a_weight_has_none_in_istio() -> None:
    [rule] = of_virtual_service(PART, route(("v1", None), ("v2", None)))
    assert (rule.weights.champion, rule.weights.challenger) == (0, 0)


@pytest.mark.parametrize(
    ("document", "told"),
    [
        (route(("v1", 100)), "has no rule with both arms, ranker/v1 and ranker/v2"),
        (route(("v1", 50), ("v2", 25), ("v2", 25)), "has an arm twice"),
        ({"spec": {}}, "has no rule with both arms"),
    ],
)
def test_what_does_not_fit_is_said(document: dict[str, Any], told: str) -> None:
    with pytest.raises(RouteError, match=told):
        of_virtual_service(PART, document)


def test_rules_that_are_named_are_the_only_ones() -> None:
    document = route(("v1", 100), ("v2", 0))
    second = copy.deepcopy(document["spec"]["http"][0]) | {"name": "second"}
    document["spec"]["http"].append(second)
    named = PART.model_copy(update={"rules": ("second",)})
    assert [one.weights.rule for one in of_virtual_service(named, document)] == ["second"]
    assert [one.weights.rule for one in of_virtual_service(PART, document)] == ["http[0]", "second"]
    with pytest.raises(RouteError, match="has no rule third, which the rollout's file names"):
        of_virtual_service(PART.model_copy(update={"rules": ("third",)}), document)


@pytest.mark.parametrize(
    ("host", "full"),
    [
        ("ranker", "ranker.shop"),
        ("ranker.shop", "ranker.shop"),
        ("ranker.shop.svc", "ranker.shop"),
        ("ranker.shop.svc.cluster.local", "ranker.shop"),
        ("api.example.org", "api.example.org"),
    ],
)
def test_a_host_has_one_name(host: str, full: str) -> None:
    assert full_host(host, "shop") == full


def test_clusters_of_envoy_are_found_wherever_they_lie() -> None:
    part = EnvoyPart.model_validate({"kind": "envoy", "file": "/r.json", "champion": "a", "challenger": "b"})
    clusters = [{"name": "a", "weight": 95}, {"name": "b", "weight": 5}]
    routes = [{"match": {"prefix": "/"}, "route": {"weighted_clusters": {"clusters": clusters}}}]
    [rule] = of_envoy(part, {"resources": [{"virtual_hosts": [{"routes": routes}]}]})
    assert str(rule.weights) == "95/5"
