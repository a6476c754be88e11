"""Routes in Kubernetes follow the share, and nothing but two numbers changes."""

import copy
import dataclasses
import random
import threading
from itertools import count

import pytest
import requests

from flags.mesh.controller import Cause, Memory, follow
from flags.mesh.endpoints import Endpoints
from flags.mesh.errors import Conflict, Missing, RouteError
from flags.mesh.kubernetes import HTTP_ROUTES, LEASES, VIRTUAL_SERVICES, Object, Resource
from flags.mesh.leader import Leader
from flags.mesh.objects import ObjectRoute
from flags.mesh.routes import Destination, Edits
from flags.mesh.wanted import Wanted
from tests.kubernetes.fake_api import ADMIN, FakeApi, serving
from tests.kubernetes.scene import HTTP_ROUTE, NAMESPACE, VIRTUAL_SERVICE, Cluster, filled, part

TRIALS = 50
BOTH = pytest.mark.parametrize("kind", [VIRTUAL_SERVICE, HTTP_ROUTE])
RESOURCES: dict[str, Resource] = {VIRTUAL_SERVICE: VIRTUAL_SERVICES, HTTP_ROUTE: HTTP_ROUTES}


def share(percent: int) -> Wanted:
    return Wanted(percent, f"the flag ranker says {percent}%")


def arms(kind: str, document: Object) -> list[Object]:
    """The two that have the weights."""
    spec = document["spec"]
    found: list[Object] = (
        spec["http"][1]["route"] if kind == VIRTUAL_SERVICE else spec["rules"][0]["backendRefs"]
    )
    return found


def weights(cluster: Cluster, kind: str) -> tuple[int, ...]:
    return tuple(one["weight"] for one in arms(kind, cluster.read(RESOURCES[kind])))


def set_weights(cluster: Cluster, kind: str, *new: int) -> None:
    """As a person does it by `kubectl edit`."""

    def change(document: Object) -> None:
        for arm, weight in zip(arms(kind, document), new, strict=True):
            arm["weight"] = weight

    cluster.change(RESOURCES[kind], "ranker", change)


def without_weights(kind: str, document: Object) -> Object:
    """All but the numbers that may change, and what the API server itself writes."""
    rest = copy.deepcopy(document)
    for arm in arms(kind, rest):
        arm["weight"] = "any"
    if kind == VIRTUAL_SERVICE:
        rest["spec"]["http"][1]["mirrorPercentage"] = "any"
    for one in rest["spec"]["rules"][0]["filters"] if kind == HTTP_ROUTE else ():
        if "requestMirror" in one:
            one["requestMirror"]["percent"] = "any"
    for name in ("resourceVersion", "managedFields", "generation"):
        rest["metadata"].pop(name, None)
    return rest


@BOTH
def test_weights_follow_the_share_and_nothing_else_changes(cluster: Cluster, kind: str) -> None:
    before = cluster.read(RESOURCES[kind])
    route, memory = ObjectRoute(part(kind), cluster.api()), Memory()
    for percent in (0, 5, 25, 100, 1, 0):
        step = follow(route, share(percent), memory)
        assert weights(cluster, kind) == (100 - percent, percent)
        assert [(one.champion, one.challenger) for one in step.weights] == [(100 - percent, percent)]
        assert follow(route, share(percent), memory).change is None
    assert without_weights(kind, cluster.read(RESOURCES[kind])) == without_weights(kind, before)


@BOTH
def test_each_change_is_an_event_of_the_route(cluster: Cluster, kind: str) -> None:
    follow(ObjectRoute(part(kind), cluster.api()), share(5), Memory())
    [event] = cluster.events()
    assert (event["reason"], event["type"]) == ("WeightsChanged", "Normal")
    assert event["note"] == "100/0 -> 95/5: the flag ranker says 5%"
    assert event["regarding"]["uid"] == cluster.read(RESOURCES[kind])["metadata"]["uid"]
    assert event["regarding"]["kind"] == kind


@BOTH
def test_a_write_at_the_same_moment_is_kept(cluster: Cluster, kind: str) -> None:
    """What was read is older than what is there: nothing may be written."""
    route = ObjectRoute(part(kind), cluster.api())
    seen = route.read()
    cluster.change(RESOURCES[kind], "ranker", lambda found: found["metadata"]["labels"].update(team="other"))
    with pytest.raises(Conflict, match="in this moment"):
        route.write(seen, tuple(one.at(50) for one in seen.weights))
    assert weights(cluster, kind) == (100, 0)
    assert cluster.read(RESOURCES[kind])["metadata"]["labels"]["team"] == "other"


@BOTH
def test_a_second_writer_loses_nothing_and_is_not_overwritten(cluster: Cluster, kind: str) -> None:
    """Fifty changes of the share against somebody who changes other fields all the time."""
    chance, pauses = random.Random(19), random.Random(20)
    theirs = dataclasses.replace(cluster, session=requests.Session())
    mirror = "ranker-v2" if kind == HTTP_ROUTE else {"host": "ranker", "subset": "v2"}
    route = ObjectRoute(part(kind, mirror=mirror), cluster.api())
    memory, ended = Memory(), threading.Event()
    written: list[int] = []
    faults: list[BaseException] = []

    def second() -> None:
        try:
            while not ended.is_set():
                number = len(written)

                def change(found: Object, number: int = number) -> None:
                    found["metadata"]["labels"][f"of-{number % 7}"] = str(number)
                    found["spec"]["hosts" if kind == VIRTUAL_SERVICE else "hostnames"][-1] = (
                        f"h{number}.example.org"
                    )

                theirs.change(RESOURCES[kind], "ranker", change, "helm")
                written.append(number)
                ended.wait(pauses.uniform(0.01, 0.08))
        except BaseException as error:
            faults.append(error)
            raise

    follow(route, Wanted(0, "the flags say so", 1), memory)  # the mirror is there
    before = without_weights(kind, cluster.read(RESOURCES[kind]))
    thread = threading.Thread(target=second, daemon=True)
    thread.start()
    for trial in count():
        if faults or (trial >= TRIALS and len(written) > 10):
            break
        percent = chance.choice(
            [one for one in range(101) if one != (memory.written and memory.written[0].challenger)]
        )
        while True:
            try:
                follow(route, Wanted(percent, "the flags say so", 100 - percent), memory)
                break
            except Conflict:  # five in a row: the next iteration goes on
                continue
        assert weights(cluster, kind) == (100 - percent, percent), trial
        assert [one.mirror for one in route.read().weights] == [100 - percent], trial
    ended.set()
    thread.join(10)
    assert not faults
    after = cluster.read(RESOURCES[kind])
    last = written[-1]
    hosts = after["spec"]["hosts" if kind == VIRTUAL_SERVICE else "hostnames"]
    assert hosts[-1] == f"h{last}.example.org"  # no update of theirs was lost
    newest = {f"of-{number % 7}": str(number) for number in written}
    assert {
        key: value for key, value in after["metadata"]["labels"].items() if key.startswith("of-")
    } == newest
    expected = copy.deepcopy(before)
    expected["metadata"]["labels"] |= newest
    expected["spec"]["hosts" if kind == VIRTUAL_SERVICE else "hostnames"][-1] = f"h{last}.example.org"
    assert without_weights(kind, after) == expected


@BOTH
def test_an_edit_by_hand_is_told_and_put_back(cluster: Cluster, kind: str) -> None:
    route, memory = ObjectRoute(part(kind), cluster.api()), Memory()
    follow(route, share(5), memory)
    set_weights(cluster, kind, 50, 50)
    step = follow(route, share(5), memory)
    assert (step.change, step.edited) == (Cause.EDIT, True)
    assert weights(cluster, kind) == (95, 5)
    [edit] = [one for one in cluster.events() if one["reason"] == "WeightsEdited"]
    assert edit["type"] == "Warning"
    assert edit["note"].startswith("kubectl-edit at 20")
    assert edit["note"].endswith("changed the weights to 50/50; the flag ranker says 5%. It is set again")


@BOTH
def test_an_edit_may_stay_until_the_flag_changes(cluster: Cluster, kind: str) -> None:
    route, memory = ObjectRoute(part(kind, Edits.REPORT), cluster.api()), Memory()
    follow(route, share(5), memory)
    set_weights(cluster, kind, 50, 50)
    assert [follow(route, share(5), memory).edited for _ in range(3)] == [True, False, False]
    assert weights(cluster, kind) == (50, 50)
    assert len([one for one in cluster.events() if one["reason"] == "WeightsEdited"]) == 1
    follow(route, share(25), memory)
    assert weights(cluster, kind) == (75, 25)
    follow(route, share(0), memory)
    set_weights(cluster, kind, 50, 50)
    follow(route, share(0), memory)  # a flag that is off counts at once
    assert weights(cluster, kind) == (100, 0)


@BOTH
def test_an_arm_without_ready_endpoints_gets_no_weight(cluster: Cluster, kind: str) -> None:
    route, memory = ObjectRoute(part(kind), cluster.api()), Memory()
    follow(route, share(25), memory)
    cluster.unready("v2")
    step = follow(route, share(25), memory)
    assert step.change is Cause.ENDPOINTS
    assert weights(cluster, kind) == (100, 0)
    assert step.obstacle == "the challenger has no ready endpoints: it gets no weight"
    assert follow(route, share(25), memory).change is None


def test_pods_of_subsets_are_listed_now_and_then(fake: FakeApi) -> None:
    now = [0.0]
    with serving(fake) as url:
        cluster = Cluster(url, ADMIN)
        filled(cluster)
        endpoints, arm = Endpoints(cluster.api(), lambda: now[0]), part(VIRTUAL_SERVICE).challenger
        assert isinstance(arm, Destination)

        def lists() -> int:
            assert endpoints.of_destination(arm, NAMESPACE) == 2
            return sum(plural == "pods" and verb == "list" for verb, plural, _ in fake.calls)

        assert [lists() for _ in range(3)] == [1, 1, 1]
        now[0] = 31.0
        assert [lists() for _ in range(3)] == [2, 2, 2]
        cluster.unready("v2")
        assert endpoints.of_destination(arm, NAMESPACE) == 0


@BOTH
def test_without_a_ready_champion_the_challenger_gets_no_more(cluster: Cluster, kind: str) -> None:
    route, memory = ObjectRoute(part(kind), cluster.api()), Memory()
    follow(route, share(5), memory)
    cluster.unready("v1")
    assert follow(route, share(25), memory).change is None
    assert weights(cluster, kind) == (95, 5)
    follow(route, share(0), memory)  # an order to stop is one
    assert weights(cluster, kind) == (100, 0)


def test_what_is_missing_is_said(cluster: Cluster) -> None:
    gone = part(VIRTUAL_SERVICE).model_copy(update={"name": "gone"})
    with pytest.raises(
        Missing, match=r"no virtualservices\.networking\.istio\.io gone in namespace shop \(404\)$"
    ):
        ObjectRoute(gone, cluster.api()).read()
    other = part(HTTP_ROUTE).model_copy(
        update={"challenger": part(HTTP_ROUTE).champion.model_copy(update={"name": "v3"})}
    )
    with pytest.raises(
        RouteError, match="HTTPRoute shop/ranker has no rule with both arms, ranker-v1 and v3"
    ):
        ObjectRoute(other, cluster.api()).read()
    unnamed = part(VIRTUAL_SERVICE)
    cluster.change(
        Resource("networking.istio.io", "v1", "destinationrules"),
        "ranker",
        lambda one: one["spec"].pop("subsets"),
    )
    step = follow(ObjectRoute(unnamed, cluster.api()), share(5), Memory())
    assert step.change is None
    assert step.obstacle.endswith("no DestinationRule in shop names the subset v1 of ranker")


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_of_two_processes_one_leads_and_the_other_takes_over(cluster: Cluster) -> None:
    clock = Clock()
    first, second = (
        Leader(cluster.api(), "shop", "canario-mesh", name, clock=clock) for name in ("first", "second")
    )
    assert (first.step(), second.step()) == (True, False)
    assert second.holder == "first"
    clock.now += 7.9
    assert first.held
    assert (first.step(), second.step()) == (True, False)
    clock.now += 8.1  # the first hangs: it stops by itself before the other begins
    assert not first.held
    assert not second.step()
    clock.now += 2.0
    assert second.step()
    assert not first.step()
    second.close()
    assert not second.held
    assert first.step()
    spec = cluster.read(LEASES, "canario-mesh")["spec"]
    assert (spec["holderIdentity"], spec["leaseTransitions"]) == ("first", 2)
