"""The flags that Canario wants in Unleash, read from flags.yaml and validated whole."""

from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from common.config import StrictModel, load_yaml
from flags.unleash.admin import STICKY

DEFAULT_FILE: Final = Path(__file__).parents[1] / "flags.yaml"
NAME: Final = r"^[A-Za-z0-9~_-][A-Za-z0-9._~-]{0,99}$"  # what Unleash takes, but no leading dot


def _sticky(stickiness: str) -> str:
    if stickiness != STICKY:
        raise PydanticCustomError(
            "stickiness",
            f"must be {STICKY}: drawn by anything else, a user may change models from one call to the next,"
            " and neither a share nor a comparison of the two models means anything",
        )
    return stickiness


def _some_unique(flags: "tuple[DesiredFlag, ...]") -> "tuple[DesiredFlag, ...]":
    if not flags:
        raise PydanticCustomError("empty", "is empty: name at least one flag")
    names = [flag.name for flag in flags]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise PydanticCustomError("twice", "stand here more than once: {names}", {"names": ", ".join(twice)})
    return flags


class Initial(StrictModel):
    """What a new flag starts with; afterwards it belongs to people."""

    enabled: bool = Field(False, strict=True, description="the environment's switch")
    percent: int = Field(0, ge=0, le=100, strict=True, description="share of the users, 0 to 100")


class DesiredFlag(StrictModel):
    """One flag with one gradual rollout strategy in one environment; its group is its name."""

    name: str = Field(pattern=NAME)
    type: Literal["release", "experiment", "operational", "kill-switch", "permission"] = "release"
    description: str = Field(min_length=1, max_length=1000)
    stickiness: Annotated[str, AfterValidator(_sticky)] = STICKY
    leased: bool = Field(False, strict=True, description="whether its share depends on a lease")
    initial: Initial = Initial()


class DesiredFlags(StrictModel):
    """The file."""

    flags: Annotated[tuple[DesiredFlag, ...], AfterValidator(_some_unique)]
    context: tuple[Annotated[str, Field(pattern=NAME)], ...] = ()
    """Fields of a request's context that people may set constraints on, beside those that Unleash knows."""


def load_desired(path: Path = DEFAULT_FILE) -> DesiredFlags:
    """What the file asks for, its flags in its order.

    Raises:
        ConfigError: `path:line: key: what is wrong` for every fault.
    """
    return load_yaml(path, DesiredFlags)
