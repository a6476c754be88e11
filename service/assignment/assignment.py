"""Which model a user gets and why, whoever decides it: the flag in Unleash, or a fixed share."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final, NamedTuple, Protocol

from common.names import Model

BUCKETS: Final = 100


class Reason(StrEnum):
    """Why this model is wanted."""

    FLAG_ON = "flag_on"
    FLAG_OFF = "flag_off"
    FLAG_MISSING = "flag_missing"  # Unleash has no such flag, or it is archived
    FLAG_WITHOUT_STRATEGY = "flag_without_strategy"  # on, but for everybody: nobody chose a share
    UNLEASH_UNKNOWN = "unleash_unknown"  # never heard from Unleash, and nothing on disk
    CANARY_PERCENT = "canary_percent"  # CANARIO_CANARY_PERCENT decides, and there is no flag


class Assignment(NamedTuple):
    """The model that is wanted, and why."""

    model: Model
    reason: Reason


class Assigns(Protocol):
    """Who assigns users to models. No method raises or waits."""

    @property
    def fetched_at(self) -> float:
        """When what it follows was last known to be true, by the monotonic clock."""

    @property
    def knows_flags(self) -> bool:
        """Whether it knows what it goes by."""

    def start(self) -> None:
        """Begin to follow it. Returns at once."""

    def close(self) -> None:
        """Stop."""

    def assign(self, user_id: str, context: Mapping[str, Any], /) -> Assignment:
        """The model for a user."""

    def shadowed(self, user_id: str, context: Mapping[str, Any], /) -> bool:
        """Whether the challenger should see the user's requests too."""

    def bucket(self, user_id: str, context: Mapping[str, Any], /) -> int:
        """From 1 to 100: up to the share users get the challenger."""
