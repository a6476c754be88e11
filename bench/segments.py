"""How soon harm to 2% of the users is found by the guardrail of their segment, and how often equal ones are.

    python -m bench.segments

50 requests a second, steps of 15 s, alpha of the default file. First independent errors for a day; then users
whose calls hang together, in worlds of `./canario simulate`, by the guardrail `errors` as a file with
segments makes it. Ten minutes on two cores.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Final

import numpy as np

from bench.decisions import CALLS_A_SECOND, CHAMPION
from common.e_process import LateStart, Values
from common.sequential import Counts, log_e
from rollback.guardrails.file import load_policy
from rollback.guardrails.kinds.counters import CounterRatio
from rollback.guardrails.segments import Segments
from rollback.simulate.cases import RUNBOOK_PLAN
from rollback.simulate.rules import failed_users
from rollback.simulate.study import PlayedStage
from rollback.simulate.traffic import Dice, Traffic
from rollback.simulate.users import BUCKETS, WORLDS, Together, Users, UserSource, draw_users
from service.metrics.segments import GROUPS

ALPHA, SEGMENTS, EVERYBODY = 0.1, 0.1, 0.15  # of the policy, and its parts of all segments and of `errors`
STEPS, CALLS, STEP_MINUTES = 5760, 750, 0.25
ERRORS, OF_USERS, RUNS = 0.01, 0.02, 40
LATE: Final = LateStart(240, 48, 0.15)
SHARES: Final = (0.01, 0.05, 0.25)
PARTS: Final = {"NO": 0.02, "SE": 0.1, "DE": 0.3}  # of the users; the rest is judged among all only
DARK: Final = "NO"  # the country that is the region of the world `region`
TOGETHER: Final = (
    "independent",
    "dispersion-5",
    "dispersion-20",
    "bursts-10",
    "bursts-50",
    "client",
    "retries",
    "region",
)
ROLLOUTS, HARMED = 200, 100
DAY: Final = timedelta(days=1)


def judge() -> Callable[[Traffic], int | None]:
    """The first step at which the guardrail `errors` of a segment is breached: the same for each of them."""
    policy = load_policy()
    (errors,) = (one for one in policy.guardrails if one.name == "errors")
    assert isinstance(errors, CounterRatio)  # noqa: S101 - of the default file
    named = Segments(by="country", values=tuple(PARTS), share_of_alpha=SEGMENTS)
    segment = errors.model_copy(update={"segments": named}).each()[-1]
    needed, late = segment.needed(policy.alpha), policy.late_start
    begins = late.in_steps(policy.step) if late else None
    return lambda traffic: segment.first_breach(failed_users(traffic), needed, begins)


def countries(dice: Dice, together: Together) -> dict[str, tuple[Together, Users]]:
    """The users of each segment, and what makes their calls hang together."""
    users = draw_users(dice, replace(together, region=0), ERRORS, CALLS_A_SECOND)
    edges = np.cumsum([*PARTS.values()])
    place = np.searchsorted(edges, dice.random(together.users), side="right")
    unlucky = dice.choice(len(PARTS) + 1, p=[*PARTS.values(), 1 - edges[-1]])  # has the client that fails
    found = {}
    for number, name in enumerate(PARTS):
        mine = place == number
        dark = together.region > 0 and name == DARK
        world = replace(
            together,
            users=int(mine.sum()),
            bursts_an_hour=together.bursts_an_hour * PARTS[name],
            client=together.client if number == unlucky else 0,
            region=float(dark),
        )
        inside = np.full(world.users, dark)
        found[name] = world, Users(users.rate[mine], users.prone[mine], users.bucket[mine], inside)
    return found


def played(dice: Dice, of: tuple[Together, Users], stage: PlayedStage, errors: float) -> Traffic:
    """A stage of one segment, the champion's users in as many groups as the service counts."""
    world, users = of
    step = STEP_MINUTES * 60
    source = UserSource(
        world, users, CHAMPION, replace(CHAMPION, errors=errors), stage.share, step, np.array([])
    )
    traffic = source.play(dice, stage.lasts // timedelta(seconds=step))
    by_user = traffic.by_user
    assert by_user is not None  # noqa: S101 - there are users
    group = np.arange(BUCKETS - by_user.calls.shape[1], BUCKETS) * GROUPS // BUCKETS
    first = np.unique(group, return_index=True)[1]
    calls, bad = (np.add.reduceat(each, first, axis=1) for each in (by_user.calls, by_user.bad))
    return replace(traffic, by_user=replace(by_user, calls=calls, bad=bad))


def breached(world: str, number: int) -> str | None:
    """Where a segment of equal models is breached in the whole plan."""
    dice, judged = np.random.default_rng([32, number]), judge()
    people = countries(dice, WORLDS[world])
    for stage in RUNBOOK_PLAN:
        for name, of in people.items():
            if judged(played(dice, of, stage, ERRORS)) is not None:
                return f"{name} at {stage.share:.0%}"
    return None


def found_after(world: str, share: float, times: float, number: int) -> float:
    """Minutes until the smallest segment is breached that has so many times the errors; else infinite."""
    dice, name = np.random.default_rng([33, number]), next(iter(PARTS))
    of = countries(dice, WORLDS[world])[name]
    step = judge()(played(dice, of, PlayedStage(share, DAY), times * ERRORS))
    return np.inf if step is None else (step + 1) * STEP_MINUTES


def users() -> Iterator[str]:
    """What the worlds come to, line by line."""
    with ProcessPoolExecutor(2) as pool:
        for world in TOGETHER:
            wrong = [one for one in pool.map(partial(breached, world), range(ROLLOUTS), chunksize=10) if one]
            yield f"{world}: a segment of equal models in {len(wrong)} of {ROLLOUTS} rollouts {sorted(wrong)}"
        for world in ("independent", "dispersion-5", "dispersion-20"):
            for times in (15, 50):
                told = []
                for share in SHARES:
                    one = partial(found_after, world, share, times)
                    minutes = [*pool.map(one, range(HARMED), chunksize=10)]
                    told.append(f"{np.median(minutes):.1f} ({np.mean(np.isfinite(minutes)):.0%})")
                yield f"{world}: errors x{times} of {PARTS['NO']:.0%} of the users: {' / '.join(told)} min"


def stage(dice: np.random.Generator, part: float, share: float, worse: float, runs: int = 1) -> Counts:
    """What both models did for a part of the users; `worse`: the challenger's error rate there."""
    shape = runs, STEPS
    champion = dice.poisson(CALLS * part * (1 - share), shape)
    challenger = dice.poisson(CALLS * part * share, shape)
    return Counts(champion, dice.binomial(champion, ERRORS), challenger, dice.binomial(challenger, worse))


def minutes(counts: Counts, part_of_alpha: float) -> Values:
    """Until the breach in each run; infinite where there is none."""
    beyond = log_e(counts, at_least=0.001, late=LATE) >= -np.log(ALPHA * part_of_alpha)
    found: Values = np.where(beyond.any(-1), (beyond.argmax(-1) + 1) * STEP_MINUTES, np.inf)
    return found


def main() -> None:
    """Print both tables."""
    dice = np.random.default_rng(32)
    for worse in (0.15, 0.5, 1.0):
        for share in SHARES:
            few, rest = (
                stage(dice, part, share, bad, RUNS)
                for part, bad in ((OF_USERS, worse), (1 - OF_USERS, ERRORS))
            )
            champion, bad, challenger, bad_too = (
                one + other for one, other in zip(few.arms, rest.arms, strict=True)
            )
            alone = minutes(few, SEGMENTS / 3)
            together = minutes(Counts(champion, bad, challenger, bad_too), EVERYBODY)
            told = " / ".join(f"{np.median(each):.1f}" for each in (alone, together))
            print(f"{worse:.0%} at {share:.0%}: {told} min; segment first in {np.mean(alone < together):.0%}")
    for number, days in ((3, 100), (20, 40)):
        wrong = sum(
            any(
                np.isfinite(minutes(stage(dice, 1 / number, 0.05, ERRORS), SEGMENTS / number))[0]
                for _ in range(number)
            )
            for _ in range(days)
        )
        print(f"{number} segments of equal models: {wrong} of {days} days")
    for told in users():
        print(told, flush=True)


if __name__ == "__main__":
    main()
