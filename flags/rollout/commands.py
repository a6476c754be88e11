"""`python -m flags rollout`: the plan from the command line, and the job that carries it out."""

import getpass
import json
import os
from collections.abc import Callable
from datetime import timedelta
from functools import wraps
from pathlib import Path
from typing import Any, Final

import click

from common.config import load_settings
from common.errors import CanarioError
from common.options import DurationType
from common.release import Note
from flags import canary, marks, people
from flags.commands import AS_JSON, OVERRIDE, WHY
from flags.errors import FlagError
from flags.rollout.advance import Outcome, advance, look_and_decide, told_promotion
from flags.rollout.decide import Kind
from flags.rollout.document import fields
from flags.rollout.foresight_command import plan_
from flags.rollout.job import run_job
from flags.rollout.look import Rollout
from flags.rollout.report import sentence, show_status
from flags.rollout.settings import (
    RolloutJobSettings,
    RolloutSettings,
    promoter_of,
    required_promoter,
    rollout_of,
)
from flags.snapshot import require_present, take

EXIT_WAITS: Final = 11
EXIT_REFUSES: Final = 12
CODES: Final = {Kind.WAIT: EXIT_WAITS, Kind.REFUSE: EXIT_REFUSES}

EPILOG: Final = """\b
Environment, beside that of `python -m flags`:
  CANARIO_ROLLOUT_PLAN     file of the plan; default: the rollout.yaml of this package
  CANARIO_PROMETHEUS_URL   without it every gate that counts or measures is shut
  CANARIO_SELECTOR         the service's series there; default: job="service"
  CANARIO_CANARY_FLAG, CANARIO_SHADOW_FLAG     default: canary, shadow
  CANARIO_MODELS, CANARIO_SERVICE_URL, CANARIO_ADMIN_TOKEN   to promote
  CANARIO_ROLLOUT_METRICS_BIND   address and port of the job's own metrics (with --every)
  CANARIO_ROLLOUT_SPEED    for drills: how many times faster the plan's times pass

\b
Exit codes of `advance` without --every:
   0  the next stage has begun, or the challenger was promoted, or the plan is through
  11  it waits for gates; nothing to do
  12  it refuses: a person, a rollback or an odd flag stands against it
 and those of `python -m flags` (2, 3, 4, 5)
"""


def _with_rollout(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the rollout and the settings that it was made of."""

    @click.option(
        "--plan", "file", type=click.Path(path_type=Path), help="File, instead of CANARIO_ROLLOUT_PLAN."
    )
    @wraps(command)
    def wrapped(file: Path | None, **rest: Any) -> None:
        told = {"CANARIO_ROLLOUT_PLAN": str(file)} if file else {}
        settings = load_settings(RolloutSettings, {**os.environ, **told})
        command(rollout_of(settings), settings, **rest)

    return wrapped


@click.group("rollout", epilog=EPILOG)
def rollout() -> None:
    """A challenger's way to all users: stages that follow each other by themselves, and people that win.

    Nothing is remembered: the stage is the flag's share, its history is Unleash's event log. What a person
    changes in the Unleash UI is the new stage; what a person lowers stays until `resume`.
    """


rollout.add_command(plan_)


@rollout.command("status")
@_with_rollout
@AS_JSON
def status_(rollout: Rollout, _: RolloutSettings, as_json: bool) -> None:
    """Show the stage, what comes next and when, each gate, the lease, quarantine, and who changed what."""
    found = look_and_decide(rollout)
    if as_json:
        click.echo(json.dumps(fields(rollout.plan, found), indent=2))
    else:
        show_status(rollout.plan, found)


@rollout.command("advance")
@_with_rollout
@click.option(
    "--every", type=DurationType(), metavar="1m", help="Repeat until SIGTERM or SIGINT; exit 0 then."
)
@OVERRIDE
@AS_JSON
def advance_(
    rollout: Rollout,
    settings: RolloutSettings,
    every: timedelta | None,
    override: str | None,
    as_json: bool,
) -> None:
    """Go to the next stage if all gates hold; else say which gate waits for what, and until when.

    One idempotent step, for cron; with --every it is the loop itself. It may be killed, restarted and run
    twice at any moment, and the rollback job neither waits for it nor knows of it.
    """
    promoter = promoter_of(settings, rollout)
    if every:
        if override or as_json:
            raise click.UsageError("--override and --json are for one step, without --every")
        run_job(lambda: advance(rollout, promoter), every, load_settings(RolloutJobSettings))
    found = advance(rollout, promoter, override=override)
    click.echo(json.dumps(fields(rollout.plan, found), indent=2) if as_json else sentence(found))
    raise click.exceptions.Exit(CODES.get(found.step.kind, 0) if found.done is None else 0)


@rollout.command("begin")
@_with_rollout
def begin_(rollout: Rollout, _: RolloutSettings) -> None:
    """Let `advance` carry the challenger of now to the users, from where it stands.

    The approval is for this version alone: the next challenger needs one of its own. Changes no share. What
    the plan refuses is not approved: exit code 4.
    """
    seen = _unrefused(rollout, "not begun").seen
    if seen.no_challenger:
        raise FlagError("there is no challenger to begin with: `python -m flags models challenger FOLDER`")
    if seen.version is None:
        why = seen.readings.fault or "none serves"
        raise FlagError(f"which challenger is deployed is not known ({why}): set CANARIO_MODELS")
    marks.begin(rollout.admin, rollout.flag, seen.version)
    click.echo(sentence(look_and_decide(rollout)))


@rollout.command("pause")
@_with_rollout
@WHY
def pause_(rollout: Rollout, _: RolloutSettings, reason: str) -> None:
    """Leave the share as it is: `advance` waits until `resume`. The rollback job goes on guarding."""
    require_present(take(rollout.admin, rollout.flag))
    marks.pause(rollout.admin, rollout.flag, reason)
    click.echo(f"{rollout.flag}: paused: {reason}")


@rollout.command("resume")
@_with_rollout
@WHY
def resume_(rollout: Rollout, _: RolloutSettings, reason: str) -> None:
    """Let `advance` go on after a pause, an abort, or a share that a person lowered. Changes no share."""
    flags = [rollout.flag] + ([rollout.shadow_flag] if rollout.plan.shadow else [])
    for flag in flags:
        require_present(take(rollout.admin, flag))
        marks.unpause(rollout.admin, flag)
        people.resume(rollout.admin, flag, reason)
    found = look_and_decide(rollout)
    if found.step.kind is Kind.REFUSE:  # for another reason than the one that is gone now
        click.echo(f"{rollout.flag}: resumed: {reason}")
        click.echo(f"! the plan stands still all the same: {found.step.sentence}", err=True)
    else:
        click.echo(sentence(found))


@rollout.command("approve")
@click.argument("stage")
@_with_rollout
def approve_(rollout: Rollout, _: RolloutSettings, stage: str) -> None:
    """Give the word that STAGE, such as 25%, may begin, where the plan asks for one."""
    names = [one.name for one in rollout.plan.stages if one.approval]
    if stage not in names:
        raise click.UsageError(f"the plan asks for a word for {', '.join(names) or 'no stage'}, not {stage}")
    following = _unrefused(rollout, f"{stage} is not approved").step.place.following
    if following is None or following.name != stage:
        comes = following.name if following else "the promotion"
        raise FlagError(
            f"{comes} comes next, and an approval of {stage} counts only when {stage} does: nothing was"
            " recorded. `python -m flags rollout status` tells when"
        )
    marks.approve(rollout.admin, rollout.flag, stage)
    click.echo(sentence(look_and_decide(rollout)))


@rollout.command("promote")
@_with_rollout
@click.option("--any-share", is_flag=True, help="At once, also before the challenger has 100%.")
@click.option("--reason", default="", help="Why, for whoever reads the history.")
def promote_(rollout: Rollout, settings: RolloutSettings, any_share: bool, reason: str) -> None:
    """Make the challenger the champion and set the flag to 0%; the old champion stays for `abort`.

    Refuses a version in quarantine.
    """
    promoter = required_promoter(settings, rollout)
    found = look_and_decide(rollout)
    if found.step.kind is Kind.REFUSE and found.seen.canary.quarantined:
        raise FlagError(found.step.sentence)
    done = promoter.promote(Note(_who(), reason), expect=None if any_share else 100)
    # The share went to 0 by this order; without a word the next challenger would wait for one.
    people.resume(rollout.admin, rollout.flag, reason or "promoted")
    click.echo(told_promotion(done))


@rollout.command("abort")
@_with_rollout
@WHY
def abort_(rollout: Rollout, settings: RolloutSettings, reason: str) -> None:
    """Take the new model away from everybody at once, and pause the plan.

    A challenger loses its users: the flag goes off. One that was promoted loses its role: the champion before
    it serves again.
    """
    state = canary.turn_off(rollout.admin, rollout.flag)
    click.echo(f"{state.flag} is off: every user gets the champion")
    unpaused = None
    try:
        marks.pause(rollout.admin, rollout.flag, reason)
    except CanarioError as error:  # the users are what counts: first the models go back
        unpaused = error
    if promoter_of(settings, rollout) is not None and look_and_decide(rollout).seen.models.promoted:
        done = required_promoter(settings, rollout).back(Note(_who(), reason))
        click.echo(f"{done.release.roles.champion} is the champion again, after {done.seconds:.1f} s")
    if unpaused is not None:
        told = 'the plan is NOT paused: run `python -m flags rollout pause --reason "..."`'
        click.echo(f"error: {told}", err=True)
        raise unpaused


def _unrefused(rollout: Rollout, what: str) -> Outcome:
    """Where the rollout stands. Raises FlagError where the plan refuses to go on: it names what helps."""
    require_present(take(rollout.admin, rollout.flag))
    found = look_and_decide(rollout)
    if found.step.kind is Kind.REFUSE:
        raise FlagError(f"{what}, and nothing was recorded: {found.step.sentence}")
    return found


def _who() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a user without a name, in a container
        return f"user {os.getuid()}"
