"""`./canario rollout`: the plan from the command line, and the job that carries it out."""

import json
from collections.abc import Callable
from datetime import timedelta
from functools import wraps
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import click

from common.errors import CanarioError
from common.options import DurationType, SettingsGroup
from flags.canary import marks, share
from flags.canary.history import history
from flags.cli.forecast import plan_
from flags.cli.group import (
    ANY_SHARE,
    AS_JSON,
    FOR_HISTORY,
    OVERRIDE,
    PLAN_FILE,
    ROLLOUT,
    WHY,
    let_go_on,
    note,
    require_flag,
    said_by,
)
from flags.cli.status import show_status
from flags.rollout.controller import RolloutIteration, advance, look_and_decide, told_promotion
from flags.rollout.decide import StepKind
from flags.rollout.job import run_job
from flags.rollout.report import fields, sentence
from flags.rollout.settings import (
    RolloutJobSettings,
    RolloutSettings,
    one,
    promoter_of,
    required_promoter,
)
from flags.rollout.situation import Rollout
from flags.settings import FlagsSettings
from flags.unleash.errors import FlagError

EXIT_WAITS: Final = 11
EXIT_REFUSES: Final = 12
CODES: Final = {StepKind.WAIT: EXIT_WAITS, StepKind.REFUSE: EXIT_REFUSES}

EPILOG: Final = """\b
To promote it needs CANARIO_MODELS, CANARIO_SERVICE_URL and CANARIO_ADMIN_TOKEN;
without CANARIO_PROMETHEUS_URL no condition that counts or measures is met.

\b
Exit codes of `advance` without --every:
   0  the next stage has started, or the challenger was promoted, or the plan is through
  11  it waits for conditions; nothing to do
  12  it refuses: a person, a rollback or an odd flag stands against it
 and those of `python -m flags` (2, 3, 4, 5)
"""


def _with_rollout(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the rollout and the settings that it was made of."""

    @ROLLOUT
    @PLAN_FILE
    @wraps(command)
    def wrapped(rollout_name: str | None, file: Path | None, **rest: Any) -> None:
        found = one(rollout_name, said_by(file))
        command(found.rollout(), found.settings, **rest)

    return wrapped


@click.group("rollout", cls=SettingsGroup, settings=RolloutJobSettings, beside=FlagsSettings, epilog=EPILOG)
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
    """Show the stage, what comes next and when, conditions, safety timeout, and who changed what."""
    found = look_and_decide(rollout)
    if as_json:
        click.echo(json.dumps(fields(rollout.plan, found), indent=2))
    else:
        show_status(rollout.plan, found)


@rollout.command("advance")
@ROLLOUT
@PLAN_FILE
@click.option(
    "--every", type=DurationType(), metavar="1m", help="Repeat until SIGTERM or SIGINT; exit 0 then."
)
@OVERRIDE
@AS_JSON
def advance_(
    rollout_name: str | None, file: Path | None, every: timedelta | None, override: str | None, as_json: bool
) -> None:
    """Go to the next stage if all conditions are met; else say which one waits for what, and until when.

    One idempotent step, for cron; with --every it is the loop itself. It may be killed, restarted and run
    twice at any moment, and the rollback job neither waits for it nor knows of it. With --every it carries
    out the plans of all rollouts side by side, and follows their files; without, it is about one.
    """
    if every:
        if override or as_json:
            raise click.UsageError("--override and --json are for one step, without --every")
        run_job(every, rollout_name, said_by(file))
    meant = one(rollout_name, said_by(file), program="rollout")
    rollout = meant.rollout()
    found = advance(rollout, promoter_of(meant.settings, rollout), override=override)
    click.echo(json.dumps(fields(rollout.plan, found), indent=2) if as_json else sentence(found))
    raise click.exceptions.Exit(CODES.get(found.step.kind, 0) if found.done is None else 0)


@rollout.command("stages")
@_with_rollout
@AS_JSON
def stages_(rollout: Rollout, _: RolloutSettings, as_json: bool) -> None:
    """Print when the flag got which share, as `./canario report abtest report` takes it.

    From Unleash's event log. That nobody had the challenger while a safety timeout was over is not in it.
    """
    every = history(rollout.admin, rollout.flag)
    shares = [(each.at, each.after.reach) for each in every if each.before.reach != each.after.reach]
    if as_json:
        click.echo(json.dumps([{"from": at.isoformat(), "share": percent} for at, percent in shares]))
        return
    for at, percent in shares:
        click.echo(f"--stage {at.isoformat(timespec='seconds')}={percent}")


@rollout.command("begin")
@_with_rollout
def begin_(rollout: Rollout, _: RolloutSettings) -> None:
    """Let `advance` carry the challenger of now to the users, from where it stands.

    The approval is for this version alone: the next challenger needs one of its own. Changes no share. What
    the plan refuses is not approved: exit code 4.
    """
    seen = _unrefused(rollout, "not begun").seen
    if seen.no_challenger:
        raise FlagError("there is no challenger to begin with: `./canario models challenger FOLDER`")
    if seen.version is None:
        why = seen.readings.fault or "none serves"
        raise FlagError(f"which challenger is deployed is not known ({why}): set CANARIO_MODELS")
    marks.approve_start(rollout.admin, rollout.flag, seen.version)
    click.echo(sentence(look_and_decide(rollout)))


@rollout.command("pause")
@_with_rollout
@WHY
def pause_(rollout: Rollout, _: RolloutSettings, reason: str) -> None:
    """Leave the share as it is: `advance` waits until `resume`. The rollback job goes on guarding."""
    require_flag(rollout.admin, rollout.flag)
    marks.pause(rollout.admin, rollout.flag, reason)
    click.echo(f"{rollout.flag}: paused: {reason}")


@rollout.command("resume")
@_with_rollout
@WHY
def resume_(rollout: Rollout, _: RolloutSettings, reason: str) -> None:
    """Let `advance` go on after a pause, an abort, or a share that a person lowered. Changes no share."""
    flags = [rollout.flag] + ([rollout.shadow_flag] if rollout.plan.shadow else [])
    for flag in flags:
        let_go_on(rollout.admin, flag, reason, after_pause=True)
    found = look_and_decide(rollout)
    if found.step.kind is StepKind.REFUSE:  # for another reason than the one that is gone now
        click.echo(f"{rollout.flag}: resumed: {reason}")
        click.echo(f"! the plan stands still all the same: {found.step.sentence}", err=True)
    else:
        click.echo(sentence(found))


@rollout.command("approve")
@click.argument("stage")
@click.option(
    "--without-evidence",
    is_flag=True,
    help="Answer for what the plan cannot prove: that the challenger is no worse.",
)
@_with_rollout
def approve_(rollout: Rollout, _: RolloutSettings, stage: str, without_evidence: bool) -> None:
    """Approve the start of STAGE, such as 25%, where the plan asks for approval."""
    stages = rollout.plan.stages
    names = [one.name for one in stages if one.approval]
    if without_evidence:
        names = [after.name for before, after in pairwise(stages) if before.no_worse]
    if stage not in names:
        asks = "evidence before" if without_evidence else "approval of"
        raise click.UsageError(f"the plan asks for {asks} {', '.join(names) or 'no stage'}, not {stage}")
    following = _unrefused(rollout, f"{stage} is not approved").step.position.following
    if following is None or following.name != stage:
        comes = following.name if following else "the promotion"
        raise FlagError(
            f"{comes} comes next, and an approval of {stage} counts only when {stage} does: nothing was"
            " recorded. `./canario rollout status` tells when"
        )
    marks.approve(
        rollout.admin, rollout.flag, f"{stage} {marks.WITHOUT_EVIDENCE}" if without_evidence else stage
    )
    click.echo(sentence(look_and_decide(rollout)))


@rollout.command("promote")
@_with_rollout
@ANY_SHARE
@FOR_HISTORY
def promote_(rollout: Rollout, settings: RolloutSettings, any_share: bool, reason: str) -> None:
    """Make the challenger the champion and set the flag to 0%; the old champion stays for `abort`.

    Refuses a blocked version.
    """
    promoter = required_promoter(settings, rollout)
    found = look_and_decide(rollout)
    if found.step.kind is StepKind.REFUSE and found.seen.canary.quarantined:
        raise FlagError(found.step.sentence)
    done = promoter.promote(note(reason), expect=None if any_share else 100)
    # The share went to 0 by this order; without a word the next challenger would wait for one.
    marks.resume(rollout.admin, rollout.flag, reason or "promoted")
    click.echo(told_promotion(done))


@rollout.command("abort")
@_with_rollout
@WHY
def abort_(rollout: Rollout, settings: RolloutSettings, reason: str) -> None:
    """Roll the challenger back for everybody at once, and pause the plan.

    A challenger loses its users: the flag goes off. One that was promoted loses its role: the champion before
    it serves again.
    """
    state = share.turn_off(rollout.admin, rollout.flag)
    click.echo(f"{state.flag} is off: every user gets the champion")
    unpaused = None
    try:
        marks.pause(rollout.admin, rollout.flag, reason)
    except CanarioError as error:  # the users are what counts: first the models go back
        unpaused = error
    if promoter_of(settings, rollout) is not None and look_and_decide(rollout).seen.models.promoted:
        done = required_promoter(settings, rollout).back(note(reason))
        click.echo(f"{done.release.roles.champion} is the champion again, after {done.seconds:.1f} s")
    if unpaused is not None:
        told = 'the plan is NOT paused: run `./canario rollout pause --reason "..."`'
        click.echo(f"error: {told}", err=True)
        raise unpaused


def _unrefused(rollout: Rollout, what: str) -> RolloutIteration:
    """Where the rollout stands. Raises FlagError where the plan refuses to go on: it names what helps."""
    require_flag(rollout.admin, rollout.flag)
    found = look_and_decide(rollout)
    if found.step.kind is StepKind.REFUSE:
        raise FlagError(f"{what}, and nothing was recorded: {found.step.sentence}")
    return found
