"""The comparison of two arms in one measure: which test decides, and what stands beside it. Pure.

    proportion   z test with continuity correction; the interval inverts it
    mean         Welch's t test
    count        bootstrap of the means (what N was planned for); Mann-Whitney beside it
    any of them  Welch's t test with CUPED instead, where a covariate was registered and there is one

Which one it is depends on the registration and on the time before the test, never on the result.
"""

from dataclasses import dataclass, replace

from analysis.abtest.registration import Registration
from analysis.measures.experiment import BEFORE, MEASURE, ArmReading, Arms
from analysis.measures.metric import Kind
from analysis.statistics import counts, cuped, means, proportions, sequential
from analysis.statistics.cuped import Narrowing
from analysis.statistics.effect import Effect
from analysis.statistics.power import Design, smallest_effect
from analysis.statistics.proportions import Share

LEAST_USERS = 2
"""Of each arm, for any comparison."""


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


def comparable(arms: Arms) -> bool:
    """Whether there are enough users to compare at all."""
    return min(arms.champion.users, arms.challenger.users) >= LEAST_USERS


@dataclass(frozen=True)
class Reader:
    """How the measures of one registered test are read.

    Attributes:
        registration: of the test.
        any_time: however often; without a covariate, and by means for counts.
    """

    registration: Registration
    any_time: bool = False

    def read(self, arms: Arms, kind: Kind, alpha: float, *, covariate: bool = False) -> Comparison:
        """Compare arms that are `comparable`; `covariate`: whether BEFORE of their aggregates may be used."""
        if self.any_time:
            return _any_time(arms, kind, self._planned(arms, kind), alpha)
        seed = int(self.registration.sha256[:8], 16)  # nobody can try seeds
        return compare(arms, kind, alpha=alpha, seed=seed, covariate=covariate)

    def _planned(self, arms: Arms, kind: Kind) -> sequential.Planned:
        """What the evidence is tuned to. Of another metric than the registered one only now is known."""
        registration, users = self.registration, self.registration.users
        if kind is registration.metric.kind:
            variance = registration.design.variance(registration.baseline)
        else:
            variance = (arms.champion.aggregates + arms.challenger.aggregates).var(MEASURE)
        return sequential.Planned(users.champion, users.challenger, variance)


def compare(  # noqa: PLR0913 - `seed` and `replicates` are those of the bootstrap
    arms: Arms,
    kind: Kind,
    *,
    alpha: float,
    seed: int,
    covariate: bool = False,
    replicates: int = counts.REPLICATES,
) -> Comparison:
    """Read the arms once, at the planned end."""
    champion, challenger = arms.champion.aggregates, arms.challenger.aggregates
    plain, ranks = _plain(arms, kind, alpha=alpha, seed=seed, replicates=replicates)
    if not covariate or not cuped.usable(champion, challenger, BEFORE):
        return Comparison(plain, plain, ranks=ranks)
    columns = means.Columns(MEASURE, covariate=BEFORE)
    adjusted = means.compare(champion, challenger, columns, alpha=alpha)
    without = means.compare(champion, challenger, means.Columns(MEASURE), alpha=alpha)
    worth = cuped.narrowing(champion + challenger, columns, without, adjusted)
    return Comparison(adjusted, plain, worth, ranks)


def smallest(design: Design, arms: Arms, kind: Kind, comparison: Comparison) -> float | None:
    """The smallest change that these arms find with the design's power, at the champion's level as it is."""
    champion = arms.champion.aggregates
    level, variance = champion.mean(MEASURE), champion.var(MEASURE)
    actual = replace(
        design,
        kind=kind,
        baseline=level,
        deviation=variance**0.5,
        dispersion=max((variance - level) / level**2, 0.0) if kind is Kind.COUNT and level > 0 else 0.0,
    )
    if variance <= 0:
        return None
    found = smallest_effect(actual, arms.champion.users, arms.challenger.users)
    return found * comparison.narrowing.width if found and comparison.narrowing else found


def _any_time(arms: Arms, kind: Kind, planned: sequential.Planned, alpha: float) -> Comparison:
    champion, challenger = arms.champion, arms.challenger
    if kind is Kind.PROPORTION:
        effect = sequential.compare_shares(_share(champion), _share(challenger), planned, alpha=alpha)
    else:
        effect = sequential.compare_means(_arm(champion), _arm(challenger), planned, alpha=alpha)
    return Comparison(effect, effect)


def _plain(
    arms: Arms, kind: Kind, *, alpha: float, seed: int, replicates: int
) -> tuple[Effect, counts.Ranks | None]:
    champion, challenger = arms.champion, arms.challenger
    if kind is Kind.PROPORTION:
        return proportions.compare(_share(champion), _share(challenger), alpha=alpha), None
    if kind is Kind.MEAN:
        columns = means.Columns(MEASURE)
        return means.compare(champion.aggregates, challenger.aggregates, columns, alpha=alpha), None
    assert champion.counts is not None  # noqa: S101  (whoever reads a count hands them over)
    assert challenger.counts is not None  # noqa: S101
    return (
        counts.bootstrap(champion.counts, challenger.counts, seed=seed, alpha=alpha, replicates=replicates),
        counts.mann_whitney(champion.counts, challenger.counts),
    )


def _share(arm: ArmReading) -> Share:
    return Share(round(arm.aggregates.mean(MEASURE) * arm.users), arm.users)


def _arm(arm: ArmReading) -> sequential.Arm:
    return sequential.Arm(arm.aggregates.mean(MEASURE), arm.aggregates.var(MEASURE), arm.users)
