"""An iteration of the rollout plan, carried out so that no person is overruled, however unlucky the moment.

A share is written only from the value that was seen (Unleash compares), the switch is turned on only where it
was seen off and nobody had turned it off, and afterwards the history is read again: where a person lowered
the share in the same moment, what was just raised is taken back. What Unleash lost of their change because
both wrote at once is put back (flags.canary.writes), also after an iteration that was ended in between.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace

from common.release import Note
from flags.accounts.users import ROLLOUT_USER
from flags.canary.history import Change, history
from flags.canary.share import read_state, set_share, turn_off
from flags.canary.writes import change_parameter, put_back
from flags.promotion.promote import Done, Promoter
from flags.rollout.decide import Step, StepKind, decide
from flags.rollout.schema import Stage
from flags.rollout.situation import Rollout, Situation
from flags.unleash.errors import ChangedMeanwhile, FlagError, NotFound

MakePromoter = Callable[[], Promoter]


@dataclass(frozen=True)
class RolloutIteration:
    """What was seen, decided and done.

    Attributes:
        step: what was decided, on `seen`.
        done: what was done, for people; None where nothing was to be done.
    """

    step: Step
    seen: Situation
    done: str | None = None


def advance(
    rollout: Rollout, promoter: MakePromoter | None = None, *, override: str | None = None
) -> RolloutIteration:
    """Take one step, or none. Doing it twice, or two at once, is as doing it once.

    Args:
        promoter: makes what promotes at the end; None where that is not possible here.
        override: a person's reason to go on with a blocked version, or against a hold.

    Raises:
        ChangedMeanwhile: somebody was faster; nothing of theirs was overwritten. The next iteration sees it.
        FlagError, AdminError, ConfigError, ReleaseError: nothing is known to have changed.
    """
    found = look_and_decide(rollout, override=override is not None)
    step, seen = found.step, found.seen
    if seen.canary.exists and (done := put_back(rollout.admin, rollout.flag, ROLLOUT_USER)):
        return replace(found, done=done)
    if step.kind is StepKind.ADVANCE and step.to is not None:
        start = _start_canary if step.to.share else _start_shadow
        return replace(found, done=start(rollout, step.to, found, override))
    if step.kind is StepKind.PROMOTE:
        if promoter is None:
            lacks = "it cannot be promoted: set CANARIO_MODELS, CANARIO_SERVICE_URL and CANARIO_ADMIN_TOKEN"
            told = f"{step.sentence}, but from here {lacks}"
            return replace(found, step=replace(step, kind=StepKind.FINISHED, sentence=told))
        return replace(found, done=told_promotion(promoter().promote(Note(ROLLOUT_USER, step.sentence))))
    return found


def look_and_decide(rollout: Rollout, *, override: bool = False) -> RolloutIteration:
    """What `advance` would do now; changes nothing. Raises AdminError, FlagError, ConfigError."""
    seen = rollout.look()
    return RolloutIteration(decide(rollout.plan, seen, override=override), seen)


def _start_shadow(rollout: Rollout, to: Stage, _found: RolloutIteration, _override: str | None) -> str:
    state = set_share(rollout.admin, rollout.shadow_flag, to.shadow or 0)
    return f"the shadow began: {state.percent}% of the users' requests are copied to the challenger"


def _start_canary(rollout: Rollout, to: Stage, found: RolloutIteration, override: str | None) -> str:
    seen, target = found.seen, to.canary_share
    _require_unchanged(rollout, seen)
    state = set_share(
        rollout.admin,
        rollout.flag,
        target,
        enable=not seen.canary.enabled,
        expect=seen.canary.percent,
        version=seen.version,
        override=override,
    )
    _take_back_if_too_late(rollout, target, seen)
    if not state.enabled or state.percent != target:
        raise ChangedMeanwhile(
            f"{rollout.flag} was set to {target}%, and Unleash says {state.percent}%,"
            f" {'on' if state.enabled else 'off'}: somebody changed it at the same time"
        )
    return f"{found.step.position.name} -> {to.name}: {target}% of the users get the challenger"


def told_promotion(done: Done) -> str:
    """A promotion in one sentence."""
    told = f"{done.release.roles.champion} is the champion of every worker, after {done.seconds:.1f} s"
    return f"{told}; {done.alias}" if done.alias else told


def _require_unchanged(rollout: Rollout, seen: Situation) -> None:
    """Look once more, as late as can be. Raises ChangedMeanwhile."""
    if rollout.deployed() != seen.models:
        raise ChangedMeanwhile("somebody changed the models at this moment: nothing was raised")
    last = rollout.admin.last_change(rollout.flag)
    if (last.id if last else None) != seen.canary.revision:
        raise ChangedMeanwhile(
            f"{last.created_by if last else 'somebody'} changed {rollout.flag} at this moment: nothing was"
            " raised, and the next step starts from what is so then"
        )


def _take_back_if_too_late(rollout: Rollout, target: int, seen: Situation) -> None:
    """Undo a raise where somebody was a moment faster. Raises ChangedMeanwhile for any change at all."""
    since, before = seen.canary.revision or 0, seen.canary.percent
    fresh = [one for one in history(rollout.admin, rollout.flag) if one.id > since and one.tag is None]
    ours = next((one for one in fresh if one.is_automation and _strategy(one, target)), None)
    others = [one for one in fresh if ours is None or one.who != ours.who]
    if not others:
        return
    if ours is not None and others[0].id < ours.id:  # what they did was meant for the share as it was
        if not seen.canary.enabled:
            with suppress(FlagError):  # it is archived, or gone
                turn_off(rollout.admin, rollout.flag)
        if before is not None:
            # By the strategy's id: they may have disabled it, or archived the flag.
            strategy, back = str(_strategy(ours, target)), str(before)
            with suppress(ChangedMeanwhile, NotFound):  # they have changed it again, or removed it
                change_parameter(rollout.admin, rollout.flag, strategy, "rollout", back, seen=str(target))
    state = read_state(rollout.admin, rollout.flag)
    share = "no one share" if state.percent is None else f"{state.percent}%"
    raise ChangedMeanwhile(
        f"{others[-1].who} changed {rollout.flag} in the moment in which it was raised to {target}%"
        f" ({others[-1].words}): it is {'on' if state.enabled else 'off'} with {share}"
    )


def _strategy(change: Change, percent: int) -> str | None:
    """The strategy, perhaps a disabled one, that had this share then."""
    return next((number for number, one in change.after.strategies.items() if one.percent == percent), None)
