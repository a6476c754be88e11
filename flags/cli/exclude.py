"""`./canario exclude|include`: segments of users who keep the champion."""

from collections.abc import Callable
from typing import Any, Final

import click

from common.options import Parsed
from flags.canary import exclude as exclusion
from flags.canary.exclude import ExcludedUsers
from flags.canary.state import CanaryState
from flags.cli.group import OVERRIDE, changing, version_of
from flags.settings import FlagsSettings
from flags.unleash.admin import UnleashAdmin

_USERS: Final[Callable[..., Any]] = click.argument(
    "users",
    nargs=-1,
    required=True,
    type=Parsed("users", exclusion.parse_users),
    metavar="PROPERTY=VALUE...",
)


@click.command()
@changing
@_USERS
def exclude(
    admin: UnleashAdmin, _: FlagsSettings, name: str, users: tuple[ExcludedUsers, ...]
) -> tuple[CanaryState, bool]:
    """Keep users with the champion whose context says so, as country=NO.

    Adds a constraint (NOT_IN) to the strategy of the flag NAME and leaves the share as it is: all others keep
    what they have. Twice is as once. A property that Unleash does not know yet is defined there. Users whose
    requests do not have the property are not meant.
    """
    return exclusion.exclude(admin, name, users), True


@click.command()
@changing
@_USERS
@OVERRIDE
def include(
    admin: UnleashAdmin,
    settings: FlagsSettings,
    name: str,
    users: tuple[ExcludedUsers, ...],
    override: str | None,
) -> tuple[CanaryState, bool]:
    """Let users in again who were excluded, as far as the share of the flag NAME goes.

    More users get the challenger then: refused for a blocked version, as any raise is.
    """
    state = exclusion.include(admin, name, users, version=version_of(settings), override=override)
    return state, True
