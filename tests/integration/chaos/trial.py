"""One trial: a job on a flag of its own, troubles at certain of its requests, and what came of it."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from flags.canary.share import read_state
from flags.unleash.admin import UnleashAdmin
from rollback.decisions.log import DecisionLog
from rollback.guardrails.file import rejudge
from stack.paths import REPOSITORY
from tests.integration.chaos.proxy import Proxy, Trouble

PATIENCE = 120.0  # seconds after which a trial is lost; far more than a busy machine needs
KILLS = (Trouble.KILLED_BEFORE, Trouble.KILLED_AFTER)
LAST = 14  # the last request of either door that may meet trouble; a pass has about four of each


@dataclass(frozen=True)
class Plan:
    """What is to happen."""

    due: bool
    """Whether the challenger is sick, and must be taken away."""
    unleash: Mapping[int, Trouble]
    """Troubles by the number of the request."""
    prometheus: Mapping[int, Trouble]


@dataclass
class Result:
    """What happened."""

    flag: str
    due: bool
    rolled_back: bool
    by: str | None
    seconds: float
    """Until the flag was off, or until the job had said in a whole pass that all is well."""
    kills: int
    troubles: dict[str, int] = field(default_factory=dict)
    decisions: int = 0
    """Documents of rollbacks."""
    faults: list[str] = field(default_factory=list)
    """What went wrong; nothing, it is to be hoped."""


def draw(number: int, seed: int | str, last: int = LAST) -> Plan:
    """The plan of a trial. Every second one is due; outages last some requests, the rest hits single ones.

    `last`: the last request that may meet trouble.
    """
    dice = random.Random(f"{seed}/{number}")

    def troubles() -> dict[int, Trouble]:
        found: dict[int, Trouble] = {}
        for _ in range(dice.randint(1, 3)):
            kind, first = dice.choice(list(Trouble)), dice.randint(1, last)
            lasts = dice.randint(2, 6) if kind in {Trouble.CUT, Trouble.REFUSED} else 1
            found |= dict.fromkeys(range(first, first + lasts), kind)
        return found

    return Plan(number % 2 == 0, troubles(), troubles())


def only(flag: str) -> str:
    """Of a service that follows the flags of all trials: its counters, which name none, and this flag."""
    return f'job="service", flag=~"|{flag}"'


class Trial:
    """Runs one plan."""

    def __init__(self, plan: Plan, flag: str, admin: UnleashAdmin, folder: Path) -> None:
        self._plan, self._flag, self._admin, self._folder = plan, flag, admin, folder
        self._job: subprocess.Popen[bytes] | None = None
        self._kills = 0

    def run(self, environment: Mapping[str, str], unleash: str, prometheus: str) -> Result:
        """Carry it out against the servers at these addresses; `environment` is that of the job."""
        self._folder.mkdir()
        begun = time.monotonic()
        with ExitStack() as stack:
            doors = [
                stack.enter_context(Proxy(address(url), troubles, self._kill))
                for url, troubles in ((unleash, self._plan.unleash), (prometheus, self._plan.prometheus))
            ]
            variables = {
                **environment,
                "CANARIO_UNLEASH_URL": doors[0].url,
                "CANARIO_PROMETHEUS_URL": doors[1].url,
                "CANARIO_CANARY_FLAG": self._flag,
                "CANARIO_SELECTOR": only(self._flag),
                "CANARIO_DECISIONS_DIR": str(self._folder / "decisions"),
            }
            variables.pop("CANARIO_ROLLBACK_METRICS_BIND", None)
            stack.callback(self._end)
            ended = self._until_told(lambda: all(door.is_through for door in doors), variables)
        state = read_state(self._admin, self._flag)
        result = Result(
            flag=self._flag,
            due=self._plan.due,
            rolled_back=not state.enabled,
            by=state.changed_by,
            seconds=time.monotonic() - begun,
            kills=self._kills,
            troubles=dict(Counter(trouble.value for door in doors for trouble in door.met)),
        )
        if not ended:
            result.faults.append(f"nothing came of it within {PATIENCE:.0f} s, see {self._folder}")
        self._check(result)
        return result

    def _until_told(self, healed: Callable[[], bool], variables: Mapping[str, str]) -> bool:
        """Keep a job running until it has nothing more to do: whether that came about."""
        end = time.monotonic() + PATIENCE
        well_before = None
        while time.monotonic() < end:
            if self._job is None or self._job.poll() is not None:
                self._start(variables)
            if self._plan.due:
                # The flag may be off while the job does not know yet: it has to say so, or begin anew.
                if not read_state(self._admin, self._flag).enabled and self._passes("not exposed"):
                    return True
            elif healed():
                well_before = self._passes("fine") if well_before is None else well_before
                if self._passes("fine") > well_before:
                    return True
            time.sleep(0.1)
        return False

    def _start(self, variables: Mapping[str, str]) -> None:
        with (self._folder / "job.log").open("ab") as log:
            self._job = subprocess.Popen(
                [sys.executable, "-m", "rollback", "--every", "1s"],
                cwd=REPOSITORY,
                env=dict(variables),
                stdout=log,
                stderr=log,
            )

    def _kill(self) -> None:
        job = self._job
        if job is not None and job.poll() is None:
            self._kills += 1
            os.kill(job.pid, signal.SIGKILL)
            job.wait()

    def _end(self) -> None:
        if self._job is not None and self._job.poll() is None:
            self._job.send_signal(signal.SIGTERM)
            try:
                self._job.wait(30)
            except subprocess.TimeoutExpired:
                self._job.kill()
                self._job.wait()

    def _passes(self, outcome: str) -> int:
        return passes(self._folder / "job.log", outcome, self._flag)

    def _check(self, result: Result) -> None:
        """Every due rollback happened, no other one, and each is explained."""
        if result.due and not (result.rolled_back and result.by == "canario-rollback"):
            result.faults.append("the rollback was due, and did not happen")
        if not result.due and result.rolled_back:
            result.faults.append("it was rolled back although nothing was wrong")
        log = DecisionLog(self._folder / "decisions", most_bytes=10**9)
        ids = [name for name in log.ids() if "-rollback-" in name]
        result.decisions = len(ids)
        if result.rolled_back and not ids:
            result.faults.append("no decision explains the rollback")
        if not result.due and ids:
            result.faults.append(f"decisions of rollbacks that were not due: {', '.join(ids)}")
        for name in ids:
            for verdict in log.read(name).verdicts:
                status, _, _ = rejudge(verdict["evidence"])
                if status.value != verdict["verdict"]:
                    result.faults.append(f"{name}: {verdict['guardrail']} judged again is {status.value}")


def passes(log: Path, outcome: str, flag: str) -> int:
    """How many passes of this flag with this outcome the log tells of."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines() if log.exists() else []
    found = 0
    for line in lines:
        try:
            told = json.loads(line)
        except ValueError:
            continue  # a line that a kill cut off
        found += (told.get("outcome"), told.get("flag")) == (outcome, flag)
    return found


def address(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    assert parts.hostname
    assert parts.port
    return parts.hostname, parts.port
