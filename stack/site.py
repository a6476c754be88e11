"""One stack: what can be chosen for it, and what its programs see: folders, ports, addresses and secrets."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import Field, ValidationError

from common.config import StrictModel
from common.files import replace_whole
from stack.paths import Cache, Home
from stack.ports import HOST
from stack.secrets import Secrets
from stack.shell import StackError

ADMIN = "admin"
DEFAULT_UNLEASH_VERSION = "8.2.0"
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
    unleash_version: str = DEFAULT_UNLEASH_VERSION
    rollback_every: Annotated[str, Field(pattern=r"^[0-9.]+(ms|s|m|h)$")] = ROLLBACK_EVERY
    rollout_every: Annotated[str, Field(pattern=r"^[0-9.]+(ms|s|m|h)$")] = "1m"
    workers: Annotated[int, Field(ge=1, le=64)] = 2
    alertmanager_config: str = ""
    """Whom Alertmanager tells, instead of monitoring/alertmanager.yml."""
    traffic_rate: Annotated[float, Field(gt=0, le=1000)] = 10.0
    environment: dict[str, dict[str, str]] = Field(default_factory=dict)

    def write(self, file: Path) -> None:
        replace_whole(file, self.model_dump_json(indent=2) + "\n")  # 0600: `environment` may hold secrets

    @classmethod
    def read(cls, file: Path) -> "Settings":
        """Raises:
        StackError: there was no `up` in this home, or the file was damaged.
        """
        try:
            return cls.model_validate_json(file.read_bytes())
        except FileNotFoundError:
            raise StackError("nothing was started here yet: `./canario up` does") from None
        except (OSError, ValidationError) as error:
            raise StackError(f"{file} is not usable ({error}): remove it and run `./canario up`") from error


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
    return os.environ.get("UNLEASH_VERSION") or DEFAULT_UNLEASH_VERSION


@dataclass(frozen=True)
class Addresses:
    """Where the servers of a stack listen; all on this machine."""

    postgres: str
    unleash: str
    service: str
    prometheus: str
    alertmanager: str
    rollback: str
    rollout: str
    """The metrics of either job."""
    board: str


@dataclass(frozen=True)
class Site:
    """What the command lines and environments of all programs are made from."""

    cache: Cache
    home: Home
    settings: Settings
    ports: Mapping[str, int]

    @property
    def secrets(self) -> Secrets:
        return Secrets(self.home.secrets)

    @property
    def addresses(self) -> Addresses:
        at = {name: f"{HOST}:{port}" for name, port in self.ports.items()}
        postgres = at.pop("postgres")
        return Addresses(postgres=postgres, **{name: f"http://{address}" for name, address in at.items()})

    @property
    def database(self) -> str:
        """One for each major version of Unleash: an older one cannot read what a newer one has migrated."""
        return f"unleash_{self.settings.unleash_version.split('.')[0]}"
