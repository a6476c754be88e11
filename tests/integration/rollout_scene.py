"""A rollout on the stack's own servers: the plan's job, the rollback job and users."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import SecretStr
from sklearn.datasets import load_breast_cancer

from common.model_store import ModelStore
from common.names import Model
from common.release import Note, Roles
from drills.load import Load, Sample
from flags.canary.marks import BEGIN, lift, quarantined, resume, unpause
from flags.canary.share import set_share, turn_off
from flags.promotion.fleet import fleet
from flags.promotion.promote import Promoter
from flags.unleash.admin import UnleashAdmin
from stack.api import Stack
from stack.paths import REPOSITORY
from stack.processes import environment
from tests.integration.conftest import FLAG, Service, wait_for

SHADOW = "shadow"
RATE = 60.0
USERS = 1200
# What is judged is the plan. The machine of a test run may be busy, and equal models must not fall for that.
GUARDRAILS = """
scrape_interval: 5s
step: 5s
alpha: 0.05
guardrails:
  - kind: sequential
    name: errors
    description: more failed calls than the champion has
    bad: prediction_errors_total
    total: model_calls_total
    at_least: 0.2
    smallest_sample: 5
    share_of_alpha: 0.5
    action: rollback
  - kind: sequential
    name: hard-latency
    description: answers that nobody waits for
    histogram: latency_seconds
    slower_than: 2s
    limit: 0.2
    smallest_sample: 5
    share_of_alpha: 0.2
    action: rollback
"""
PLAN = """
must_judge: [errors, hard-latency]
guard_silent_for: 1m
begin: by_itself
promote: by_itself
stages:
  - {shadow: 100, least: 7d, samples: 10000, agreement: 0.8, failures: 0.2}
  - {share: 1, least: 24h, requests: 2000}
  - {share: 5, least: 24h, requests: 10000, share_within: 0.9}
  - {share: 25, least: 48h, requests: 50000, share_within: 0.5}
  - {share: 100, least: 24h, requests: 50000}
"""


@dataclass(frozen=True)
class Scene:
    """What a test looks at."""

    stack: Stack
    admin: UnleashAdmin
    variables: dict[str, str]
    folder: Path

    @property
    def store(self) -> ModelStore:
        return ModelStore(self.stack.site.home.models)

    def cli(self, *words: str, user: str = "canario-flags") -> tuple[int, str]:
        """Exit code and what `./canario rollout ...` printed."""
        told = self.variables | {"CANARIO_UNLEASH_ADMIN_TOKEN_FILE": str(self.stack.site.secrets.token(user))}
        done = subprocess.run(
            [sys.executable, "-m", "flags", "rollout", *words],
            cwd=REPOSITORY,
            env=told,
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )
        assert "Traceback" not in done.stderr, done.stderr
        return done.returncode, done.stdout + done.stderr

    def status(self) -> dict[str, Any]:
        code, told = self.cli("status", "--json")
        assert code == 0, told
        fields: dict[str, Any] = json.loads(told)
        return fields

    @contextmanager
    def running(self, name: str, *words: str, **settings: str) -> Iterator[subprocess.Popen[bytes]]:
        """A job of its own, with its log in the test's folder."""
        log = self.folder / f"{name}.log"
        with log.open("ab") as out:
            process = subprocess.Popen(
                [sys.executable, "-m", *words],
                cwd=REPOSITORY,
                env=self.variables | settings,
                stdout=out,
                stderr=out,
            )
        try:
            yield process
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                try:
                    process.wait(30)
                except subprocess.TimeoutExpired:
                    os.kill(process.pid, signal.SIGKILL)
                    process.wait()

    @contextmanager
    def guard(self, **settings: str) -> Iterator[subprocess.Popen[bytes]]:
        """The rollback job, every 2 s; `settings` are CANARIO_ variables in lower case without the prefix."""
        variables = environment.rollback(self.stack.site) | {
            "CANARIO_DECISIONS_DIR": str(self.folder / "decisions"),
            **{f"CANARIO_{name.upper()}": value for name, value in settings.items()},
        }
        file = str(self.folder / "guardrails.yaml")
        with self.running("rollback", "rollback", "--every", "2s", "--guardrails", file, **variables) as job:
            yield job

    @contextmanager
    def jobs(self) -> Iterator[None]:
        """The rollback job, and the job of the plan, each as its own user of Unleash."""
        own = {"CANARIO_UNLEASH_ADMIN_TOKEN_FILE": str(self.stack.site.secrets.token("canario-rollout"))}
        with self.guard(), self.running("rollout", "flags", "rollout", "advance", "--every", "1s", **own):
            yield

    @contextmanager
    def load(self) -> Iterator[Load]:
        """Users that come again and again."""
        rows = [list(map(float, row)) for row in load_breast_cancer().data]
        users = [f"rollout-{number}" for number in range(USERS)]
        with Load(self.stack.addresses.service, rows, users, RATE) as load:
            yield load

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text(encoding="utf-8")


@contextmanager
def scene_of(
    stack: Stack, admin: UnleashAdmin, folder: Path, *, speed: float, plan: str = PLAN
) -> Iterator[Scene]:
    """Both flags at 0%, nothing held, the stack's own challenger; the same again afterwards."""
    (folder / "rollout.yaml").write_text(plan, encoding="utf-8")
    (folder / "guardrails.yaml").write_text(GUARDRAILS, encoding="utf-8")
    variables = environment.flags_command(stack.site) | {
        "CANARIO_ROLLOUT_PLAN": str(folder / "rollout.yaml"),
        "CANARIO_ROLLOUT_SPEED": str(speed),
    }
    roles = ModelStore(stack.site.home.models).read().roles
    _reset(admin)
    service = Service(stack.addresses.service)
    wait_for(lambda: service.all_say("anyone", "champion"), 10, "the champion for everybody")
    try:
        yield Scene(stack, admin, variables, folder)
    finally:
        stack.site.home.drill.unlink(missing_ok=True)
        _reset(admin)
        _restore(stack, admin, roles)


def _reset(admin: UnleashAdmin) -> None:
    for flag in (FLAG, SHADOW):
        if quarantined(admin, flag):
            lift(admin, flag, "a test")
        unpause(admin, flag)
        if begun := [tag for tag in admin.tags.of(flag) if tag.type == BEGIN]:
            admin.tags.change(flag, remove=begun)
        set_share(admin, flag, 0, enable=False)
        turn_off(admin, flag)
        resume(admin, flag, "a test")


def _restore(stack: Stack, admin: UnleashAdmin, roles: Roles) -> None:
    store = ModelStore(stack.site.home.models)
    if store.read().roles == roles:
        return
    asked = fleet([stack.addresses.service], SecretStr(stack.secret("service-admin.token")))
    promoter, note = Promoter(store, admin, FLAG, asked), Note("a test")
    if store.read().roles.champion != roles.champion:
        promoter.back(note)
    promoter.challenge(stack.site.cache.model(Model.CHALLENGER), note)


def flipped(samples: Sequence[Sample]) -> dict[str, list[str]]:
    """Users that changed to the challenger or back from it more than once, and what they were given."""
    found: dict[str, list[str]] = {}
    for sample in sorted(samples, key=lambda one: one.due):
        if sample.assigned is None:
            continue
        given = found.setdefault(sample.user, [])
        if not given or given[-1] != sample.assigned:
            given.append(sample.assigned)
    once = ["champion", "challenger", "champion"]
    return {user: given for user, given in found.items() if given != once[: len(given)]}


def wait_until(condition: Any, seconds: float, what: str) -> float:
    """As `wait_for`, looking once a second: each look is a program that starts."""
    begun = time.monotonic()

    def slowly() -> bool:
        time.sleep(0.95)
        return bool(condition())

    wait_for(slowly, seconds, what)
    return time.monotonic() - begun
