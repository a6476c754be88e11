"""What is known at one moment, for the tables: a rollout that has all it needs, and what tests take away."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import numpy as np

from board.facts import Facts
from board.history import Counts, History, Span
from board.numbers import Numbers
from board.series import PLAN_SEEN, UP
from board.watch import Reading
from common.names import JobMetric, Model, Recorded
from flags.rollout.readings import Readings
from flags.rollout.situation import Situation
from rollback.guardrails.file import load_policy
from tests.unit.flags.rollout.scenes import GOOD, NOW, PLAN, at

POLICY = load_policy()
RECORDED = {
    (Recorded.REQUEST_RATE, Model.CHAMPION): 47.5,
    (Recorded.REQUEST_RATE, Model.CHALLENGER): 2.5,
    (Recorded.LATENCY_P99, Model.CHAMPION): 0.012,
    (Recorded.LATENCY_P99, Model.CHALLENGER): 0.014,
    (Recorded.ERROR_RATE, Model.CHAMPION): 0.0,
    (Recorded.AGREEMENT_RATE, ""): 0.97,
    (UP, ""): 1.0,
    (PLAN_SEEN, ""): NOW.timestamp(),
}
DOWN = "Prometheus at http://h:9090 cannot be reached: refused"


def numbers(readings: Readings = GOOD, **fields: Any) -> Numbers:
    """What Prometheus says."""
    told = Numbers(
        readings,
        NOW - timedelta(hours=3),
        {(str(name), str(model)): value for (name, model), value in RECORDED.items()},
        {("champion", "bought"): 9_500.0, ("challenger", "bought"): 450.4},
    )
    return replace(told, **fields)


def history(counts: Counts | None = None, **lines: list[float]) -> History:
    """Three points of a quarter of an hour; `lines` by `metric|of`."""
    last = int(NOW.timestamp())
    found = {
        (str(Recorded.REQUEST_RATE), "champion"): [50.0, 47.5, 47.5],
        (str(Recorded.REQUEST_RATE), "challenger"): [np.nan, 2.5, 2.5],
        (str(JobMetric.LOG_E), "errors"): [np.nan, -0.3, 1.2345678],
        (str(JobMetric.LOG_E_LIMIT), "errors"): [np.nan, 3.7, 3.7],
    }
    found |= {(key.split("|")[0], key.split("|")[1]): value for key, value in lines.items()}
    return History(
        Span.QUARTER,
        (last - 10, last - 5, last),
        {key: np.array(line) for key, line in found.items()},
        counts or Counts(),
    )


def facts(
    seen: Situation | None = None, *, told: Numbers | None = None, later: float = 0.0, **fields: Any
) -> Facts:
    """All sources up, 5% of the users; `later` seconds after they were read."""
    known = Facts(
        now=NOW + timedelta(seconds=later),
        plan=PLAN,
        policy=POLICY,
        flag="canary",
        environment="production",
        flag_page="http://unleash/projects/default/features/canary",
        unleash=Reading(seen or at(5), NOW),
        numbers=Reading(told or numbers(), NOW),
        history=Reading(history(), NOW),
        decision=Reading(None, NOW),
    )
    return replace(known, **fields)
