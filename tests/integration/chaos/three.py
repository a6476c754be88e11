"""One trial of three rollouts in one process, one of them sick, and the plan's job beside it."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from flags.canary.share import read_state
from flags.canary.state import CanaryState
from flags.unleash.admin import UnleashAdmin
from rollback.decisions.log import DecisionLog
from rollback.guardrails.file import rejudge
from stack.paths import REPOSITORY
from tests.integration.chaos.proxy import Proxy
from tests.integration.chaos.trial import Plan, address, passes

PATIENCE = 150.0
LAST = 40  # the last request of a door that may meet trouble; a pass of three has about ten of each
SICK = "sick"
JOBS = (SICK, "well-a", "well-b")
"""Of the services in Prometheus, one for each rollout."""
ROLLOUT = """\
name: {job}
flag: {{name: {flag}}}
arms: {{selector: '{selector}'}}
signals: canario-service
guardrails: model-server
plan: canary
"""


@dataclass
class ThreeResult:
    """What happened."""

    seconds: float
    """Until the sick one's flag was off, and both others were judged well after the last trouble."""
    kills: int
    troubles: dict[str, int]
    judged: dict[str, int] = field(default_factory=dict)
    """Passes of each rollout that could measure all and found it well."""
    faults: list[str] = field(default_factory=list)


def only(job: str, flag: str) -> str:
    """Matchers of a service that follows the flags of all trials, and of this flag."""
    return f'job="{job}", flag=~"|{flag}"'


@dataclass
class _Process:
    """A job that is begun again whenever it ended."""

    words: Sequence[str]
    variables: Mapping[str, str]
    log: Path
    kills: int = 0
    _running: "subprocess.Popen[bytes] | None" = None

    def ensure(self) -> None:
        if self._running is None or self._running.poll() is not None:
            with self.log.open("ab") as out:
                self._running = subprocess.Popen(
                    [sys.executable, "-m", *self.words],
                    cwd=REPOSITORY,
                    env=dict(self.variables),
                    stdout=out,
                    stderr=out,
                )

    def kill(self) -> None:
        running = self._running
        if running is not None and running.poll() is None:
            self.kills += 1
            os.kill(running.pid, signal.SIGKILL)
            running.wait()

    def end(self) -> None:
        if self._running is None or self._running.poll() is not None:
            return
        self._running.send_signal(signal.SIGTERM)
        try:
            self._running.wait(40)
        except subprocess.TimeoutExpired:
            self._running.kill()
            self._running.wait()


@dataclass
class ThreeTrial:
    """Runs one. `flags` by the job of each service; `plans`: of the rollback job, and of the plan's."""

    flags: Mapping[str, str]
    plans: tuple[Plan, Plan]
    admin: UnleashAdmin
    folder: Path

    def run(
        self, environments: tuple[Mapping[str, str], Mapping[str, str]], unleash: str, prometheus: str
    ) -> ThreeResult:
        """Carry it out; `environments` are those of the two jobs."""
        self._write_rollouts()
        before = {job: read_state(self.admin, flag) for job, flag in self.flags.items()}
        begun = time.monotonic()
        commands = (("rollback", "--every", "1s"), ("flags", "rollout", "advance", "--every", "1s"))
        with ExitStack() as stack:
            processes, doors = [], []
            for words, plan, environment in zip(commands, self.plans, environments, strict=True):
                process = _Process(words, {}, self.folder / f"{words[0]}.log")
                own = [
                    stack.enter_context(Proxy(address(url), troubles, process.kill))
                    for url, troubles in ((unleash, plan.unleash), (prometheus, plan.prometheus))
                ]
                process.variables = self._variables(environment, *(door.url for door in own))
                stack.callback(process.end)
                processes.append(process)
                doors += own
            ended = self._until_told(processes, doors)
        result = ThreeResult(
            seconds=time.monotonic() - begun,
            kills=sum(process.kills for process in processes),
            troubles=dict(Counter(trouble.value for door in doors for trouble in door.met)),
            judged={job: self._passes(job, "fine") for job in self.flags},
        )
        if not ended:
            result.faults.append(f"nothing came of it within {PATIENCE:.0f} s, see {self.folder}")
        for job in self.flags:
            result.faults += [f"{job}: {fault}" for fault in self._faults(job, before[job])]
        return result

    def _write_rollouts(self) -> None:
        for job, flag in self.flags.items():
            folder = self.folder / "rollouts" / job
            folder.mkdir(parents=True)
            text = ROLLOUT.format(job=job, flag=flag, selector=only(job, flag))
            (folder / "rollout.yaml").write_text(text, encoding="utf-8")

    def _variables(self, environment: Mapping[str, str], unleash: str, prometheus: str) -> dict[str, str]:
        dropped = ("CANARIO_ROLLBACK_METRICS_BIND", "CANARIO_ROLLOUT_METRICS_BIND", "CANARIO_MODELS")
        return {
            **{name: value for name, value in environment.items() if name not in dropped},
            "CANARIO_UNLEASH_URL": unleash,
            "CANARIO_PROMETHEUS_URL": prometheus,
            "CANARIO_ROLLOUTS": str(self.folder / "rollouts"),
            "CANARIO_DECISIONS_DIR": str(self.folder / "decisions"),
        }

    def _until_told(self, processes: Sequence[_Process], doors: Sequence[Proxy]) -> bool:
        """Keep both jobs running until they have nothing more to do: whether that came about."""
        end, well_before = time.monotonic() + PATIENCE, None
        wells = [job for job in self.flags if job != SICK]
        while time.monotonic() < end:
            for process in processes:
                process.ensure()
            off = not read_state(self.admin, self.flags[SICK]).enabled
            if off and self._passes(SICK, "not exposed") and all(door.is_through for door in doors):
                now = [self._passes(job, "fine") for job in wells]
                well_before = well_before or now
                if all(after > before for after, before in zip(now, well_before, strict=True)):
                    return True
            time.sleep(0.2)
        return False

    def _passes(self, job: str, outcome: str) -> int:
        return passes(self.folder / "rollback.log", outcome, self.flags[job])

    def _faults(self, job: str, before: CanaryState) -> list[str]:
        """What differs from what is due: the sick one off and explained, the others as they were."""
        faults, now = [], read_state(self.admin, self.flags[job])
        log = DecisionLog(self.folder / "decisions" / job, most_bytes=10**9)
        rollbacks = [log.read(name) for name in log.ids() if "-rollback-" in name]
        if job == SICK:
            if now.enabled or now.changed_by != "canario-rollback":
                faults.append("the rollback was due, and did not happen")
            if not rollbacks:
                faults.append("no decision explains the rollback")
        else:
            if (now.enabled, now.percent, now.revision) != (True, before.percent, before.revision):
                faults.append(f"its share was touched by {now.changed_by}")
            if now.quarantined:
                faults.append(f"its version was blocked: {now.quarantined}")
            if rollbacks:
                faults.append("a decision tells of a rollback")
        faults += [f"a decision is of {each.flag}" for each in rollbacks if each.flag != self.flags[job]]
        for verdict in (verdict for each in rollbacks for verdict in each.verdicts):
            status, _, _ = rejudge(verdict["evidence"])
            if status.value != verdict["verdict"]:
                faults.append(f"{verdict['guardrail']} judged again is {status.value}")
        return faults


def told(results: Sequence[ThreeResult]) -> str:
    """The figures, as JSON."""
    seconds = sorted(each.seconds for each in results)
    return json.dumps(
        {
            "trials_of_three": len(results),
            "sick_rolled_back_and_others_untouched": sum(not each.faults for each in results),
            "kills": sum(each.kills for each in results),
            "troubles": dict(sum((Counter(each.troubles) for each in results), Counter[str]())),
            "well_passes_of_each": [each.judged for each in results],
            "median_seconds": seconds[len(seconds) // 2],
            "worst_seconds": seconds[-1],
            "faults": [fault for each in results for fault in each.faults],
        },
        indent=2,
    )
