"""Where a rollout stands: which stage's rules hold, since when, and what people and rollbacks forbid. Pure.

The stage is read off the flag, never remembered: a share that a person set is a stage like any other, and
has the rules of the last planned stage that is not larger.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from flags.event_words import TAGGED
from flags.marks import APPROVE, BEGIN
from flags.people import LOWERS_BY_ITSELF, Change, Held
from flags.quarantine import LIFT, QUARANTINE, RESUME, ROLLED_BACK
from flags.replay import ENDED, OFF, ON
from flags.rollout.schema import Plan, Stage
from flags.rollout.situation import Situation

ROLLBACK_USER = "canario-rollback"
ROLLOUT_USER = "canario-rollout"
EPOCH = datetime.fromtimestamp(0, UTC)


@dataclass(frozen=True)
class Place:
    """Where the rollout stands.

    Attributes:
        share: per cent of the users that may get the challenger.
        rules: the stage whose rules hold; None before the first.
        following: the next stage; None in the last.
        began: when this share, or this version of the challenger, began.
        change: what began it, where the log tells.
    """

    share: int
    rules: Stage | None
    following: Stage | None
    began: datetime
    change: Change | None = None

    @property
    def name(self) -> str:
        """`5%`, `shadow`, or `not begun`."""
        if self.share:
            return f"{self.share}%"
        return self.rules.name if self.rules else "not begun"

    @property
    def is_planned(self) -> bool:
        """False for a share that only a person can have set."""
        return self.rules is None or self.rules.canary_share == self.share


def place_of(plan: Plan, seen: Situation) -> Place:
    """The stage that the flags show."""
    changes = [one for one in seen.changes if one.tag is None]
    last = changes[-1] if changes else None
    share = reach(seen)
    if share:
        below = [stage for stage in plan.canaries if stage.canary_share <= share]
        rules: Stage | None = below[-1] if below else plan.canaries[0]
        following = next((stage for stage in plan.canaries if stage.canary_share > share), None)
        return Place(share, rules, following, _later(seen, last), last)
    if plan.shadow is None:
        return Place(0, None, plan.canaries[0], _later(seen, last), last)
    if seen.shadow is None or not seen.shadow.enabled or seen.shadow.percent == 0:
        return Place(0, None, plan.shadow, _later(seen, last), last)
    of_shadow = [one for one in seen.shadow_changes if one.tag is None]
    last = max([*changes[-1:], *of_shadow[-1:]], key=lambda one: one.id, default=None)
    return Place(0, plan.shadow, plan.canaries[0], _later(seen, last), last)


def reach(seen: Situation) -> int:
    """Per cent of the users that may get the challenger, by the flag alone; the lease is another matter."""
    canary = seen.canary
    if not canary.exists or not canary.enabled:
        return 0
    return 100 if canary.percent is None else canary.percent


def switched_off(changes: Sequence[Change]) -> Held | None:
    """A person turned the flag off, perhaps at 0%, where that lowers nothing: it is an order all the same.

    So is archiving it; who revives it finds it off.
    """
    found = None
    for change in changes:
        if change.type in (OFF, *ENDED) and change.who not in LOWERS_BY_ITSELF:
            found = Held(0, change.who, change.at, change.words)
        elif change.type == ON or (change.type == TAGGED and change.tag and change.tag[0] == RESUME):
            found = None
    return found


def unmarked_rollback(changes: Sequence[Change]) -> Change | None:
    """A rollback whose version is not in quarantine yet, and that no person has answered since."""
    found = None
    for change in changes:
        if change.who == ROLLBACK_USER and change.lowered:
            found = change
        elif (change.tag and change.tag[0] in (QUARANTINE, RESUME, LIFT)) or (
            change.raised and not change.is_automation
        ):
            found = None
    return found


def rolled_back(changes: Sequence[Change]) -> tuple[Change, str | None] | None:
    """The last rollback, and why, as the job that did it marked it; None where there was none."""
    found: Change | None = None
    why = None
    for change in changes:
        if change.who == ROLLBACK_USER and change.lowered:
            found, why = change, None
        elif found and change.type == TAGGED and change.tag and change.tag[0] == ROLLED_BACK:
            why = change.tag[1]
    return (found, why) if found else None


def approved(changes: Sequence[Change], stage: str, since: datetime) -> Change | None:
    """The word of somebody for this stage, given since then."""
    for change in reversed(changes):
        if change.type == TAGGED and change.tag == (APPROVE, stage) and change.at >= since:
            return change
    return None


def begun(changes: Sequence[Change], version: str) -> Change | None:
    """The last word of somebody that the rollout of this version may begin, where the log tells."""
    words = (one for one in reversed(changes) if one.type == TAGGED and one.tag == (BEGIN, version))
    return next(words, None)


def _later(seen: Situation, change: Change | None) -> datetime:
    return max(filter(None, (change.at if change else EPOCH, seen.readings.version_since)))
