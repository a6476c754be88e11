"""Many runs of a rollout: how often equal models are rolled back, and how soon worse ones.

A run is drawn from a seed of its own, so results do not depend on how many processes share the work.
"""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import timedelta
from multiprocessing import get_context

import numpy as np

from rollback.guardrails import Policy
from rollback.simulate.policy import edges_of, rules_of
from rollback.simulate.rules import Rule, first_breach, plain_ratio
from rollback.simulate.traffic import Behaviour, Bursts, Dice, Source, useful_edges

_AT_ONCE = 5  # runs that a process takes on together
_FIRST_PIECE = 40  # steps


@dataclass(frozen=True)
class Stage:
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


@dataclass(frozen=True)
class Case:
    """What happens in each run: stages one after the other, the challenger worse from some moment on."""

    name: str
    stages: tuple[Stage, ...]
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
        for stage in case.stages:
            source = Source(
                champion=world.champion,
                challenger=case.challenger,
                share=stage.share,
                step=world.step.total_seconds(),
                calls_a_second=world.calls_a_second,
                edges=edges,
                bursts=world.bursts,
            )
            found = _play_stage(
                dice, source, (ours, plain), case.worse_after // world.step, stage.lasts // world.step
            )
            for which, breach in enumerate(found):
                if breach and not breaches[which]:
                    steps = breach[0] + 1 - case.worse_after // world.step
                    breaches[which] = Breach(steps * world.step.total_seconds() / 60, breach[1], stage.share)
            if all(breaches):
                break
        played[number] = Run(*breaches)
    return case, played


def _play_stage(
    dice: Dice, source: Source, rules: tuple[tuple[Rule, ...], ...], worse_after: int, steps: int
) -> list[tuple[int, str] | None]:
    """The first breach of each set of rules within a stage.

    Where the challenger is worse, the stage is played little by little: most are over within minutes.
    """
    equal = replace(source, challenger=source.champion)
    traffic = equal.play(dice, worse_after) if worse_after else None
    piece = _FIRST_PIECE if source.challenger != source.champion else steps
    found: list[tuple[int, str] | None] = [None] * len(rules)
    while True:
        played = 0 if traffic is None else len(traffic.champion.calls)
        more = source.play(dice, min(piece, steps - played))
        traffic = more if traffic is None else traffic.then(more)
        found = [old or first_breach(each, traffic) for old, each in zip(found, rules, strict=True)]
        if all(found) or played + piece >= steps:
            return found
        piece *= 3
