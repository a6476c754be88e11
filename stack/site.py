"""One stack as its programs see it: folders, settings, ports and secrets, and what follows from them."""

from collections.abc import Mapping
from dataclasses import dataclass

from stack.paths import Cache, Home
from stack.ports import HOST
from stack.secrets import Secrets
from stack.settings import Settings

ADMIN = "admin"


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
        def http(name: str) -> str:
            return f"http://{HOST}:{self.ports[name]}"

        return Addresses(
            postgres=f"{HOST}:{self.ports['postgres']}",
            unleash=http("unleash"),
            service=http("service"),
            prometheus=http("prometheus"),
            alertmanager=http("alertmanager"),
            rollback=http("rollback"),
            rollout=http("rollout"),
            board=http("board"),
        )

    @property
    def database(self) -> str:
        """One for each major version of Unleash: an older one cannot read what a newer one has migrated."""
        return f"unleash_{self.settings.unleash_version.split('.')[0]}"
