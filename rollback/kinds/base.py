"""What every guardrail has, and what its breach brings."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from common.config import StrictModel


class Action(StrEnum):
    """What a breach brings."""

    ROLLBACK = "rollback"
    """The flag's environment is turned off."""
    PAUSE = "pause"
    """The share stays, and nobody is promoted until a person has looked."""
    WARN = "warn"
    """A line of the log, and nothing else."""


class Guardrail(StrictModel):
    """The fields that all kinds share."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]*$", max_length=60)]
    description: Annotated[str, Field(min_length=10, pattern=r"^[^\n]*$")]
    """Why the guardrail stands there, in one line."""
    action: Action
