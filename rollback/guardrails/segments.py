"""A guardrail judged for each segment of the users by itself: `segments: {by: country, values: ["NO", SE]}`.

What harms 2% of the users is hardly seen among all of them. Where the file is read, such a guardrail becomes
one for all users and one for each value, with the label of that value in its series and its part of the
segments' alpha. By the union bound any of them is breached by chance at most as often as their sum says.
"""

import re
from collections import Counter
from typing import Annotated, Final, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from common.config import StrictModel
from common.names import MOST_SEGMENTS, OTHER_SEGMENT
from flags.canary.exclude import ExcludedUsers
from flags.desired.file import NAME
from rollback.guardrails.verdict import Action

LONGEST_NAME: Final = 60


def _quoted(given: object) -> object:
    if isinstance(given, bool | int | float):
        raise ValueError(f'YAML reads {given!r} here: write the value in quotes, as "NO"')  # noqa: TRY004 - pydantic's
    return given


Value = Annotated[str, BeforeValidator(_quoted), Field(min_length=1, max_length=100)]
Property = Annotated[str, Field(pattern=NAME)]


def _differ(values: tuple[str, ...]) -> tuple[str, ...]:
    counts = Counter(map(_slug, values))
    if twice := [value for value in values if counts[_slug(value)] > 1]:
        raise ValueError(f"their guardrails would have one name: {', '.join(twice)}")
    return values


class Segment(StrictModel):
    """One of them. Written by the job: it is what a guardrail of a file becomes."""

    by: Property
    value: Value
    of: str
    """The guardrail of the file."""

    @property
    def users(self) -> ExcludedUsers:
        """Who is meant, as `./canario exclude` names them."""
        return ExcludedUsers(self.by, self.value)

    def __str__(self) -> str:
        return str(self.users)


class Segments(StrictModel):
    """Which segments a guardrail is judged for too, each by itself."""

    by: Property
    """The property of the context, as country."""
    values: Annotated[
        tuple[Value, ...], Field(min_length=1, max_length=MOST_SEGMENTS), AfterValidator(_differ)
    ]
    """Its values, each a segment; `other` is all the rest, where the service counts it so."""
    share_of_alpha: Annotated[float, Field(gt=0, le=1)]
    """The part of the policy's `alpha` that all of them together may use up, in equal parts."""
    action: Action = Action.ROLLBACK
    """What a breach in one of them brings."""

    @model_validator(mode="after")
    def _can_be_excluded(self) -> Self:
        if self.action is Action.EXCLUDE and OTHER_SEGMENT in self.values:
            raise ValueError(
                f"{OTHER_SEGMENT} is no value that a user has, so nobody could be excluded by it"
            )
        return self

    @property
    def of_each(self) -> float:
        """The part of the policy's `alpha` for one of them."""
        return self.share_of_alpha / len(self.values)

    def named(self, guardrail: str) -> dict[str, Segment]:
        """By the name that a guardrail gets for it."""
        return {
            f"{guardrail}-{_slug(value)}": Segment(by=self.by, value=value, of=guardrail)
            for value in self.values
        }


def _slug(value: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", value.lower()).strip("-") or "x"
