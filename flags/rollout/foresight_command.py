"""`python -m flags rollout plan`: the table before the start. Asks no Unleash, and Prometheus at most."""

import json
import math
import os
from pathlib import Path
from typing import Final

import click

from common.address import PrometheusUrl
from common.config import StrictModel, load_settings
from common.names import Metric, Model
from common.prometheus import Prometheus
from common.selector import DEFAULT, Matchers
from flags.errors import FlagError
from flags.report import print_table
from flags.rollout.foresight import (
    DAY,
    GUARDRAILS,
    Outlook,
    Policy,
    Traffic,
    days_to_all,
    fields,
    foresee,
    length,
    load_policy,
    percent,
)
from flags.rollout.schema import DEFAULT_FILE, load_plan

LAST_DAY: Final = "[1d:5m]"


class PlanSettings(StrictModel):
    """What `plan` reads from the environment."""

    rollout_plan: Path = DEFAULT_FILE
    prometheus_url: PrometheusUrl | None = None
    selector: Matchers = DEFAULT


@click.command("plan")
@click.option("--plan", "file", type=click.Path(path_type=Path), help="Instead of CANARIO_ROLLOUT_PLAN.")
@click.option(
    "--guardrails", type=click.Path(path_type=Path), default=GUARDRAILS, help="That the job will judge by."
)
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
    file: Path | None,
    guardrails: Path,
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
    settings = load_settings(PlanSettings, {**os.environ})
    plan = load_plan(file or settings.rollout_plan)
    policy = load_policy(guardrails)
    asked = Prometheus(settings.prometheus_url.get_secret_value()) if settings.prometheus_url else None
    found_rate = rate or _last_day(asked, f"sum(rate({Metric.ASSIGNMENTS}{{{settings.selector}}}[5m]))")
    if not found_rate:
        raise FlagError("today's traffic is not known: give --rate, or set CANARIO_PROMETHEUS_URL")
    a_day = outcomes / DAY if outcomes is not None else None
    traffic = Traffic(
        rate=found_rate,
        users=users,
        errors=errors if errors is not None else _errors(asked, settings.selector),
        outcomes=a_day
        if a_day is not None
        else _last_day(asked, f"sum(rate({Metric.OUTCOMES}{{{settings.selector}}}[5m]))") or 0.0,
        accuracy=accuracy,
    )
    outlooks = foresee(plan, traffic, policy)
    if as_json:
        click.echo(json.dumps(fields(outlooks, traffic), indent=2))
        return
    _show(outlooks, traffic, policy)


def _last_day(prometheus: Prometheus | None, query: str) -> float | None:
    if prometheus is None:
        return None
    found = prometheus.instant(f"avg_over_time(({query}){LAST_DAY})")
    return found if found is not None and math.isfinite(found) else None


def _errors(prometheus: Prometheus | None, selector: str) -> float:
    of_champion = f'{{{selector}, model="{Model.CHAMPION}"}}[1d]'
    query = f"sum(increase({Metric.ERRORS}{of_champion})) / sum(increase({Metric.CALLS}{of_champion}))"
    found = prometheus.instant(query) if prometheus else None
    return 0.01 if found is None or not math.isfinite(found) else min(found, 0.5)


def _show(outlooks: tuple[Outlook, ...], traffic: Traffic, policy: Policy) -> None:
    rows = [_row(one, traffic) for one in outlooks]
    print_table(
        ("stage", "lasts", "requests", "users", "worst case", "errors", "slow", "wrong", "errors x2"), rows
    )
    print()
    of_users = "" if traffic.users is None else f", {traffic.users:,.0f} users a day"
    print(f"{traffic.rate:.3g} requests a second{of_users}; the champion fails {percent(traffic.errors)}.")
    print(
        "errors, slow, wrong: the smallest share of the challenger's calls that the stage finds, in four runs"
        f" of five;\nslow is beyond {policy.margin:g} times the champion's p99 (1% of its own calls at most),"
        f" wrong is against an accuracy\nof {percent(traffic.accuracy)}. errors x2: how soon twice the"
        " champion's errors are found. Worst case: every call fails."
    )
    for one in outlooks:
        if one.honest:
            print(f"! {one.honest}")
    if not traffic.outcomes:
        print("! no feedback comes in, so no stage can see a model that answers wrongly: POST /feedback")
    if traffic.users is None:
        print("! how many users these are is not known: give --users, those of a day")
    print(
        f"{length(DAY * days_to_all(outlooks))} until all users have the challenger,"
        f" {length(sum(one.seconds for one in outlooks))} until it may be the champion"
    )


def _row(one: Outlook, traffic: Traffic) -> tuple[str, ...]:
    lasts = length(one.seconds)
    if not one.stage.share:
        return (one.stage.name, lasts, "0", "0", "-", "-", "-", "-", "-")
    beside = one.stage.share < 100
    worst = f"{one.worst_requests:,.0f} requests in {length(one.rollback_seconds)}"
    if one.worst_users is not None:
        users = math.ceil(one.worst_users)
        worst = f"{users:,} user{'s' if users != 1 else ''}, {worst}"
    return (
        (
            one.stage.name,
            lasts,
            f"{one.requests:,.0f}",
            "?" if one.users is None else f"{one.users:,.0f}",
            worst,
            percent(one.errors) if one.errors else "none",
            percent(one.slow) if one.slow else "none",
            percent(one.wrong) if one.wrong else "none" if traffic.outcomes else "-",
            length(one.doubled_errors_seconds),
        )
        if beside
        else (
            one.stage.name,
            lasts,
            f"{one.requests:,.0f}",
            "?" if one.users is None else f"{one.users:,.0f}",
            worst,
            "fixed limits only",
            "fixed limits only",
            "-",
            "-",
        )
    )
