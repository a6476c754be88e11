"""Users with some value in their context keep the champion: one condition more on the canary's strategy.

For a segment that the challenger harms (`python -m analysis segments`). Conditions narrow the share and never
widen it, so nobody gets the challenger who had not; a person takes one off again in the Unleash UI.
"""

from collections.abc import Iterable, Mapping

from flags import writes
from flags.admin import UnleashAdmin
from flags.canary import read_state
from flags.errors import NotVerified
from flags.models import Constraint, Strategy
from flags.snapshot import gradual, require_active, take
from flags.state import CanaryState

NOT_IN = "NOT_IN"
FIELD = "A property of the requests' context"


def parse_condition(text: str) -> tuple[str, str]:
    """Property and value of `country=NO`. Raises ValueError."""
    name, equals, value = text.partition("=")
    if not name.strip() or not equals or not value:
        raise ValueError("is no property and value such as country=NO")
    return name.strip(), value


def exclude(admin: UnleashAdmin, flag: str, users: Iterable[tuple[str, str]]) -> CanaryState:
    """Let users with one of these properties and values keep the champion; doing it twice is doing it once.

    Raises:
        FlagMissing, FlagArchived, StrategyMissing, StrategyDisabled, StrategyAmbiguous: as they say; nothing
            was changed.
        NotVerified: Unleash took the condition, and does not have it.
        AdminError: Unleash does not answer, or not so.
    """
    shot = take(admin, flag)
    strategy = gradual(shot)
    require_active(shot, strategy)
    missing = _missing(strategy, users)
    if not missing:
        return read_state(admin, flag)
    known = admin.context.names()
    for name, values in missing.items():
        if name not in known:
            admin.context.create(name, FIELD)
        writes.add_constraint(admin, flag, strategy.id, _condition(name, values))
    after = take(admin, flag)
    if _missing(gradual(after), ((name, one) for name, values in missing.items() for one in values)):
        raise NotVerified(
            f"the condition on {flag} in {admin.environment} is not there after it was set: somebody changed"
            " the strategy at the same time. Look at it in the Unleash UI"
        )
    return read_state(admin, flag)


def _missing(strategy: Strategy, users: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """Values by property that no condition of the strategy keeps out yet."""
    found: dict[str, list[str]] = {}
    for name, value in dict.fromkeys(users):
        if not any(_keeps_out(one, name, value) for one in strategy.constraints):
            found.setdefault(name, []).append(value)
    return found


def _keeps_out(one: Constraint, name: str, value: str) -> bool:
    return one.context_name == name and one.operator == NOT_IN and not one.inverted and value in one.values


def _condition(name: str, values: list[str]) -> Mapping[str, object]:
    return {"contextName": name, "operator": NOT_IN, "values": values}
