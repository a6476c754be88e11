"""Users whom some value of the context keeps with the champion: `country NOT_IN NO` on the canary's strategy.

For a segment that the challenger harms (`./canario report segments`). To exclude narrows the share, so it
is never refused; to include again gives users the challenger, so it is a raise. Who does not send the
property passes such a constraint. People may write the same in the Unleash UI: what they wrote counts.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from flags.canary.share import require_no_quarantine
from flags.canary.snapshot import take
from flags.canary.state import (
    NOT_IN,
    CanaryState,
    blame,
    gradual,
    keeps_out,
    require_active,
    require_sticky,
    state_of,
)
from flags.canary.writes import change_constraints
from flags.desired.file import NAME
from flags.unleash.admin import UnleashAdmin
from flags.unleash.errors import ChangedMeanwhile
from flags.unleash.models import Constraint


@dataclass(frozen=True)
class ExcludedUsers:
    """Users whose context has this value of this property."""

    property: str
    value: str

    def __str__(self) -> str:
        return f"{self.property}={self.value}"

    def kept_out(self, constraints: Iterable[Constraint]) -> bool:
        """Whether a constraint names them as users who do not get the challenger."""
        return any(self.value in one.values for one in constraints if _keeps_out(one, self.property))


def parse_users(text: str) -> ExcludedUsers:
    """Of country=NO. Raises ValueError."""
    name, equals, value = text.partition("=")
    if not equals or not value.strip() or not re.fullmatch(NAME, name):
        raise ValueError(f"{text!r} is no property and value such as country=NO")
    return ExcludedUsers(name, value.strip())


def exclude(admin: UnleashAdmin, flag: str, users: Sequence[ExcludedUsers]) -> CanaryState:
    """Keep these users with the champion; twice is as once.

    A property that Unleash does not know is defined there first: the UI offers no other for constraints.

    Raises:
        FlagMissing, FlagArchived, StrategyMissing, StrategyAmbiguous: as they say; nothing was changed.
        ChangedMeanwhile: a person changed the constraints in this moment: theirs stay.
        AdminError: Unleash does not answer, or not so.
    """
    shot = take(admin, flag)
    strategy = gradual(shot)
    out = [one for one in users if not one.kept_out(strategy.constraints)]
    if not out:
        return state_of(shot)
    known = admin.context.names()
    for name in dict.fromkeys(one.property for one in out if one.property not in known):
        admin.context.create(name)
    wanted = without(strategy.constraints, out)
    change_constraints(admin, flag, strategy.id, wanted, seen=_sent(strategy.constraints))
    return _verified(admin, flag, users, out=True)


def include(
    admin: UnleashAdmin,
    flag: str,
    users: Sequence[ExcludedUsers],
    *,
    version: str | None = None,
    override: str | None = None,
) -> CanaryState:
    """Let these users in again, as far as the share and other constraints do. Twice is as once.

    `version` and `override` as in flags.canary.share.set_share: this is a raise like any other.

    Raises:
        Quarantined: this would give more users a blocked version.
        StrategyDisabled, StickinessUnsafe: as they say; nothing was changed.
        ChangedMeanwhile and others: as for `exclude`.
    """
    shot = take(admin, flag)
    strategy = gradual(shot)
    if not any(one.kept_out(strategy.constraints) for one in users):
        return state_of(shot)
    require_active(shot, strategy)
    require_sticky(shot, strategy)
    if strategy.percent != 0:
        require_no_quarantine(admin, shot, version, override)
    wanted = with_again(strategy.constraints, users)
    change_constraints(admin, flag, strategy.id, wanted, seen=_sent(strategy.constraints))
    return _verified(admin, flag, users, out=False)


def without(constraints: Sequence[Constraint], users: Iterable[ExcludedUsers]) -> list[dict[str, Any]]:
    """The constraints with these users kept out: in the list of their property, or in a new one."""
    found = _sent(constraints)
    for one in users:
        now = [Constraint.model_validate(each) for each in found]
        place = next((n for n, each in enumerate(now) if _keeps_out(each, one.property)), None)
        if place is None:
            found.append(
                {
                    "contextName": one.property,
                    "operator": NOT_IN,
                    "values": [one.value],
                    "caseInsensitive": False,
                    "inverted": False,
                }
            )
        elif one.value not in found[place]["values"]:
            found[place]["values"] = [*found[place]["values"], one.value]
    return found


def with_again(constraints: Sequence[Constraint], users: Sequence[ExcludedUsers]) -> list[dict[str, Any]]:
    """The constraints without these users in any list of who is kept out; an empty list is taken off."""
    found = []
    for constraint in constraints:
        let_in = {one.value for one in users if _keeps_out(constraint, one.property)}
        values = [value for value in constraint.values if value not in let_in]
        if values or not let_in:
            found.append(constraint.as_sent | ({"values": values} if let_in else {}))
    return found


def _keeps_out(constraint: Constraint, name: str) -> bool:
    return constraint.context_name == name and keeps_out(constraint)


def _sent(constraints: Iterable[Constraint]) -> list[dict[str, Any]]:
    return [one.as_sent for one in constraints]


def _verified(admin: UnleashAdmin, flag: str, users: Iterable[ExcludedUsers], *, out: bool) -> CanaryState:
    """What Unleash says now. Raises ChangedMeanwhile where somebody was faster than this look."""
    after = take(admin, flag)
    now = gradual(after).constraints
    if other := [str(one) for one in users if one.kept_out(now) is not out]:
        raise ChangedMeanwhile(
            f"the constraints of {flag} in {after.environment} {'do not keep' if out else 'still keep'}"
            f" {' and '.join(other)} out: somebody changed them at the same time{blame(after)}"
        )
    return state_of(after)
