"""`./canario rollout plan`: the table before the start. Asks no Unleash, and Prometheus at most."""

import json
import math
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import click

from common.arms import Arms, MissingSignal
from common.config import PrometheusUrl, StrictModel, load_settings
from common.names import Model
from common.prometheus import Prometheus
from common.rollouts import choose
from common.selector import DEFAULT, Matchers
from flags.cli.group import PLAN_FILE, ROLLOUT, said_by
from flags.rollout.settings import PlannedFile, plan_of
from flags.unleash.errors import FlagError

LAST_DAY: Final = "[1d:5m]"


class PlanSettings(StrictModel):
    """What `plan` reads from the environment."""

    prometheus_url: PrometheusUrl | None = None
    selector: Matchers = DEFAULT


@click.command("plan")
@ROLLOUT
@PLAN_FILE
@click.option("--guardrails", type=click.Path(path_type=Path), help="That the job will judge by.")
@click.option(
    "--rate",
    type=click.FloatRange(0, min_open=True),
    help="Requests a second; default: the last day's in Prometheus.",
)
@click.option("--users", type=click.FloatRange(0), help="Users a day; Prometheus does not count them.")
@click.option(
    "--errors",
    type=click.FloatRange(0, 0.5),
    help="The champion's share of failed calls; default: the last day's, or 0.01.",
)
@click.option(
    "--outcomes", type=click.FloatRange(0), help="Feedback a day; default: the last day's in Prometheus."
)
@click.option(
    "--accuracy",
    type=click.FloatRange(0.01, 0.999),
    default=0.9,
    show_default=True,
    help="The champion's share of right outcomes.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def plan_(  # noqa: PLR0913, PLR0917 - one for each option
    rollout_name: str | None,
    file: Path | None,
    guardrails: Path | None,
    rate: float | None,
    users: float | None,
    errors: float | None,
    outcomes: float | None,
    accuracy: float,
    as_json: bool,
) -> None:
    """Show before the start what the plan exposes, what it can see, and how long it takes.

    Detected means: in four of five runs. The smallest errors, slow and wrong answers are shares of the
    challenger's calls; a slow one takes longer than the champion's p99 times the guardrail's margin.
    """
    # The other commands do without the guardrails and their statistics, which take half a second to load.
    from rollback.rollouts import GuardedFile, policy_of  # noqa: PLC0415
    from rollback.simulate.forecast import DAY, ExpectedTraffic, fields, foresee, show  # noqa: PLC0415

    environment = {**os.environ, **said_by(file)}
    plan = plan_of(choose(PlannedFile, "flags", rollout_name, environment))
    guarded = choose(GuardedFile, "flags", rollout_name, environment)
    policy = policy_of(guarded, guardrails, guarded.file.signals.canonical())
    settings, part = load_settings(PlanSettings, guarded.environment), guarded.file.flag
    arms = guarded.arms(part.name, part.environment, settings.selector)
    asked = Prometheus(settings.prometheus_url.get_secret_value()) if settings.prometheus_url else None
    found_rate = rate or _last_day(asked, arms, "assignments")
    if not found_rate:
        raise FlagError("today's traffic is not known: give --rate, or set CANARIO_PROMETHEUS_URL")
    a_day = outcomes / DAY if outcomes is not None else None
    traffic = ExpectedTraffic(
        rate=found_rate,
        users=users,
        errors=errors if errors is not None else _errors(asked, arms),
        outcomes=a_day if a_day is not None else _last_day(asked, arms, "outcomes") or 0.0,
        accuracy=accuracy,
    )
    outlooks = foresee(plan, traffic, policy, datetime.now(UTC))
    if as_json:
        click.echo(json.dumps(fields(outlooks, traffic), indent=2))
        return
    show(outlooks, traffic, policy)


def _last_day(prometheus: Prometheus | None, arms: Arms, signal: str) -> float | None:
    """How often a second, on the average; None where nobody can tell."""
    try:
        query = f"sum(rate({arms.of(arms.signals.of(signal))}[5m]))"
    except MissingSignal:
        return None
    found = prometheus.instant(f"avg_over_time(({query}){LAST_DAY})") if prometheus else None
    return found if found is not None and math.isfinite(found) else None


def _errors(prometheus: Prometheus | None, arms: Arms) -> float:
    """The champion's share of failed calls."""
    only = arms.only(Model.CHAMPION)
    try:
        bad, every = (arms.of(arms.signals.of(name), only) for name in ("errors", "calls"))
    except MissingSignal:
        return 0.01
    query = f"sum(increase({bad}[1d])) / sum(increase({every}[1d]))"
    found = prometheus.instant(query) if prometheus else None
    return 0.01 if found is None or not math.isfinite(found) else min(found, 0.5)
