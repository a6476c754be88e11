"""`./canario example`: a service that is not ours is guarded, and rolled back when it breaks."""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import click

from common.errors import CanarioError
from common.terminal import Console
from drills.command import exit_codes, json_option, own_stack, write_figures
from drills.shop import CHALLENGER, FLAG, FOLDER, ROLLOUTS, Shop, Visitors, shop
from flags.canary.share import read_state
from flags.unleash.admin import UnleashAdmin
from stack.api import Stack
from stack.paths import REPOSITORY
from stack.progress import Progress
from stack.site import Settings, with_needs
from stack.up import step_count

PERCENT: Final = 5
RATE: Final = 50.0
LIMIT_SECONDS: Final = 20.0
PATIENCE_SECONDS: Final = 90.0
BEFORE_SECONDS: Final = 25.0  # 1,000 calls of the champion, from which its times are known
WARM_CALLS: Final = 40
GUARDED: Final = ("postgres", "unleash", "prometheus", "rollback")
SHOWN: Final = ("rollout", "board")
COMMAND_SECONDS: Final = 90.0
TABLE_WIDTH: Final = 120  # of what commands show, indented here


class ExampleError(CanarioError):
    """A command of the example fails, or what must come does not."""


@click.command()
@click.option(
    "--fault",
    type=click.Choice(["slow", "error"]),
    default="slow",
    show_default=True,
    help="What it does.",
)
@click.option("--keep", is_flag=True, help="Start the board and the plan too, and leave all until Ctrl-C.")
@json_option
def example(fault: str, keep: bool, json_file: Path | None) -> None:
    """The FastAPI service of examples/fastapi, guarded by its own series on servers of its own.

    Its flag is made, 50 users a second come, 5% get the new ranker, which then becomes slow or fails. Passed
    if its flag is off within 20 s, and its own counter was seen to stand still afterwards.

    \b
    Examples:
      ./canario example
      ./canario example --fault error --json example.json
    """
    console = Console(highlight=False)
    programs = GUARDED + SHOWN if keep else GUARDED
    with (
        exit_codes("the example could not be carried out"),
        own_stack(
            *programs,
            environment={"flags": {"CANARIO_ROLLOUTS": str(ROLLOUTS)}},
            progress=Progress(step_count(Settings(programs=with_needs(programs)))),
        ) as stack,
        shop(stack, stack.home.log("shop")) as service,
    ):
        figures = Example(stack, service, lambda told: console.print(told, soft_wrap=True)).run(fault)
        write_figures(console.print, json_file, figures)
        if keep:
            _wait(stack, service, console)
    sys.exit(0 if figures["passed"] else 1)


class Example:
    """One run, told to `say` as it goes."""

    def __init__(self, stack: Stack, service: Shop, say: Callable[[str], object]) -> None:
        self._stack, self._shop, self._say = stack, service, say
        self._admin = UnleashAdmin(stack.addresses.unleash, stack.secret("canario-flags.token"))
        self._begun = time.monotonic()

    def run(self, fault: str) -> dict[str, Any]:
        """What was measured. Raises ExampleError, ShopError, AdminError."""
        self._tell(f"the shop answers at {self._shop.url}, and Prometheus scrapes its /metrics")
        self._command("flags", "apply", "--file", str(FOLDER / "flags.yaml"))
        with Visitors(self._shop, RATE) as visitors:
            self._tell(f"{RATE:g} users a second come; all get the old ranker")
            time.sleep(BEFORE_SECONDS)
            self._command("rollback", "check")
            self._command("flags", "set", FLAG, str(PERCENT))
            given = time.monotonic()
            self._until(
                lambda: visitors.counted(given)[CHALLENGER] >= WARM_CALLS, "the new ranker answers nobody"
            )
            self._tell(f"the new ranker gave {visitors.counted(given)[CHALLENGER]} answers, and is well:")
            self._command("rollback", "check")
            self._tell(f"FAULT: the new ranker is {'slow' if fault == 'slow' else 'failing'} from now on")
            self._shop.break_challenger(fault)
            broken = time.monotonic()
            self._until(lambda: not read_state(self._admin, FLAG).enabled, "nobody turned the flag off")
            off = time.monotonic() - broken
            self._tell(f"the flag is off, {off:.1f} s after the fault, by {self._by()}")
            self._until(lambda: self._stop() is not None, "it was not told whether the new ranker stopped")
            stop = self._stop() or {}
            stopped = time.monotonic() - broken
            self._tell(f"{stop['state']}, {stopped:.1f} s after the fault: {stop['sentence']}")
        self._command("rollback", "explain")
        passed = off <= LIMIT_SECONDS and stop["state"] == "verified"
        self._tell(f"{'PASSED' if passed else 'FAILED'}: off after {off:.1f} s, {LIMIT_SECONDS:g} s allowed")
        return {
            "drill": "example",
            "passed": passed,
            "fault": fault,
            "seconds_to_off": off,
            "seconds_to_verified_stop": stopped,
            "stop": stop,
        }

    def _tell(self, sentence: str) -> None:
        self._say(f"{time.monotonic() - self._begun:6.1f} s  {sentence}")

    def _command(self, *words: str) -> None:
        """Run a command as a person would, and show what it says. Raises ExampleError."""
        self._say(f"          $ python -m {' '.join(words)}")
        done = subprocess.run(
            [sys.executable, "-m", *words],
            cwd=REPOSITORY,
            env={**self._stack.env("flags"), "COLUMNS": str(TABLE_WIDTH)},
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS,
            check=False,
        )
        for line in (done.stdout + done.stderr).splitlines():
            self._say(f"          {line}".rstrip())
        if done.returncode:
            raise ExampleError(f"`python -m {' '.join(words)}` ends with {done.returncode}")

    def _until(self, holds: Callable[[], bool], otherwise: str) -> None:
        end = time.monotonic() + PATIENCE_SECONDS
        while not holds():
            if time.monotonic() > end:
                raise ExampleError(f"{otherwise} within {PATIENCE_SECONDS:g} s")
            time.sleep(0.2)

    def _by(self) -> str:
        return read_state(self._admin, FLAG).changed_by or "somebody"

    def _stop(self) -> dict[str, Any] | None:
        """What the rollback job kept of the stop."""
        folder = self._stack.home.data / "decisions"
        found = sorted(folder.glob("*-stop-*.json"))
        return json.loads(found[-1].read_bytes())["stop"] if found else None


def _wait(stack: Stack, service: Shop, console: Console) -> None:
    """Until Ctrl-C, with users who go on coming."""
    password = stack.secret("unleash-admin.password")
    for line in (
        "",
        f"Board       {stack.addresses.board}",
        f"Unleash     {stack.addresses.unleash}   user admin, password {password}",
        f"Prometheus  {stack.addresses.prometheus}/classic/graph",
        f"Shop        {service.url}/docs   PUT /fault/none mends the new ranker",
        f"Commands    ./canario --home {stack.home.root} rollouts",
        "Ctrl-C ends all of it.",
    ):
        console.print(line, soft_wrap=True)
    with Visitors(service, RATE / 5):
        stack.wait()
