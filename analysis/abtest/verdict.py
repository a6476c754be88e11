"""Two arms compared in one measure, what may be said of it, and what the answer is. Pure.

    proportion   z test with continuity correction; the interval inverts it; Fisher's test of small counts
    mean         Welch's t test
    count        bootstrap of the means (what N was planned for); Mann-Whitney beside it
    any of them  Welch's t test with CUPED instead, where a covariate was registered and there is one; not of
                 small counts
    at any time  a confidence sequence; without a covariate, and of means for counts

Which one it is depends on the registration, on the time before the test, and on how many of both arms
together did it, never on the result.
"""

from dataclasses import dataclass, replace
from enum import StrEnum

from analysis.abtest.measure import BEFORE, LEAST_USERS, MEASURE, ArmReadings
from analysis.metric import Direction, Kind, Metric
from analysis.statistics import counts, means, proportions, sequential
from analysis.statistics.arrivals import SampleRatio
from analysis.statistics.effect import Effect
from analysis.statistics.means import Columns, Narrowing
from analysis.statistics.power import Design, dispersion_of, smallest_effect
from analysis.statistics.proportions import Share
from analysis.statistics.sequential import Planned


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


def obstacle(  # noqa: PLR0913 - each of them alone stands in the way
    *,
    changed: bool,
    own_metric: bool,
    own_time: bool,
    complete: bool,
    sequential: bool,
    ratio: SampleRatio,
) -> Finding | None:
    """What stands in the way of an answer; None: nothing does.

    A mismatch counts before the rest, because it needs somebody to look now and not at the end.

    Args:
        changed: the file's hash does not fit, and no reason was given.
        own_metric: the metric is the one that was registered.
        own_time: since the registration, no more and no less.
        complete: the arms have their users, and the outcomes of all of them had their time.
        sequential: the reading that is valid at any time was asked for.
        ratio: the arms' sizes.
    """
    if changed:
        return Finding.CHANGED
    if ratio.mismatch(once=complete and not sequential):
        return Finding.MISMATCH
    if not complete and not sequential:
        return Finding.TOO_EARLY
    if not (own_metric and own_time):
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


@dataclass(frozen=True)
class Comparison:
    """What was found in one measure.

    Attributes:
        effect: by the test that decides.
        plain: without the covariate; the same as `effect` where there is none.
        narrowing: what the covariate did; None without one.
        ranks: Mann-Whitney, of counts.
    """

    effect: Effect
    plain: Effect
    narrowing: Narrowing | None = None
    ranks: counts.Ranks | None = None


def comparable(arms: ArmReadings) -> bool:
    """Whether there are enough users to compare at all."""
    return min(users for pair in arms.samples for users in (pair[0].users, pair[1].users)) >= LEAST_USERS


def worth(arms: ArmReadings) -> tuple[int, int]:
    """Users of champion and challenger of one stage that would tell as much as those of all stages do."""
    champion, challenger = arms.champion.users, arms.challenger.users
    if len(arms.by_stage) < 2:
        return champion, challenger
    information = sum(a.users * b.users / (a.users + b.users) for a, b in arms.samples)
    share = challenger / (champion + challenger)
    return max(round(information / share), 2), max(round(information / (1 - share)), 2)


def compare(  # noqa: PLR0913 - `seed` and `replicates` are those of the bootstrap
    arms: ArmReadings,
    kind: Kind,
    *,
    alpha: float,
    seed: int,
    covariate: bool = False,
    replicates: int = counts.REPLICATES,
) -> Comparison:
    """Read arms that are `comparable` once, at the planned end.

    Args:
        covariate: whether BEFORE of their aggregates may be used.
    """
    if len(arms.by_stage) > 1:
        return _compare_stages(arms, kind, alpha=alpha, seed=seed, covariate=covariate, replicates=replicates)
    ((first, second),) = arms.by_stage or ((arms.champion, arms.challenger),)
    champion, challenger = first.aggregates, second.aggregates
    columns, ranks = Columns(MEASURE), None
    if kind is Kind.PROPORTION:
        shares = Share.of(first.sample), Share.of(second.sample)
        plain = proportions.compare(*shares, alpha=alpha)
        covariate = covariate and not proportions.small([shares])  # few events: Welch is no better than z
    elif kind is Kind.MEAN:
        plain = means.compare(champion, challenger, columns, alpha=alpha)
    else:
        ours, theirs = first.counts, second.counts
        assert ours is not None  # noqa: S101  (whoever reads a count hands them over)
        assert theirs is not None  # noqa: S101
        plain = counts.bootstrap([(ours, theirs)], seed=seed, alpha=alpha, replicates=replicates)
        ranks = counts.mann_whitney(ours, theirs)
    if not covariate or not means.usable(champion, challenger, BEFORE):
        return Comparison(plain, plain, ranks=ranks)
    with_it = replace(columns, covariate=BEFORE)
    adjusted = means.compare(champion, challenger, with_it, alpha=alpha)
    without = means.compare(champion, challenger, columns, alpha=alpha)
    narrowing = means.narrowing(champion + challenger, with_it, without, adjusted)
    return Comparison(adjusted, plain, narrowing, ranks)


def _compare_stages(  # noqa: PLR0913 - as `compare`
    arms: ArmReadings, kind: Kind, *, alpha: float, seed: int, covariate: bool, replicates: int
) -> Comparison:
    """The same of several stages: differences within each, weighted by `effect.weights`."""
    without = means.compare_strata(arms.samples, alpha=alpha)
    plain = without
    if kind is Kind.PROPORTION:
        shares = [(Share.of(champion), Share.of(challenger)) for champion, challenger in arms.samples]
        plain = proportions.compare_strata(shares, alpha=alpha)
        covariate = covariate and not proportions.small(shares)
    elif kind is Kind.COUNT:
        pairs = [(a.counts, b.counts) for a, b in arms.by_stage if a.counts and b.counts]
        plain = counts.bootstrap(pairs, seed=seed, alpha=alpha, replicates=replicates)
    both = arms.champion.aggregates + arms.challenger.aggregates
    if not covariate or not both.var(BEFORE) > 0:
        return Comparison(plain, plain)
    aggregates = [(champion.aggregates, challenger.aggregates) for champion, challenger in arms.by_stage]
    adjusted = means.adjusted(aggregates, MEASURE, BEFORE)
    effect = means.compare_strata(adjusted, alpha=alpha, covariate=True)
    narrowing = means.narrowing(both, Columns(MEASURE, covariate=BEFORE), without, effect)
    return Comparison(effect, plain, narrowing)


def compare_any_time(arms: ArmReadings, kind: Kind, planned: Planned, alpha: float) -> Comparison:
    """Read arms that are `comparable` however often."""
    effect = sequential.compare(arms.samples, kind, planned, alpha=alpha)
    return Comparison(effect, effect)


def smallest(design: Design, arms: ArmReadings, kind: Kind, comparison: Comparison) -> float | None:
    """The smallest change that these arms find with the design's power, at the champion's level as it is."""
    level, variance = arms.champion.sample.mean, arms.champion.sample.variance
    if variance <= 0:
        return None
    actual = replace(
        design,
        kind=kind,
        baseline=level,
        deviation=variance**0.5 if kind is Kind.MEAN else None,
        dispersion=dispersion_of(level, variance) if kind is Kind.COUNT else 0.0,
        skewness=0.0,  # asks for more users, whatever the change
    )
    found = smallest_effect(actual, *worth(arms))
    return found * comparison.narrowing.width if found and comparison.narrowing else found
