"""Copies of requests follow the flag of the shadow, and mirrors of others stay as they are."""

import copy
from collections.abc import Iterator
from typing import Any

import pytest

from flags.mesh.controller import Memory, follow
from flags.mesh.kubernetes import HTTP_ROUTES, VIRTUAL_SERVICES, Object
from flags.mesh.objects import ObjectRoute
from flags.mesh.wanted import Wanted
from tests.integration.conftest import wait_for
from tests.kubernetes.fake_api import FakeApi
from tests.kubernetes.scene import HTTP_ROUTE, VIRTUAL_SERVICE, Cluster, http_route, part

OF_ANOTHER = {"type": "RequestMirror", "requestMirror": {"backendRef": {"name": "audit", "port": 80}}}
CRD = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/httproutes.gateway.networking.k8s.io"


def wanted(mirror: int, percent: int = 0) -> Wanted:
    return Wanted(percent, f"the flag says {percent}%; the flag shadow says {mirror}%", mirror)


def by_weight(cluster: Cluster) -> Object:
    """The rule of the VirtualService that has both arms."""
    found: Object = cluster.read(VIRTUAL_SERVICES)["spec"]["http"][1]
    return found


def filters(cluster: Cluster) -> list[Object]:
    """Those of the HTTPRoute's rule that has both arms, without what the API server adds."""
    found: list[Object] = cluster.read(HTTP_ROUTES)["spec"]["rules"][0]["filters"]
    for one in found:
        ref = one.get("requestMirror", {}).get("backendRef", {})
        for name in ("group", "kind"):
            ref.pop(name, None)
    return found


def without_mirror(document: Object) -> Object:
    rest = copy.deepcopy(document)
    for name in ("resourceVersion", "managedFields", "generation"):
        rest["metadata"].pop(name, None)
    rest["spec"]["http"][1].pop("mirrorPercentage")
    return rest


def test_a_virtual_service_copies_as_many_as_the_flag_says(cluster: Cluster) -> None:
    before = cluster.read(VIRTUAL_SERVICES)
    route = ObjectRoute(part(VIRTUAL_SERVICE, mirror={"host": "ranker", "subset": "v2"}), cluster.api())
    memory = Memory()
    for percent in (10, 100, 1, 0):
        step = follow(route, wanted(percent), memory)
        assert by_weight(cluster)["mirrorPercentage"] == {"value": percent}
        assert [one.mirror for one in step.weights] == [percent]
        assert follow(route, wanted(percent), memory).change is None
    assert without_mirror(cluster.read(VIRTUAL_SERVICES)) == without_mirror(before)
    assert "100/0 -> 100/0 and 10% copied" not in str(cluster.events())  # it had 0.5% by hand
    assert "100/0 and 0.5% copied -> 100/0 and 10% copied" in str(cluster.events())


def test_a_mirror_that_is_missing_is_made_with_the_challengers_port(cluster: Cluster) -> None:
    def remove(document: Object) -> None:
        for name in ("mirror", "mirrorPercentage"):
            del document["spec"]["http"][1][name]

    cluster.change(VIRTUAL_SERVICES, "ranker", remove)
    route, memory = ObjectRoute(part(VIRTUAL_SERVICE, mirror="ranker-copies"), cluster.api()), Memory()
    follow(route, wanted(0), memory)
    assert "mirror" not in by_weight(cluster)  # nothing is written before it is needed
    follow(route, wanted(25, percent=5), memory)
    assert by_weight(cluster)["mirror"] == {"host": "ranker-copies", "port": {"number": 8000}}
    assert by_weight(cluster)["mirrorPercentage"] == {"value": 25}
    assert [one["weight"] for one in by_weight(cluster)["route"]] == [95, 5]


def test_the_only_mirror_of_a_rule_stays_where_it_is_anothers(cluster: Cluster) -> None:
    before = by_weight(cluster)
    route, memory = ObjectRoute(part(VIRTUAL_SERVICE, mirror="ranker-copies"), cluster.api()), Memory()
    assert follow(route, wanted(0), memory).obstacle == ""
    step = follow(route, wanted(10, percent=5), memory)
    assert step.obstacle == "rule by-weight copies requests to ranker, and can to no other"
    after = by_weight(cluster)
    assert [one["weight"] for one in after["route"]] == [95, 5]
    assert [after[name] for name in ("mirror", "mirrorPercentage")] == [
        before[name] for name in ("mirror", "mirrorPercentage")
    ]
    assert [one["note"] for one in cluster.events() if one["reason"] == "WeightsHeld"] == [step.obstacle]


def test_of_several_mirrors_one_is_ours(cluster: Cluster) -> None:
    audit = {"destination": {"host": "audit"}, "percentage": {"value": 50}}

    def several(document: Object) -> None:
        rule = document["spec"]["http"][1]
        for name in ("mirror", "mirrorPercentage"):
            del rule[name]
        rule["mirrors"] = [audit]

    cluster.change(VIRTUAL_SERVICES, "ranker", several)
    route, memory = ObjectRoute(part(VIRTUAL_SERVICE, mirror="ranker-copies"), cluster.api()), Memory()
    ours = {"host": "ranker-copies", "port": {"number": 8000}}
    for percent in (10, 0):
        follow(route, wanted(percent), memory)
        assert by_weight(cluster)["mirrors"] == [
            audit,
            {"destination": ours, "percentage": {"value": percent}},
        ]


def test_an_http_route_copies_beside_the_mirrors_of_others(cluster: Cluster) -> None:
    before = http_route()["spec"]["rules"][0]["filters"]
    cluster.change(
        HTTP_ROUTES,
        "ranker",
        lambda one: one["spec"]["rules"][0]["filters"].append(copy.deepcopy(OF_ANOTHER)),
    )
    route, memory = ObjectRoute(part(HTTP_ROUTE, mirror="ranker-v2"), cluster.api()), Memory()
    follow(route, wanted(0), memory)
    assert filters(cluster) == [*before, OF_ANOTHER]
    ref = {"name": "ranker-v2", "port": 8000}
    for percent in (10, 100, 0):
        follow(route, wanted(percent, percent=1), memory)
        ours = {"type": "RequestMirror", "requestMirror": {"backendRef": ref, "percent": percent}}
        assert filters(cluster) == [*before, OF_ANOTHER, ours]


def test_an_edit_of_a_mirror_is_put_back(cluster: Cluster) -> None:
    mirror = {"host": "ranker", "subset": "v2"}
    route, memory = ObjectRoute(part(VIRTUAL_SERVICE, mirror=mirror), cluster.api()), Memory()
    follow(route, wanted(10, percent=5), memory)
    cluster.change(
        VIRTUAL_SERVICES,
        "ranker",
        lambda one: one["spec"]["http"][1].update(mirrorPercentage={"value": 100}),
    )
    assert follow(route, wanted(10, percent=5), memory).edited
    assert by_weight(cluster)["mirrorPercentage"] == {"value": 10}


@pytest.fixture
def old_crd(request: pytest.FixtureRequest, cluster: Cluster) -> Iterator[None]:
    """The CRD of a Gateway API before 1.3: a mirror has no `percent`, and copies everything."""
    if cluster.ca is None:
        fake: FakeApi = request.getfixturevalue("fake")
        fake.prunes = lambda made: [one.pop("percent", None) for one in _mirrors_in(made)]
        yield
        return
    before = cluster.ask("GET", CRD)
    _put_crd(cluster, lambda spec: [one["properties"].pop("percent", None) for one in _mirrors_in(spec)])
    yield
    _put_crd(cluster, lambda spec: spec.update(before["spec"]))


def _mirrors_in(document: Any) -> Iterator[Object]:
    if isinstance(document, dict):
        if "requestMirror" in document:
            yield document["requestMirror"]
        for value in document.values():
            yield from _mirrors_in(value)
    elif isinstance(document, list):
        for value in document:
            yield from _mirrors_in(value)


def _put_crd(cluster: Cluster, change: Any) -> None:
    """Change the CRD, and wait until the API server goes by it: it keeps `percent`, or does not."""

    def put() -> bool:
        crd = cluster.ask("GET", CRD)
        change(crd["spec"])
        return cluster.ask("PUT", CRD, crd) is not None

    wait_for(put, 30, "the CRD")
    keeps = any("percent" in one["properties"] for one in _mirrors_in(cluster.ask("GET", CRD)["spec"]))

    def served() -> bool:
        document = cluster.read(HTTP_ROUTES)
        mirror: Any = copy.deepcopy(OF_ANOTHER)
        mirror["requestMirror"] |= {"percent": 7}
        document["spec"]["rules"][0]["filters"] = [mirror]
        path = HTTP_ROUTES.path(cluster.namespace, "ranker")
        stored = cluster.ask("PUT", f"{path}?dryRun=All", document)
        return ("percent" in str(stored["spec"])) is keeps

    wait_for(served, 60, "the schema")


@pytest.mark.usefixtures("old_crd")
def test_where_the_number_would_be_lost_nothing_is_copied_and_weights_follow(cluster: Cluster) -> None:
    before = filters(cluster)
    route, memory = ObjectRoute(part(HTTP_ROUTE, mirror="ranker-v2"), cluster.api()), Memory()
    follow(route, wanted(0), memory)
    step = follow(route, wanted(10, percent=5), memory)
    assert not step.edited
    assert "keeps no number of requests to copy" in step.obstacle
    rule = cluster.read(HTTP_ROUTES)["spec"]["rules"][0]
    assert [one["weight"] for one in rule["backendRefs"]] == [95, 5]
    assert filters(cluster) == before
    follow(route, wanted(10), memory)
    assert cluster.read(HTTP_ROUTES)["spec"]["rules"][0]["backendRefs"][1]["weight"] == 0
