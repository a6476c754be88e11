"""Shadow records with the probability of the chosen class, as the service writes them."""

import math
from datetime import timedelta
from typing import Any

import numpy as np

from tests.unit.analysis.make_log import START, Record, stamp


def shadow_records(
    count: int,
    *,
    seed: int = 1,
    shift: float = 0.2,
    harmed: str | None = None,
    failing: float = 0.02,
    regressor: bool = False,
    version: str = "4",
    hours: float = 1.0,
    level: float = 0.4,
    surer: float = 1.0,
    slower: float = 2.0,
) -> list[Record]:
    """`count` records, one every `hours`; where country is `harmed` the challenger differs much more.

    Args:
        level: mean log odds of the champion's "yes".
        surer: the challenger's log odds are this many times as large: the same class, another probability.
        slower: times the champion's seconds.
    """
    rng = np.random.default_rng(seed)
    records = []
    for number in range(count):
        country = str(rng.choice(["NO", "SE", "DE"], p=[0.5, 0.3, 0.2]))
        ours = float(rng.normal(level, 1.5))
        theirs = surer * ours + float(rng.normal(shift, 0.3)) + (1.5 if country == harmed else 0)
        error = str(rng.choice(["timeout", "invalid"])) if rng.random() < failing else None
        answers = [_answer(each, regressor) for each in (ours, theirs)]
        if error:
            answers[1] = dict.fromkeys(answers[1])
        agree: bool | None = None
        if not error and regressor:
            agree = abs(answers[0]["prediction"] - answers[1]["prediction"]) < 10
        elif not error:
            agree = answers[0]["class_name"] == answers[1]["class_name"]
        records.append(
            {
                "schema": 1,
                "time": stamp(START + timedelta(hours=hours * number)),
                "kind": "shadow",
                "request_id": f"r{number}",
                "user": None if rng.random() < 0.1 else f"u{rng.integers(max(count // 4, 1))}",
                "context": {"country": country, "app": "web"},
                "champion": {
                    "name": "loan",
                    "version": "3",
                    "seconds": round(float(rng.exponential(0.01)), 6),
                }
                | answers[0],
                "challenger": {
                    "name": "loan",
                    "version": version,
                    "seconds": None if error else round(float(rng.exponential(0.01 * slower)), 6),
                }
                | answers[1],
                "agree": agree,
                "error": error,
            }
        )
    return records


def _answer(logit: float, regressor: bool) -> dict[str, Any]:
    if regressor:
        return {"class_name": None, "prediction": round(100 + 15 * logit, 3), "probability": None}
    yes = round(1 / (1 + math.exp(-logit)), 3)  # round, so that values come more than once
    return {
        "class_name": "yes" if yes >= 0.5 else "no",
        "prediction": int(yes >= 0.5),
        "probability": max(yes, round(1 - yes, 3)),
    }
