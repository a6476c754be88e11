"""What can be chosen for one stack, beside its ports."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

from pydantic import Field, ValidationError

from common.config import StrictModel
from stack.errors import StackError
from stack.install.unleash import DEFAULT_VERSION

# In the order in which they start; each needs those that NEEDS names.
PROGRAMS = (
    *("postgres", "unleash", "alertmanager", "prometheus", "service", "rollback", "rollout"),
    *("board", "traffic"),
)
NEEDS = {"unleash": ("postgres",)}
# One pass a scrape: what a scrape brings is judged at most so long after it. A longer period is a delay for
# each rollback; a shorter one would judge the same numbers twice. docs/rollback.md has what a pass costs.
ROLLBACK_EVERY = "5s"


class Settings(StrictModel):
    """Kept in the home, so that `status`, `logs` and `exec` know what `up` was told."""

    programs: tuple[str, ...] = PROGRAMS
    unleash_version: str = DEFAULT_VERSION
    rollback_every: Annotated[str, Field(pattern=r"^[0-9.]+(ms|s|m|h)$")] = ROLLBACK_EVERY
    rollout_every: Annotated[str, Field(pattern=r"^[0-9.]+(ms|s|m|h)$")] = "1m"
    workers: Annotated[int, Field(ge=1, le=64)] = 2
    alertmanager_config: str = ""
    """Whom Alertmanager tells, instead of monitoring/alertmanager.yml."""
    traffic_rate: Annotated[float, Field(gt=0, le=1000)] = 10.0
    environment: dict[str, dict[str, str]] = Field(default_factory=dict)

    def write(self, file: Path) -> None:
        file.touch(mode=0o600)
        file.chmod(0o600)  # `environment` may hold secrets
        file.write_text(self.model_dump_json(indent=2) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, file: Path) -> "Settings":
        """Raises:
        StackError: there was no `up` in this home, or the file was damaged.
        """
        try:
            return cls.model_validate_json(file.read_bytes())
        except FileNotFoundError:
            raise StackError("nothing was started here yet: `make up` does") from None
        except (OSError, ValidationError) as error:
            raise StackError(f"{file} is not usable ({error}): remove it and run `make up`") from error


def with_needs(only: Iterable[str]) -> tuple[str, ...]:
    """The programs `only` and what they cannot run without, in the order of their start.

    Raises:
        StackError: there is no such program.
    """
    chosen = set(only)
    if unknown := chosen.difference(PROGRAMS):
        raise StackError(f"there is no program {', '.join(sorted(unknown))}: there are {', '.join(PROGRAMS)}")
    for name in tuple(chosen):
        chosen.update(NEEDS.get(name, ()))
    return tuple(name for name in PROGRAMS if name in chosen)


def default_unleash_version() -> str:
    """UNLEASH_VERSION, or the version that this repository is made for."""
    return os.environ.get("UNLEASH_VERSION") or DEFAULT_VERSION
