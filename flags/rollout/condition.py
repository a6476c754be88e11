"""One thing that must hold before a challenger gets more users."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class Condition:
    """One condition.

    Attributes:
        name: a word for tables and JSON.
        holds: whether it lets the rollout go on.
        sentence: why, or what it waits for.
        until: when it will hold if all goes on as until now; None where that cannot be told.
    """

    name: str
    holds: bool
    sentence: str
    until: datetime | None = None
