"""Weights in routes: found, read and set, and nothing else touched. Pure.

A rule is one that has both arms. It may have others too, whose weights stay: the two arms share what those
leave of 100, and the challenger's part is rounded down.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from flags.mesh.errors import RouteError
from flags.mesh.kubernetes import Object
from flags.mesh.routes import Backend, Destination, EnvoyPart, HttpRoutePart, VirtualServicePart

WHOLE: Final = 100


@dataclass(frozen=True)
class Weights:
    """What one rule says now, and says of the other arms."""

    rule: str
    champion: int
    challenger: int
    others: int = 0

    def __str__(self) -> str:
        return f"{self.champion}/{self.challenger}"

    @property
    def share(self) -> float:
        """The challenger's part of both arms, in per cent; 0 where both have none."""
        both = self.champion + self.challenger
        return 100 * self.challenger / both if both else 0.0

    def at(self, percent: int) -> "Weights":
        """The same rule at a share of so many per cent.

        Raises:
            RouteError: the other arms leave nothing.
        """
        rest = WHOLE - self.others
        if rest <= 0 or self.others < 0:
            raise RouteError(
                f"rule {self.rule}: arms that are not of this rollout have {self.others} of 100, which leaves"
                f" {rest} for champion and challenger: lower them"
            )
        challenger = rest * percent // WHOLE
        return Weights(self.rule, rest - challenger, challenger, self.others)


@dataclass(frozen=True)
class Rule:
    """Both arms of one rule, inside of a document that may be changed."""

    weights: Weights
    champion: Object
    challenger: Object

    def set(self, weights: Weights) -> None:
        """Write two numbers into the document."""
        for arm, weight in ((self.champion, weights.champion), (self.challenger, weights.challenger)):
            if arm.get("weight") != weight:
                arm["weight"] = weight


def of_virtual_service(part: VirtualServicePart, document: Object) -> tuple[Rule, ...]:
    """The rules of a VirtualService that have both arms, which lie in `document`. Raises RouteError."""

    def is_arm(arm: Destination) -> Callable[[Object], bool]:
        def matches(route: Object) -> bool:
            said = route.get("destination") or {}
            same = full_host(str(said.get("host", "")), part.namespace) == full_host(arm.host, part.namespace)
            return same and said.get("subset") == arm.subset

        return matches

    http = (document.get("spec") or {}).get("http") or []
    arms = is_arm(part.champion), is_arm(part.challenger)
    named = [(one.get("name") or f"http[{at}]", one.get("route") or []) for at, one in enumerate(http)]
    return _rules(part, named, arms, unsaid=0)


def of_http_route(part: HttpRoutePart, document: Object) -> tuple[Rule, ...]:
    """The rules of an HTTPRoute that have both arms, which lie in `document`. Raises RouteError."""

    def is_arm(arm: Backend) -> Callable[[Object], bool]:
        def matches(said: Object) -> bool:
            return (
                said.get("kind", "Service") == "Service"
                and said.get("name") == arm.name
                and said.get("namespace", part.namespace) == (arm.namespace or part.namespace)
                and (arm.port is None or said.get("port") == arm.port)
            )

        return matches

    rules = (document.get("spec") or {}).get("rules") or []
    arms = is_arm(part.champion), is_arm(part.challenger)
    named = [
        (one.get("name") or f"rules[{at}]", one.get("backendRefs") or []) for at, one in enumerate(rules)
    ]
    return _rules(part, named, arms, unsaid=1)


def of_envoy(part: EnvoyPart, document: Object) -> tuple[Rule, ...]:
    """The weighted clusters of Envoy's routes that have both arms, in `document`. Raises RouteError."""

    def is_arm(cluster: str) -> Callable[[Object], bool]:
        return lambda said: said.get("name") == cluster

    found = [(f"weighted_clusters[{at}]", one) for at, one in enumerate(_weighted(document))]
    return _rules(part, found, (is_arm(part.champion), is_arm(part.challenger)), unsaid=0)


def full_host(host: str, namespace: str) -> str:
    """A Service's host as `name.namespace`; any other as it is."""
    parts = host.split(".")
    if len(parts) == 1:
        return f"{host}.{namespace}"
    is_service = len(parts) == 2 or (len(parts) > 2 and parts[2] == "svc")
    return ".".join(parts[:2]) if is_service else host


def _rules(
    part: VirtualServicePart | HttpRoutePart | EnvoyPart,
    named: list[tuple[str, list[Object]]],
    arms: tuple[Callable[[Object], bool], Callable[[Object], bool]],
    *,
    unsaid: int,
) -> tuple[Rule, ...]:
    wanted = () if isinstance(part, EnvoyPart) else part.rules
    if unknown := sorted(set(wanted) - {name for name, _ in named}):
        raise RouteError(f"{title(part)} has no rule {', '.join(unknown)}, which the rollout's file names")
    found = []
    for name, entries in named:
        if wanted and name not in wanted:
            continue
        champions, challengers = ([one for one in entries if is_arm(one)] for is_arm in arms)
        if not champions or not challengers:
            if wanted:
                raise RouteError(
                    f"{title(part)}: rule {name} has not both arms, {part.champion} and {part.challenger}"
                )
            continue
        if len(champions) > 1 or len(challengers) > 1:
            raise RouteError(
                f"{title(part)}: rule {name} has an arm twice: nobody can say whose weight counts"
            )
        others = sum(
            one.get("weight", unsaid)
            for one in entries
            if one is not champions[0] and one is not challengers[0]
        )
        champion, challenger = champions[0], challengers[0]
        weights = Weights(name, champion.get("weight", unsaid), challenger.get("weight", unsaid), others)
        found.append(Rule(weights, champion, challenger))
    if not found:
        raise RouteError(
            f"{title(part)} has no rule with both arms, {part.champion} and {part.challenger}: add the"
            " missing one with weight 0, or mend routes in the rollout's file"
        )
    return tuple(found)


def title(part: VirtualServicePart | HttpRoutePart | EnvoyPart) -> str:
    """A route, for people."""
    return (
        f"envoy {part.file}" if isinstance(part, EnvoyPart) else f"{part.kind} {part.namespace}/{part.name}"
    )


def _weighted(document: Any) -> Iterator[list[Object]]:
    """Lists of weighted clusters, wherever in the document they lie."""
    if isinstance(document, dict):
        clusters = (document.get("weighted_clusters") or {}).get("clusters")
        if isinstance(clusters, list):
            yield clusters
        for value in document.values():
            yield from _weighted(value)
    elif isinstance(document, list):
        for value in document:
            yield from _weighted(value)
