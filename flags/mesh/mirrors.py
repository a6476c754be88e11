"""Copies of requests in routes: how many of a rule's the challenger gets beside its own. Pure.

A mirror is ours where it goes to what the rollout's file names under `mirror:`; all others stay. One of ours
is made when copies are wanted for the first time, and then stays, with 0 where none are.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from flags.mesh.kubernetes import Object
from flags.mesh.routes import EnvoyPart, HttpRoutePart, VirtualServicePart

ALL: Final = 100.0
DENOMINATORS: Final = {"HUNDRED": 100, "TEN_THOUSAND": 10_000, "MILLION": 1_000_000}


@dataclass(frozen=True)
class Mirror:
    """Of one rule, inside of a document that may be changed.

    Attributes:
        percent: how many of its requests are copied.
        put: writes another number into the document.
        taken_by: where the only mirror that the rule may have goes, where that is not ours.
    """

    percent: float
    put: Callable[[int], Any]
    taken_by: str = ""


def of_virtual_service(part: VirtualServicePart, rule: Object, challenger: Object) -> Mirror | None:
    """That of an `http` rule, whose entry for the challenger is given; None where none is to be."""
    if part.mirror is None:
        return None
    entries: list[Object] = rule.get("mirrors") or []
    single: Object | None = rule.get("mirror")
    made: Object = {"host": part.mirror.host}
    if part.mirror.subset:
        made["subset"] = part.mirror.subset
    if port := (challenger.get("destination") or {}).get("port"):
        made["port"] = port
    if entries:
        for entry in entries:
            if part.mirror.is_meant_by(entry.get("destination") or {}, part.namespace):
                return Mirror(_of_istio(entry, "percentage"), _puts(entry, "percentage"))
        return Mirror(
            0.0, lambda percent: entries.append({"destination": made, "percentage": {"value": percent}})
        )
    if single is None:
        return Mirror(
            0.0, lambda percent: rule.update({"mirror": made, "mirrorPercentage": {"value": percent}})
        )
    taken_by = "" if part.mirror.is_meant_by(single, part.namespace) else str(single.get("host"))
    return Mirror(_of_istio(rule, "mirrorPercentage"), _puts(rule, "mirrorPercentage"), taken_by)


def of_http_route(part: HttpRoutePart, rule: Object, challenger: Object) -> Mirror | None:
    """That of a rule, whose entry for the challenger is given; None where none is to be."""
    if part.mirror is None:
        return None
    filters: list[Object] = rule.get("filters") or []
    for filter_ in filters:
        said: Object = filter_.get("requestMirror") or {}
        if part.mirror.is_meant_by(said.get("backendRef") or {}, part.namespace):
            return Mirror(_of_gateway(said), partial(_put_percent, said))
    ref: Object = {"name": part.mirror.name, "port": part.mirror.port or challenger.get("port")}
    if part.mirror.namespace:
        ref["namespace"] = part.mirror.namespace

    def add(percent: int) -> None:
        made = {"type": "RequestMirror", "requestMirror": {"backendRef": ref, "percent": percent}}
        rule["filters"] = [*filters, made]

    return Mirror(0.0, add)


def of_envoy(part: EnvoyPart, action: Object) -> Mirror | None:
    """That of a route's action; None where none is to be."""
    if part.mirror is None:
        return None
    policies: list[Object] = action.get("request_mirror_policies") or []
    for policy in policies:
        if policy.get("cluster") == part.mirror:
            return Mirror(_of_envoy(policy), partial(_put_fraction, policy))

    def add(percent: int) -> None:
        made: Object = {"cluster": part.mirror}
        _put_fraction(made, percent)
        action["request_mirror_policies"] = [*policies, made]

    return Mirror(0.0, add)


def _of_istio(holder: Object, key: str) -> float:
    """What is said there; Istio copies all where nothing is."""
    if key in holder:
        return float((holder[key] or {}).get("value", 0))
    for older in ("mirrorPercent", "mirror_percent"):
        if holder.get(older) is not None:
            return float(holder[older])
    return ALL


def _puts(holder: Object, key: str) -> Callable[[int], None]:
    return lambda percent: holder.update({key: {"value": percent}})


def _of_gateway(said: Object) -> float:
    if fraction := said.get("fraction"):
        return float(100 * fraction["numerator"] / fraction.get("denominator", 100))
    return float(said.get("percent", ALL))


def _put_percent(said: Object, percent: int) -> None:
    said.pop("fraction", None)
    said["percent"] = percent


def _of_envoy(policy: Object) -> float:
    said = (policy.get("runtime_fraction") or {}).get("default_value")
    if said is None:
        return ALL
    return float(100 * said.get("numerator", 0) / DENOMINATORS[said.get("denominator", "HUNDRED")])


def _put_fraction(policy: Object, percent: int) -> None:
    fraction = policy.setdefault("runtime_fraction", {})
    fraction["default_value"] = {"numerator": percent, "denominator": "HUNDRED"}
