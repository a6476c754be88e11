"""What is measured of users: the name of an outcome and how it counts."""

from enum import StrEnum

from common.config import StrictModel


class Kind(StrEnum):
    """How the outcomes of a user become one number."""

    PROPORTION = "proportion"
    """Whether the user had the outcome at all: 0 or 1."""
    MEAN = "mean"
    """The sum of the outcome's values: money, minutes."""
    COUNT = "count"
    """How often the user had the outcome."""


class Direction(StrEnum):
    """What is better."""

    INCREASE = "increase"
    DECREASE = "decrease"


class Metric(StrictModel):
    """A measure of a user.

    Attributes:
        name: as people call it.
        outcome: of the feedback.
        kind: how the outcomes of a user become one number.
        direction: what is better.
    """

    name: str
    outcome: str
    kind: Kind = Kind.PROPORTION
    direction: Direction = Direction.INCREASE
