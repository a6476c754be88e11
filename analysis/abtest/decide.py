"""What may be said of a registered test, and what its answer is. Pure."""

from dataclasses import dataclass
from enum import StrEnum

from analysis.measures.metric import Direction, Metric
from analysis.statistics.effect import Effect
from analysis.statistics.ratio import Ratio


class Finding(StrEnum):
    """What the report comes to."""

    BETTER = "better"
    WORSE = "worse"
    NO_DIFFERENCE = "no_difference"
    """At the planned end, none was found."""
    UNDECIDED = "undecided"
    """Read at any time: nothing yet, and it may go on."""
    TOO_EARLY = "too_early"
    MISMATCH = "sample_ratio_mismatch"
    """The arms are not what the flag says, so nothing that they show is a comparison."""
    CHANGED = "registration_changed"
    """The file is not the one that was registered, and nobody said why."""
    NO_VERDICT = "no_verdict"
    """Another metric or another time than was registered: figures, not an answer."""

    @property
    def is_verdict(self) -> bool:
        """Whether it answers what was registered."""
        return self in {Finding.BETTER, Finding.WORSE, Finding.NO_DIFFERENCE}

    @property
    def may_show(self) -> bool:
        """Whether effects may be seen at all: who sees them early begins to read them."""
        return self.is_verdict or self in {Finding.UNDECIDED, Finding.NO_VERDICT}


@dataclass(frozen=True)
class Conditions:
    """What decides whether there may be a verdict.

    Attributes:
        changed: the file's hash does not fit, and no reason was given.
        own_metric: the metric is the one that was registered.
        own_time: since the registration, no more and no less.
        complete: the arms have their users, and the outcomes of all of them had their time.
        sequential: the reading that is valid at any time was asked for.
    """

    changed: bool
    own_metric: bool
    own_time: bool
    complete: bool
    sequential: bool


def admitted(conditions: Conditions, ratio: Ratio) -> Finding | None:
    """What stands in the way of an answer; None: nothing does.

    A mismatch counts before the rest, because it needs somebody to look now and not at the end.
    """
    if conditions.changed:
        return Finding.CHANGED
    if ratio.mismatch(once=conditions.complete and not conditions.sequential):
        return Finding.MISMATCH
    if not conditions.complete and not conditions.sequential:
        return Finding.TOO_EARLY
    if not (conditions.own_metric and conditions.own_time):
        return Finding.NO_VERDICT
    return None


def answer(effect: Effect, metric: Metric, *, alpha: float, sequential: bool = False) -> Finding:
    """The answer to what was registered, where nothing stands in its way."""
    if effect.p > alpha:
        return Finding.UNDECIDED if sequential else Finding.NO_DIFFERENCE
    return Finding.BETTER if improves(effect, metric) else Finding.WORSE


def improves(effect: Effect, metric: Metric) -> bool:
    """Whether the difference, certain or not, is to the better."""
    return (effect.difference > 0) == (metric.direction is Direction.INCREASE)


def harmed(effect: Effect, guardrail: Metric, *, alpha: float) -> bool:
    """Whether a guardrail is worse; `alpha` is that of all of them, divided by their number."""
    return effect.p <= alpha and not improves(effect, guardrail)
