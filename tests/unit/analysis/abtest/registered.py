"""Registered tests, and what the report of one sees."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from analysis.abtest.examine import Examined, ReportOptions, examine
from analysis.abtest.measure import loaded
from analysis.abtest.registration import PlannedUsers, Registration
from analysis.log import open_log
from analysis.metric import Direction, Metric
from tests.unit.analysis.abtest.logs import Visit, write_visits
from tests.unit.analysis.make_log import START

WHEN = datetime(2026, 11, 2, 8, 30, tzinfo=UTC)


def registration(**changes: Any) -> Registration:
    """A test of sales."""
    values: dict[str, Any] = {
        "name": "loan-4",
        "registered": WHEN,
        "by": "kim",
        "flag": "canary",
        "share": 50,
        "metric": Metric(name="bought", outcome="bought"),
        "baseline": 0.95,
        "effect": 0.02,
        "users": PlannedUsers(champion=2312, challenger=2312),
        "window": "7d",
        "covariate": "14d",
        "guardrails": [Metric(name="returned", outcome="returned", direction=Direction.DECREASE)],
    }
    return Registration.model_validate(values | changes)


RETURNED = Metric(name="returned", outcome="returned", direction=Direction.DECREASE)


def promised(**changes: Any) -> Registration:
    """A test of 150 users an arm from START on, each watched for a day."""
    values: dict[str, Any] = {
        "registered": START,
        "baseline": 0.5,
        "effect": 0.15,
        "users": PlannedUsers(champion=150, challenger=150),
        "window": "1d",
        "covariate": None,
        "guardrails": [],
    }
    return registration(**(values | changes))


def read(
    folder: Path, visits: list[Visit], test: Registration | None = None, *, day: float = 8, **options: Any
) -> Examined:
    """What the report of a day sees."""
    test = test or promised()
    log = loaded(open_log(str(write_visits(folder, visits))), segment=True)
    until = options.pop("until", START + timedelta(days=day))
    return examine(
        log, test, options.pop("sha256", test.sha256), ReportOptions(until=until, **options), until
    )
