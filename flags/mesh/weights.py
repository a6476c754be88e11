"""Weights in routes: found, read and set, and nothing else touched. Pure.

A rule is one that has both arms. It may have others too, whose weights stay: the two arms share what those
leave of 100, and the challenger's part is rounded down.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from flags.mesh import mirrors
from flags.mesh.errors import RouteError
from flags.mesh.kubernetes import Object
from flags.mesh.mirrors import Mirror
from flags.mesh.routes import Backend, Destination, EnvoyPart, HttpRoutePart, VirtualServicePart

WHOLE: Final = 100


@dataclass(frozen=True)
class Weights:
    """What one rule says now, and says of the other arms.

    Attributes:
        mirror: how many per cent of its requests are copied; None where that is none of ours.
    """

    rule: str
    champion: int
    challenger: int
    others: int = 0
    mirror: float | None = None

    def __str__(self) -> str:
        copied = f" and {self.mirror:g}% copied" if self.mirror else ""
        return f"{self.champion}/{self.challenger}{copied}"

    @property
    def share(self) -> float:
        """The challenger's part of both arms, in per cent; 0 where both have none."""
        both = self.champion + self.challenger
        return 100 * self.challenger / both if both else 0.0

    def at(self, percent: int, mirror: int = 0) -> "Weights":
        """The same rule at a share of so many per cent, with so many per cent copied.

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
        copied = None if self.mirror is None else float(mirror)
        return Weights(self.rule, rest - challenger, challenger, self.others, copied)


@dataclass(frozen=True)
class Rule:
    """Both arms of one rule, inside of a document that may be changed."""

    weights: Weights
    champion: Object
    challenger: Object
    mirror: Mirror | None = None

    @property
    def obstacle(self) -> str:
        """Why copies cannot be had; "" where they can, or none are to be."""
        if not (self.mirror and self.mirror.taken_by):
            return ""
        return f"rule {self.weights.rule} copies requests to {self.mirror.taken_by}, and can to no other"

    def set(self, weights: Weights) -> None:
        """Write two numbers into the document, and a third where requests are copied."""
        for arm, weight in ((self.champion, weights.champion), (self.challenger, weights.challenger)):
            if arm.get("weight") != weight:
                arm["weight"] = weight
        if self.mirror and weights.mirror is not None and weights.mirror != self.weights.mirror:
            self.mirror.put(int(weights.mirror))


def of_virtual_service(part: VirtualServicePart, document: Object) -> tuple[Rule, ...]:
    """The rules of a VirtualService that have both arms, which lie in `document`. Raises RouteError."""

    def is_arm(arm: Destination) -> Callable[[Object], bool]:
        return lambda said: arm.is_meant_by(said.get("destination") or {}, part.namespace)

    http = (document.get("spec") or {}).get("http") or []
    arms = is_arm(part.champion), is_arm(part.challenger)
    named = [
        Candidate(
            one.get("name") or f"http[{at}]",
            one.get("route") or [],
            partial(mirrors.of_virtual_service, part, one),
        )
        for at, one in enumerate(http)
    ]
    return _rules(part, named, arms, unsaid=0)


def of_http_route(part: HttpRoutePart, document: Object) -> tuple[Rule, ...]:
    """The rules of an HTTPRoute that have both arms, which lie in `document`. Raises RouteError."""

    def is_arm(arm: Backend) -> Callable[[Object], bool]:
        return lambda said: arm.is_meant_by(said, part.namespace)

    rules = (document.get("spec") or {}).get("rules") or []
    arms = is_arm(part.champion), is_arm(part.challenger)
    named = [
        Candidate(
            one.get("name") or f"rules[{at}]",
            one.get("backendRefs") or [],
            partial(mirrors.of_http_route, part, one),
        )
        for at, one in enumerate(rules)
    ]
    return _rules(part, named, arms, unsaid=1)


def of_envoy(part: EnvoyPart, document: Object) -> tuple[Rule, ...]:
    """The weighted clusters of Envoy's routes that have both arms, in `document`. Raises RouteError."""

    def is_arm(cluster: str) -> Callable[[Object], bool]:
        return lambda said: said.get("name") == cluster

    def mirror(action: Object) -> Callable[[Object], Mirror | None]:
        return lambda _challenger: mirrors.of_envoy(part, action)

    found = [
        Candidate(f"weighted_clusters[{at}]", one["weighted_clusters"]["clusters"], mirror(one))
        for at, one in enumerate(_weighted(document))
    ]
    return _rules(part, found, (is_arm(part.champion), is_arm(part.challenger)), unsaid=0)


@dataclass(frozen=True)
class Candidate:
    """A rule that may have both arms; `mirror` finds its copies, by the challenger's entry."""

    name: str
    entries: list[Object]
    mirror: Callable[[Object], Mirror | None]


def _rules(
    part: VirtualServicePart | HttpRoutePart | EnvoyPart,
    named: list[Candidate],
    arms: tuple[Callable[[Object], bool], Callable[[Object], bool]],
    *,
    unsaid: int,
) -> tuple[Rule, ...]:
    wanted = () if isinstance(part, EnvoyPart) else part.rules
    if unknown := sorted(set(wanted) - {one.name for one in named}):
        raise RouteError(f"{title(part)} has no rule {', '.join(unknown)}, which the rollout's file names")
    found = []
    for candidate in named:
        name, entries = candidate.name, candidate.entries
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
        mirror = candidate.mirror(challenger)
        copied = None if mirror is None or mirror.taken_by else mirror.percent
        weights = Weights(
            name, champion.get("weight", unsaid), challenger.get("weight", unsaid), others, copied
        )
        found.append(Rule(weights, champion, challenger, mirror))
    if not found:
        raise RouteError(
            f"{title(part)} has no rule with both arms, {part.champion} and {part.challenger}: add the"
            " missing one with weight 0, or mend routes in the rollout's file"
        )
    return tuple(found)


def obstacles(rules: tuple[Rule, ...]) -> str:
    """Why requests cannot be copied in some of them; "" where they can."""
    return "; ".join(one.obstacle for one in rules if one.obstacle)


def title(part: VirtualServicePart | HttpRoutePart | EnvoyPart) -> str:
    """A route, for people."""
    return (
        f"envoy {part.file}" if isinstance(part, EnvoyPart) else f"{part.kind} {part.namespace}/{part.name}"
    )


def _weighted(document: Any) -> Iterator[Object]:
    """Actions of routes that have a list of weighted clusters, wherever in the document they lie."""
    if isinstance(document, dict):
        if isinstance((document.get("weighted_clusters") or {}).get("clusters"), list):
            yield document
        for value in document.values():
            yield from _weighted(value)
    elif isinstance(document, list):
        for value in document:
            yield from _weighted(value)
