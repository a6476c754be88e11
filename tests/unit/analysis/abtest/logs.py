"""Logs of tests, quickly made: users, arms and outcomes as a list of who did what when."""

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tests.unit.analysis.make_log import START, LogPlan, Record, feedback, prediction, write_log


class Visit(NamedTuple):
    """A user's request, in days after START, and what came of it so many days later (None: nothing)."""

    user: str
    day: float
    arm: str
    outcome: float | None = None
    name: str = "bought"
    value: float | None = None
    country: str = "NO"
    answered: str | None = None
    version: str = "1"
    share: float | None = None


def write_visits(folder: Path, visits: Sequence[Visit]) -> Path:
    """Write the log of `visits`."""
    dice, plan, records = np.random.default_rng(1), LogPlan(), list[Record]()
    for number, visit in enumerate(visits):
        time = START + timedelta(days=visit.day)
        record = prediction(plan, dice, visit.user, {"country": visit.country}, visit.arm, time)
        model = visit.answered or visit.arm
        record |= {"request_id": str(number), "model": model, "model_version": visit.version}
        if visit.share is not None:
            record["share"] = visit.share
        records.append(record | {"model_name": model})
        if visit.outcome is not None:
            told = time + timedelta(days=visit.outcome)
            records.append(
                feedback(told, visit.name, request_id=str(number), value=visit.value, assigned=visit.arm)
            )
    return write_log(folder, sorted(records, key=lambda record: str(record["time"])))


def crowd(
    seed: int,
    users: int,
    champion: float,
    challenger: float,
    *,
    share: float = 0.5,
    days: float = 7,
    name: str = "bought",
) -> list[Visit]:
    """Users who come once, evenly over the days, and have the outcome within hours or not at all."""
    dice, visits = np.random.default_rng(seed), []
    arms = dice.random(users) < share
    for number in range(users):
        arm = "challenger" if arms[number] else "champion"
        happens = dice.random() < (challenger if arms[number] else champion)
        visits.append(Visit(f"u{number}", days * number / users, arm, 0.1 if happens else None, name))
    return visits


def covered(challenger_before: bool) -> list[Visit]:
    """Half of the users always buy and half never do, before and in the test; the challenger loses a few."""
    visits = []
    for number in range(400):
        arm, buys = ("challenger" if number % 2 else "champion"), number % 4 < 2
        early = arm if challenger_before and number >= 200 else "champion"
        visits.append(Visit(f"u{number}", -2 + number / 400, early, 0.1 if buys else None))
        loses = arm == "challenger" and number % 32 == 1
        visits.append(Visit(f"u{number}", 6 * number / 400, arm, 0.1 if buys and not loses else None))
    return visits
