"""Many runs of a rollout, and what they come to: how often equal models are rolled back, how soon worse ones.

A run is drawn from a seed of its own, so results do not depend on how many processes share the work.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import timedelta
from math import inf, isfinite
from multiprocessing import get_context
from typing import Any

import numpy as np

from common.rate import Rate
from rollback.guardrails.file import Policy
from rollback.guardrails.verdict import Action
from rollback.simulate.rules import Rule, first_breach, plain_ratio
from rollback.simulate.traffic import Behaviour, Bursts, Dice, Source, Values, useful_edges
from rollback.simulate.users import Together, UserSource, draw_users

_AT_ONCE = 5  # runs that a process takes on together
_FIRST_PIECE = 40  # steps


@dataclass(frozen=True)
class PlayedStage:
    """A share of the traffic, and for how long."""

    share: float
    lasts: timedelta


@dataclass(frozen=True)
class World:
    """What all runs have in common."""

    champion: Behaviour
    calls_a_second: float
    step: timedelta
    seed: int
    bursts: Bursts | None = None
    together: Together | None = None
    """How bad calls hang together by user; None where each is bad by itself, but for `bursts`."""


@dataclass(frozen=True)
class Case:
    """What happens in each run: stages one after the other, the challenger worse from some moment on."""

    name: str
    stages: tuple[PlayedStage, ...]
    challenger: Behaviour
    worse_after: timedelta = timedelta()
    """The challenger is the champion's equal until then."""
    number: int = 0
    """Part of the seed, so that cases are independent."""


@dataclass(frozen=True)
class Breach:
    """When the first guardrail was breached."""

    minutes: float
    """Since the challenger became worse; negative if it was rolled back before."""
    guardrail: str
    share: float
    """Of the stage in which that was."""


@dataclass(frozen=True)
class Run:
    """What became of one run under the guardrails and, on the same traffic, under the plain rule."""

    ours: Breach | None
    plain: Breach | None


def rules_of(policy: Policy, champion: Behaviour) -> tuple[tuple[Rule, ...], tuple[str, ...]]:
    """The guardrails of `policy` that roll back, as rules, and the names of those that cannot be played.

    Args:
        policy: the file.
        champion: its p99 before the stage chooses the edges for slow calls. The true one is taken: an hour
            of calls at 50 a second tells it to within half a percent.
    """
    rolling = [each for each in policy.guardrails if each.action is Action.ROLLBACK]
    rules = [(each.name, each.rule(policy, champion)) for each in rolling]
    return tuple(rule for _, rule in rules if rule), tuple(name for name, rule in rules if rule is None)


def edges_of(policy: Policy, champion: Behaviour) -> tuple[float, ...]:
    """Edges of buckets that guardrails count at, those too that do not roll back."""
    rules = (each.rule(policy, champion) for each in policy.guardrails)
    return tuple(sorted({edge for rule in rules if rule for edge in rule.edges}))


def run_all(
    policy: Policy,
    world: World,
    cases: Iterable[tuple[Case, int]],
    processes: int,
    done: Callable[[int], None],
) -> dict[Case, list[Run]]:
    """Play each case so many times.

    Args:
        processes: 1 for none beside this one.
        done: called with the number of runs that were finished.
    """
    tasks = [
        (case, range(begin, min(begin + _AT_ONCE, runs)))
        for case, runs in cases
        for begin in range(0, runs, _AT_ONCE)
    ]
    results: dict[Case, dict[int, Run]] = {case: {} for case, _ in tasks}
    for case, played in _played(policy, world, tasks, processes):
        results[case].update(played)
        done(len(played))
    return {case: [runs[number] for number in sorted(runs)] for case, runs in results.items()}


def _played(
    policy: Policy, world: World, tasks: list[tuple[Case, range]], processes: int
) -> Iterator[tuple[Case, dict[int, Run]]]:
    if processes == 1:
        yield from (_play_runs(policy, world, case, runs) for case, runs in tasks)
        return
    with ExitStack() as stack:
        # Not forked: a progress bar has a thread.
        pool = ProcessPoolExecutor(processes, mp_context=get_context("spawn"))
        stack.callback(pool.shutdown, cancel_futures=True)
        for future in as_completed(pool.submit(_play_runs, policy, world, *task) for task in tasks):
            yield future.result()


def _play_runs(policy: Policy, world: World, case: Case, runs: range) -> tuple[Case, dict[int, Run]]:
    ours, _ = rules_of(policy, world.champion)
    plain = (plain_ratio(world.step),)
    edges = useful_edges((world.champion, case.challenger), edges_of(policy, world.champion))
    played = {}
    for number in runs:
        dice = np.random.default_rng([world.seed, case.number, number])
        breaches: list[Breach | None] = [None, None]
        play = _player(dice, world, case, edges)
        for stage in case.stages:
            found = play(stage, (ours, plain))
            for which, breach in enumerate(found):
                if breach and not breaches[which]:
                    steps = breach[0] + 1 - case.worse_after // world.step
                    breaches[which] = Breach(steps * world.step.total_seconds() / 60, breach[1], stage.share)
            if all(breaches):
                break
        played[number] = Run(*breaches)
    return case, played


_Rules = tuple[tuple[Rule, ...], ...]
_Found = list[tuple[int, str] | None]


def _player(dice: Dice, world: World, case: Case, edges: Values) -> Callable[[PlayedStage, _Rules], _Found]:
    """Plays the stages of one rollout; where there are users, they are the same in all of them."""
    step, worse_after = world.step.total_seconds(), case.worse_after // world.step
    models = world.champion, case.challenger
    if world.together is None:

        def play(stage: PlayedStage, rules: _Rules) -> _Found:
            source = Source(*models, stage.share, world.calls_a_second, step, edges, world.bursts)
            return _play_stage(dice, source, rules, worse_after, stage.lasts // world.step)

        return play
    together = world.together
    users = draw_users(dice, together, world.champion.errors, world.calls_a_second)

    def play_users(stage: PlayedStage, rules: _Rules) -> _Found:
        source = UserSource(together, users, *models, stage.share, step, edges)
        traffic = source.play(dice, stage.lasts // world.step, worse_after)
        return [first_breach(each, traffic) for each in rules]

    return play_users


def _play_stage(dice: Dice, source: Source, rules: _Rules, worse_after: int, steps: int) -> _Found:
    """The first breach of each set of rules within a stage.

    Where the challenger is worse, the stage is played little by little: most are over within minutes.
    """
    equal = replace(source, challenger=source.champion)
    traffic = equal.play(dice, worse_after) if worse_after else None
    piece = _FIRST_PIECE if source.challenger != source.champion else steps
    found: _Found = [None] * len(rules)
    while True:
        played = 0 if traffic is None else len(traffic.champion.calls)
        more = source.play(dice, min(piece, steps - played))
        traffic = more if traffic is None else traffic.then(more)
        found = [old or first_breach(each, traffic) for old, each in zip(found, rules, strict=True)]
        if all(found) or played + piece >= steps:
            return found
        piece *= 3


@dataclass(frozen=True)
class Delay:
    """Minutes from a regression to the breach, over all runs that were not rolled back before it."""

    runs: int
    median: float
    """Infinite where most runs saw none."""
    late: float
    """The 90th percentile."""
    missed: int
    """Runs without a breach while they were watched."""
    early: int
    """Runs that were rolled back before there was a regression; they do not count."""
    by: Counter[str]
    """How many of the breaches were of which guardrail."""


def false_rollbacks(breaches: Sequence[Breach | None]) -> tuple[Rate, Counter[str]]:
    """How many runs were rolled back at all, and how many by each guardrail at each share."""
    found = [breach for breach in breaches if breach]
    return Rate(len(found), len(breaches)), Counter(
        f"{breach.guardrail} at {100 * breach.share:g}%" for breach in found
    )


def delay(breaches: Iterable[Breach | None]) -> Delay:
    """Sum up the runs of a regression."""
    breaches = list(breaches)
    counted = [breach for breach in breaches if not breach or breach.minutes > 0]
    minutes = np.array([breach.minutes if breach else inf for breach in counted] or [inf])
    # A quantile between two runs would be infinite where only one of them saw nothing.
    median, late = np.quantile(minutes, (0.5, 0.9), method="inverted_cdf")
    return Delay(
        runs=len(counted),
        median=float(median),
        late=float(late),
        missed=sum(breach is None for breach in counted),
        early=len(breaches) - len(counted),
        by=Counter(breach.guardrail for breach in counted if breach),
    )


def rate_fields(rate: Rate, runs: str) -> dict[str, Any]:
    """A rate as JSON; `runs`: what a run is called."""
    low, high = rate.interval
    return {runs: rate.runs, "rolled_back": rate.hits, "rate": rate.share, "low": low, "high": high}


def delay_fields(found: Delay, runs: str) -> dict[str, Any]:
    """A delay as JSON, null where it is longer than was watched; `runs`: what a run is called."""
    return {
        runs: found.runs,
        "missed": found.missed,
        "rolled_back_before": found.early,
        "median_minutes": found.median if isfinite(found.median) else None,
        "p90_minutes": found.late if isfinite(found.late) else None,
        "by": dict(found.by),
    }
