"""How soon harm to 2% of the users is found by the guardrail of their segment, and how often equal ones are.

    python -m bench.segments

50 requests a second with independent errors, steps of 15 s, a day; alpha of the default file. Two minutes.
"""

from typing import Final

import numpy as np

from common.e_process import LateStart, Values
from common.sequential import Counts, log_e

ALPHA, SEGMENTS, EVERYBODY = 0.1, 0.1, 0.15  # of the policy, and its parts of all segments and of `errors`
STEPS, CALLS, STEP_MINUTES = 5760, 750, 0.25
ERRORS, OF_USERS, RUNS = 0.01, 0.02, 40
LATE: Final = LateStart(240, 48, 0.15)
SHARES: Final = (0.01, 0.05, 0.25)


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


if __name__ == "__main__":
    main()
