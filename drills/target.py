"""What a drill acts on: a running service and the Unleash that guides it."""

import json
from dataclasses import dataclass
from pathlib import Path

from flags.admin import UnleashAdmin
from stack.api import Stack


@dataclass(frozen=True)
class Target:
    """Addresses and doors of a stack.

    Attributes:
        service: address of the service, without a path.
        admin: Unleash, as a user who may set shares (not the job's: the event log must tell them apart).
        flag: the canary's flag.
        job: name of the rollback job's user in Unleash.
        drill_file: file that the service watches for faults (its setting CANARIO_DRILL_FILE).
        job_log: file that the rollback job's JSON lines go to.
    """

    service: str
    admin: UnleashAdmin
    flag: str
    job: str
    drill_file: Path
    job_log: Path

    def switch_fault_on(self, sleep_seconds: float) -> None:
        """Make each call of the challenger sleep; no code changes, and no process is restarted."""
        self.drill_file.write_text(json.dumps({"kind": "sleep", "seconds": sleep_seconds}), encoding="utf-8")

    def switch_fault_off(self) -> None:
        """Let the challenger answer as it can again."""
        self.drill_file.unlink(missing_ok=True)


def of_stack(stack: Stack) -> Target:
    """The target that a running stack is, acting on Unleash as the user of the flags command line."""
    site = stack.site
    return Target(
        service=stack.addresses.service,
        admin=UnleashAdmin(stack.addresses.unleash, stack.secret("canario-flags.token")),
        flag="canary",
        job="canario-rollback",
        drill_file=site.home.drill,
        job_log=site.home.log("rollback"),
    )
