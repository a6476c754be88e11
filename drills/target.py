"""What a drill acts on: a running service and the Unleash that guides it; and what stands in its way."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import requests

from common.errors import CanarioError
from common.model_store import ModelStore
from common.names import Model
from flags.canary.marks import BEGIN, PAUSE
from flags.canary.share import read_state
from flags.unleash.admin import UnleashAdmin
from service.challenger.faults import Fault, Kind
from stack.api import Stack

ANSWERS_IN_A_ROW = 20
SETTLE_SECONDS = 3.0  # every worker has heard of a change by then: refresh, fetch, and some
NEEDED = ("unleash", "prometheus", "service", "rollback")
HERE = "./canario"
_numbers = count()


class NoChallengerError(CanarioError):
    """The challenger gives no answers although no fault is switched on."""


class InTheWayError(CanarioError):
    """A drill would not show what it is to show; the text has a line for each reason, and what helps."""


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


def require_free_way(stack: Stack, target: Target) -> None:
    """Look, in a second, whether the drill can work.

    Raises:
        InTheWayError: it cannot, or would disturb a rollout.
        AdminError: Unleash does not answer.
    """
    found = [*_of_stack(stack), *_of_flag(target)]
    if found:
        raise InTheWayError("\n".join(["this stands in its way:", *(f"  - {each}" for each in found)]))


def _of_stack(stack: Stack) -> Iterator[str]:
    running = {each.name for each in stack.status() if each.pid}
    for name in NEEDED:
        if name not in running:
            yield f"{name} does not run: `./canario up`"
    try:
        release = ModelStore(stack.site.home.models).read()
    except CanarioError as error:
        yield f"{error}: `./canario up`"
    else:
        if release.roles.challenger is None:
            yield f"there is no challenger: `{HERE} models challenger FOLDER`"


def _of_flag(target: Target) -> Iterator[str]:
    state, page = read_state(target.admin, target.flag), _page(target)
    if state.trouble:
        yield state.trouble
        return
    for each in state.constraints:
        yield f"{target.flag} is only for users where {each}: take the constraint off at {page}"
    lease = 1 if state.lease_until is not None else 0
    if len(state.segments) > lease:  # the lease is one
        yield f"{target.flag} is only for users of a segment: take it off the strategy at {page}"
    marks = {(each.type, each.value) for each in target.admin.tags.of(target.flag)}
    begun = sorted(value for kind, value in marks if kind == BEGIN)
    if begun and not any(kind == PAUSE for kind, _ in marks) and state.exposed:
        pause = f'`{HERE} rollout pause --reason "a drill"`'
        yield f"the rollout of {begun[0]} is under way, and the plan would raise the share meanwhile: {pause}"


def _page(target: Target) -> str:
    return f"{target.admin.url}/projects/{target.admin.project}/features/{target.flag}"
