"""Keeps the users of one segment with the champion, in place of a rollback for everybody.

A guardrail whose segments say `action: exclude` offers it. It is done once: where one of its segments is kept
out already, what is breached next turns the flag off. So does whatever Unleash does not allow.
"""

import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from common.errors import CanarioError
from flags.canary.state import CanaryState
from rollback.actions.turn_off import Canary, Rollback
from rollback.guardrails.file import Policy, rejudge
from rollback.guardrails.segments import Segment
from rollback.guardrails.verdict import Action, Status, Verdict

MOST_LEFT: Final = 0.5
"""Of a threshold: with more left of the test score without a segment, it is not that segment alone."""


def answer(
    breaches: Sequence[Verdict], policy: Policy, seen: Mapping[str, Verdict], state: CanaryState | None
) -> Segment | None:
    """The segment whose exclusion is the answer to breaches; None where that is a rollback. Pure.

    Several segments that are breached at once are no matter of one. Segments are judged before all users, who
    include the same bad calls and have a lower threshold. So their breach is answered by a segment too,
    where without it less than half of the test score is left.

    Args:
        seen: the verdicts of this iteration so far, by guardrail.
        state: the flag before it; None where Unleash is silent.
    """
    breach, *others = breaches
    segments = {one.name: one.only_for for one in policy.guardrails if one.action is Action.EXCLUDE}
    mine = segments.get(breach.guardrail)
    family = mine.of if mine else breach.guardrail
    siblings = {name: one for name, one in segments.items() if one and one.of == family}
    if others or state is None or {str(one) for one in siblings.values()} & {*state.kept_out}:
        return None
    if mine:
        return mine
    scores = {
        name: left
        for name in siblings
        if name in seen and (left := _score_without(breach, seen[name])) is not None
    }
    least = min(scores, key=lambda name: scores[name], default=None)
    if least is None or scores[least] >= MOST_LEFT * (breach.log_e_needed or 0.0):
        return None
    return siblings[least]


def _score_without(breach: Verdict, segment: Verdict) -> float | None:
    """The test score without the calls of a segment; None where it would be a breach all the same."""
    whole, part = breach.evidence, segment.evidence
    if whole.get("kind") != "sequential" or part.get("kind") != "sequential":
        return None
    counts = {arm: _less(whole["counts"][arm], part["counts"][arm]) for arm in whole["counts"]}
    bad_calls = whole["bad_calls"] and part["bad_calls"] and _less(whole["bad_calls"], part["bad_calls"])
    status, _, score = rejudge(whole | {"counts": counts, "bad_calls": bad_calls})
    return None if status is Status.BREACH else score


def _less(whole: list[Any], part: list[Any]) -> list[Any]:
    return [max(one - other, 0) for one, other in zip(whole, part, strict=True)]


def exclude_segment(canary: Canary, breach: Verdict, segment: Segment) -> Rollback:
    """Keep these users with the champion, and see that Unleash says so. Safe to do again. Never raises."""
    ordered_at, began = datetime.now(UTC), time.monotonic()
    state, error = None, None
    try:
        state = canary.exclude(segment.users)
    except CanarioError as refusal:
        error = str(refusal)
    except Exception as bug:  # it must come out as a rollback, not as a crash
        error = f"{type(bug).__name__}: {bug}"
    seconds = time.monotonic() - began
    return Rollback(breach.guardrail, error, seconds, ordered_at, state, excluded=str(segment))
