"""How close two models are in shadow where agreement says nothing: order, rarer class, shift. Pure.

Where 1.6% of the requests are fraud, a useless challenger agrees with the champion on nearly all. It does not
order requests as the champion does, and it misses whom the champion finds.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from common.answers import Sample
from common.figures import percent
from common.rate import wilson
from flags.rollout.condition import Condition
from flags.rollout.schema import Stage

OF_CLOSENESS: Final = {"pairs": ("order",), "classes": ("class", "by"), "scores": ("by", "part")}
"""Signals of the shadow, and the labels by which they are counted."""
CHAMPION, CHALLENGER, BOTH = "champion", "challenger", "both"
NOT_COUNTED: Final = "not judged: the service does not count it"


@dataclass(frozen=True)
class Closeness:
    """What was counted of requests that both models answered. None where the service does not count it.

    Attributes:
        pairs: pairs of requests by their order in the challenger's scores beside the champion's.
        classes: requests by class and who chose it.
        scores: requests by whose score and part of the usual ones.
    """

    pairs: Mapping[str, float] | None = None
    classes: Mapping[tuple[str, str], float] | None = None
    scores: Mapping[tuple[str, int], float] | None = None


def closeness(found: Iterable[Sample], counted: set[str]) -> Closeness:
    """From Prometheus' answer, of the signals that the service has."""
    pairs: dict[str, float] = {}
    classes: dict[tuple[str, str], float] = {}
    scores: dict[tuple[str, int], float] = {}
    for one in found:
        labels = one.labels
        if labels.get("what") == "pairs":
            pairs[labels.get("order", "")] = one.value
        elif labels.get("what") == "classes":
            classes[labels.get("class", ""), labels.get("by", "")] = one.value
        elif labels.get("what") == "scores" and labels.get("part", "").isdigit():
            scores[labels.get("by", ""), int(labels["part"])] = one.value
    return Closeness(
        pairs if "pairs" in counted else None,
        classes if "classes" in counted else None,
        scores if "scores" in counted else None,
    )


def of_closeness(rules: Stage, seen: Closeness) -> Iterator[Condition]:
    """The conditions of a shadow stage on it."""
    if rules.rank_correlation is not None:
        yield Condition("rank correlation", *_rank(rules.rank_correlation, seen.pairs))
    if rules.rare_agreement is not None:
        yield Condition("rarer class", *_rare(rules.rare_agreement, seen.classes))
    if rules.score_shift is not None:
        yield Condition("score shift", *_shift(rules.score_shift, seen.scores))


def _rank(limit: float, pairs: Mapping[str, float] | None) -> tuple[bool, str]:
    """Kendall's correlation, 2p - 1 of the share p of pairs in the same order; a tie is half of one."""
    if pairs is None:
        return True, NOT_COUNTED
    total = sum(pairs.values())
    if total < 1:
        return False, "no two requests have been compared by their scores yet"
    share = (pairs.get("same", 0.0) + pairs.get("tied", 0.0) / 2) / total
    low, high = wilson(share, total)
    told = (
        f"both models put two requests into the same order in {percent(share)} of {int(total):,} pairs: "
        f"{2 * share - 1:.2f} ({2 * low - 1:.2f} to {2 * high - 1:.2f}), from {limit:g} on is needed"
    )
    return 2 * low - 1 >= limit, told


def _rare(limit: float, classes: Mapping[tuple[str, str], float] | None) -> tuple[bool, str]:
    """Of the class that the champion chooses least: both chose it, of the requests for which one did."""
    if classes is None:
        return True, NOT_COUNTED
    names = sorted({name for name, _ in classes})
    if not names:
        return True, "not judged: the models choose no classes"

    def count(name: str, by: str) -> float:
        return classes.get((name, by), 0.0)

    def either(name: str) -> float:
        return count(name, CHAMPION) + count(name, CHALLENGER) - count(name, BOTH)

    chosen = [name for name in names if either(name) >= 1]
    if not chosen:
        return False, "no request was answered by both models yet"
    rarest = min(chosen, key=lambda name: (count(name, CHAMPION), name))
    if len(chosen) == 1:
        return True, f"not judged: both models chose {rarest} for every request"
    total = either(rarest)
    share = min(count(rarest, BOTH) / total, 1.0)
    low, high = wilson(share, total)
    told = (
        f"of {int(total):,} requests for which one model chose {rarest}, both did for {percent(share)} "
        f"({percent(max(low, 0.0))} to {percent(min(high, 1.0))}), from {percent(limit)} on is needed"
    )
    return low >= limit, told


def of_scores(limit: float, scores: Mapping[tuple[str, int], float] | None) -> Condition:
    """The same of a canary's stage: the challenger's users beside the champion's, who are others."""
    return Condition("score shift", *_shift(limit, scores, "not both models have answered users yet"))


def _shift(
    limit: float,
    scores: Mapping[tuple[str, int], float] | None,
    none_yet: str = "no request was answered by both models yet",
) -> tuple[bool, str]:
    """Kolmogorov-Smirnov: the greatest distance of the cumulative distributions, here between parts."""
    if scores is None:
        return True, NOT_COUNTED
    totals = {
        by: sum(value for (whose, _), value in scores.items() if whose == by) for by in (CHAMPION, CHALLENGER)
    }
    if not scores:
        return True, "not judged: the champion's model.json has no scores; export it again"
    if min(totals.values()) < 1:
        return False, none_yet
    ours = theirs = far = 0.0
    for part in sorted({part for _, part in scores}):
        ours += scores.get((CHAMPION, part), 0.0) / totals[CHAMPION]
        theirs += scores.get((CHALLENGER, part), 0.0) / totals[CHALLENGER]
        far = max(far, abs(ours - theirs))
    return (
        far <= limit,
        f"the distributions of their scores are {percent(far)} apart, {percent(limit)} allowed",
    )
