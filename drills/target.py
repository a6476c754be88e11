"""What a drill acts on: a running service and the Unleash that guides it."""

import time
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import requests

from common.errors import CanarioError
from common.names import Model
from flags.admin import UnleashAdmin
from service.guest.faults import Fault, Kind
from stack.api import Stack

ANSWERS_IN_A_ROW = 20
_numbers = count()


class NoChallengerError(CanarioError):
    """The challenger gives no answers although no fault is switched on."""


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

    def switch_fault_on(self, kind: Kind, seconds: float = 0.0) -> None:
        """Make each call of the challenger fail; no code changes, and no process is restarted.

        `seconds` is for the kind `sleep`.
        """
        fault = Fault(kind=kind, seconds=seconds)
        self.drill_file.write_text(fault.model_dump_json(), encoding="utf-8")

    def switch_fault_off(self) -> None:
        """Let the challenger answer as it can again."""
        self.drill_file.unlink(missing_ok=True)

    def await_challenger(self, row: list[float], seconds: float = 60.0) -> None:
        """Wait until the challenger has answered many requests in a row, on whichever worker.

        Raises:
            NoChallengerError: it does not.
        """
        end = time.monotonic() + seconds
        in_a_row = 0
        while in_a_row < ANSWERS_IN_A_ROW:
            if time.monotonic() > end:
                raise NoChallengerError(f"the challenger at {self.service} does not recover")
            body = {"user_id": f"drill-{next(_numbers)}", "features": row}
            answer = requests.post(f"{self.service}/predict", json=body, timeout=5).json()
            if answer["assigned"] == Model.CHALLENGER:
                in_a_row = in_a_row + 1 if answer["model"] == Model.CHALLENGER else 0


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
