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

    @classmethod
    def of(cls, outcome: str, kind: str | None = None, direction: str | None = None) -> "Metric":
        """The metric of an outcome, by its name; None: as usual. Raises ValueError where there is no such."""
        return cls(
            name=outcome,
            outcome=outcome,
            kind=Kind(kind or Kind.PROPORTION),
            direction=Direction(direction or Direction.INCREASE),
        )

    @property
    def better(self) -> str:
        """In a sentence: more, or less."""
        return "more" if self.direction is Direction.INCREASE else "less"

    @property
    def of_users(self) -> str:
        """What the figure of an arm is."""
        return {
            Kind.PROPORTION: f"share of users with the outcome {self.outcome}",
            Kind.MEAN: f"sum of the values of {self.outcome} per user",
            Kind.COUNT: f"number of {self.outcome} per user",
        }[self.kind]
