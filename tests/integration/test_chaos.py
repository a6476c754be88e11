"""The rollback job killed at any point, with a network that breaks: what is due happens, and nothing else.

A handful of trials here; `make chaos` runs CHAOS_TRIALS of them, and writes its figures to CHAOS_JSON. Then
CHAOS_TRIALS_OF_THREE with three rollouts in one process, one of them sick, and the plan's job beside it.
"""

import json
import os
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path
from statistics import median

import numpy as np
import pytest

from bench.backfill import Arm, Traffic, play, prometheus_over
from common.arms import Arms
from common.prometheus import Prometheus
from flags.canary.marks import approve_start, label
from flags.canary.share import read_state, set_share
from flags.unleash.admin import UnleashAdmin
from rollback.actions.turn_off import UnleashCanary
from rollback.guardrails.file import load_policy
from rollback.iteration import ExitCode
from rollback.job import Job
from stack.api import Stack
from stack.processes import environment
from tests.integration.chaos import three
from tests.integration.chaos.three import JOBS
from tests.integration.chaos.trial import Result, Trial, draw, only
from tests.integration.conftest import wait_for

TRIALS = int(os.environ.get("CHAOS_TRIALS", "4"))
SEED = int(os.environ.get("CHAOS_SEED", "1"))
AHEAD = 1200 + 120 * TRIALS  # seconds of history that lie in the future, for the trials to live in
FLAGS = [f"chaos-{number}" for number in range(TRIALS)]
TRIALS_OF_THREE = int(os.environ.get("CHAOS_TRIALS_OF_THREE", "2"))
AHEAD_OF_THREE = 900 + 150 * TRIALS_OF_THREE
THREE = [{job: f"three-{number}-{job}" for job in JOBS} for number in range(TRIALS_OF_THREE)]
SICK, WELL = Arm(p99=3.0), Arm(p99=0.05, errors=0.0)


@pytest.fixture(scope="module")
def histories(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[bool, str]]:
    """By whether the challenger is sick: a real Prometheus that will go on to see it."""
    with ExitStack() as stack:
        urls = {}
        for sick in (True, False):
            dice = np.random.default_rng(SEED)
            traffic = Traffic(seconds=1800 + AHEAD, challenger=SICK if sick else WELL)
            history = play(dice, [traffic], until=time.time() + AHEAD, flags=FLAGS)
            folder = tmp_path_factory.mktemp("sick" if sick else "well")
            urls[sick] = stack.enter_context(prometheus_over(history, folder))
        yield urls


@pytest.mark.slow
def test_what_is_due_happens_and_nothing_else(
    stack: Stack, admin: UnleashAdmin, histories: dict[bool, str], tmp_path: Path
) -> None:
    for flag in FLAGS:
        admin.create_feature(flag, kind="release", description="One trial of the chaos tests.")
        admin.add_strategy(flag, percent=1, stickiness="userId", group=flag)
        set_share(admin, flag, 5)
    await_evidence(admin, Arms(FLAGS[-1], "production", only(FLAGS[-1])), histories[True])
    results = []
    for number, flag in enumerate(FLAGS):
        plan = draw(number, SEED)
        trial = Trial(plan, flag, admin, tmp_path / flag)
        variables = environment.rollback(stack.site)
        results.append(trial.run(variables, stack.addresses.unleash, histories[plan.due]))
    tell(results)
    assert [fault for each in results for fault in each.faults] == []
    assert {each.rolled_back for each in results} == {True, False}
    assert sum(each.kills for each in results) + sum(sum(each.troubles.values()) for each in results) > 0


@pytest.fixture(scope="module")
def three_services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real Prometheus that will go on to see three services, one of which has a sick challenger."""
    until, history = time.time() + AHEAD_OF_THREE, []
    for number, job in enumerate(JOBS):
        arm = SICK if job == three.SICK else WELL
        traffic = Traffic(seconds=1800 + AHEAD_OF_THREE, challenger=arm)
        flags = [flags[job] for flags in THREE]
        played = play(np.random.default_rng(SEED + number), [traffic], until=until, flags=flags)
        history += [replace(each, labels={**each.labels, "job": job}) for each in played]
    with prometheus_over(history, tmp_path_factory.mktemp("three")) as url:
        yield url


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_of_three_in_one_process_only_the_sick_one_is_rolled_back(
    stack: Stack, admin: UnleashAdmin, three_services: str, tmp_path: Path
) -> None:
    for flag in (flag for flags in THREE for flag in flags.values()):
        admin.create_feature(flag, kind="release", description="One of three of the chaos tests.")
        admin.add_strategy(flag, percent=1, stickiness="userId", group=flag)
        set_share(admin, flag, 5)
        approve_start(admin, flag, label("1", "0" * 64))
    youngest = THREE[-1][three.SICK]
    arms = Arms(youngest, "production", three.only(three.SICK, youngest))
    await_evidence(admin, arms, three_services)
    environments = environment.rollback(stack.site), environment.rollout(stack.site)
    results = []
    for number, flags in enumerate(THREE):
        plans = draw(number, SEED, three.LAST), draw(number, f"{SEED}/plan", three.LAST)
        trial = three.ThreeTrial(flags, plans, admin, tmp_path / str(number))
        results.append(trial.run(environments, stack.addresses.unleash, three_services))
    print(three.told(results))
    assert [fault for each in results for fault in each.faults] == []
    assert sum(each.kills for each in results) + sum(sum(each.troubles.values()) for each in results) > 0


def await_evidence(admin: UnleashAdmin, arms: Arms, sick: str) -> None:
    """Wait until the youngest stage is old enough for a breach, in a dry run without troubles."""
    canary = UnleashCanary(admin, arms.flag)
    job = Job(load_policy(), Prometheus(sick), canary, arms, dry_run=True)
    wait_for(lambda: job.run().exit_code is ExitCode.BREACHED, 120, "evidence against the sick challenger")
    assert read_state(admin, arms.flag).enabled


def tell(results: list[Result]) -> None:
    """Print the figures, and write them where they are wanted."""
    due = [each for each in results if each.due]
    troubles = sum((Counter(each.troubles) for each in results), Counter[str]())
    figures = {
        "trials": len(results),
        "seed": SEED,
        "due": len(due),
        "rolled_back_when_due": sum(each.rolled_back for each in due),
        "rolled_back_when_not_due": sum(each.rolled_back for each in results if not each.due),
        "unexplained": sum(each.rolled_back and not each.decisions for each in results),
        "kills": sum(each.kills for each in results),
        "troubles": dict(troubles),
        "median_seconds_when_due": median(each.seconds for each in due),
        "worst_seconds_when_due": max(each.seconds for each in due),
        "faults": [fault for each in results for fault in each.faults],
    }
    print(json.dumps(figures, indent=2))
    if file := os.environ.get("CHAOS_JSON"):
        document = {**figures, "results": [asdict(each) for each in results]}
        Path(file).write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
