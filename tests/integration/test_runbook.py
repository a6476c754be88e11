"""The runbook and its other page do what they say: each command is run on real servers, in their order.

What the page says of waiting is done here: faults, stops by hand and stages that take days are prepared
before the paragraph that speaks of them.
"""

import json
import os
import re
import shutil
import statistics
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from common.model_store import METADATA_FILE
from common.names import Model
from drills.load import Load
from drills.target import of_stack
from flags.canary import lease
from flags.canary.marks import label, quarantine, quarantined
from flags.canary.share import read_state, set_share, turn_off
from flags.rollout.conditions import BEGIN
from flags.unleash.admin import UnleashAdmin
from stack.api import Stack
from stack.paths import REPOSITORY
from stack.processes import environment
from tests import runbook
from tests.integration.conftest import FLAG, ProductManager, wait_for
from tests.integration.rollout_scene import PLAN, SHADOW, Scene, scene_of, wait_until

SPEED = 20_000.0  # twelve days in 52 s, and what scrapes take
TRIALS = int(os.environ.get("CANARIO_TEST_RUNBOOK_TRIALS", "1"))
GONE_WITHIN_SECONDS = 6.0  # on a busy machine; the page has the figures of a quiet one
STOPS = ("By the command line", "By curl, to Unleash", "By curl, to the service", "Without Unleash")
COMMANDS = runbook.commands(runbook.both())
LEASE = "5s"


@dataclass
class Reader:
    """Somebody who goes through the page with a shell, on the servers of `scene`.

    Attributes:
        more: variables of the shell, beside those of `./canario exec`.
        before: what must have happened before the paragraph with this heading.
    """

    scene: Scene
    load: Load
    more: dict[str, str] = field(default_factory=dict)
    before: dict[str, Callable[[], None]] = field(default_factory=dict)

    def go_through(self, section: str, *, first: Callable[[runbook.Command], None] | None = None) -> None:
        """Run all commands of a section, preparing each paragraph."""
        heading = ""
        for command in COMMANDS:
            if command.section != section:
                continue
            if command.heading != heading:
                heading = command.heading
                self.before.get(heading, lambda: None)()
            if first:
                first(command)
            self.run(command)

    def run(self, command: runbook.Command) -> None:
        done = subprocess.run(
            ["bash", "-c", command.line],
            cwd=REPOSITORY,
            env=self.scene.variables | self.more,
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        told = f"$ {command.line}\n{done.stdout}{done.stderr}(exit code {done.returncode})"
        if "python -m drills" in command.line and done.returncode == 1:
            # Goals in milliseconds are for a quiet machine, not for one that runs all tests.
            assert re.search(r"flag off\s+after \d", done.stdout), told
            return
        assert done.returncode == command.code, told
        printed = done.stdout + (done.stderr if "apprise" in command.line else "")
        expected = "\n".join(command.expected)
        assert not command.differs(printed), f"{told}\nthe page says:\n{expected}"

    def show_challenger(self, percent: int) -> None:
        """Give it users, and see that it answers them."""
        set_share(self.scene.admin, FLAG, percent, override="the runbook")
        begun = time.monotonic()
        wait_for(lambda: self.last_of_challenger() > begun, 15, "an answer of the challenger")

    def last_of_challenger(self) -> float:
        """When a user last had an answer of the challenger."""
        times = [one.due + one.seconds for one in self.load.samples if one.model == Model.CHALLENGER]
        return max(times, default=0.0)

    def time_to_the_last_answer(self, order: Callable[[], None]) -> float:
        """Seconds from the order on."""
        begun = time.monotonic()
        order()
        wait_for(
            lambda: time.monotonic() - max(begun, self.last_of_challenger()) > 1.5,
            30,
            "the end of its answers",
        )
        return max(self.last_of_challenger() - begun, 0.0)


@pytest.fixture
def new_model(stack: Stack, tmp_path: Path) -> Path:
    """The artifact of a new version."""
    folder = tmp_path / "new-model"
    shutil.copytree(stack.site.cache.model(Model.CHALLENGER), folder)
    metadata = json.loads((folder / METADATA_FILE).read_text(encoding="utf-8"))
    (folder / METADATA_FILE).write_text(json.dumps(metadata | {"version": "2"}), encoding="utf-8")
    return folder


@pytest.fixture
def read(stack: Stack, admin: UnleashAdmin, tmp_path: Path, new_model: Path) -> Iterator[Reader]:
    """Reads on the session's stack, with users that come all the time, and its rollback job."""
    with _reader(stack, admin, tmp_path, new_model, speed=1.0) as reader:
        stack.start("rollback")
        try:
            yield reader
        finally:
            stack.stop("rollback")


@contextmanager
def _reader(
    stack: Stack, admin: UnleashAdmin, folder: Path, new_model: Path, speed: float
) -> Iterator[Reader]:
    more = {
        "CANARIO_HOME": str(stack.home.root),
        "CANARIO_CACHE": str(stack.site.cache.root),
        "COLUMNS": "100",
        "NEW_MODEL": str(new_model),
        "SECRETS": str(stack.home.secrets),
    }
    plan = PLAN.replace("begin: by_itself", "begin: by_hand")  # as in the one that is shipped
    with scene_of(stack, admin, folder, speed=speed, plan=plan) as scene, scene.load() as load:
        yield Reader(scene, load, more)


def test_every_section_with_commands_is_read() -> None:
    tested = {"Stop the challenger now", "What is going on", "Alerts", "After a rollback"}
    tested |= {"A rollout, from shadow to 100%", "Drills for each quarter"}
    assert {one.section for one in COMMANDS} == tested
    stops = {one.heading for one in COMMANDS if one.section == "Stop the challenger now"}
    assert stops == set(STOPS)


def test_stop_the_challenger_now(read: Reader, manager: ProductManager) -> None:
    stack, admin = read.scene.stack, read.scene.admin
    stack.stop("rollback")  # it has no part in this
    orders: dict[str, Callable[[], None]] = {
        "In the Unleash UI": lambda: manager.switch(FLAG, on=False),
        **{
            one.heading: lambda one=one: read.run(one)  # type: ignore[misc]
            for one in COMMANDS
            if one.heading in STOPS
        },
    }
    for way, order in orders.items():
        seconds: list[float] = []
        for _ in range(TRIALS):
            read.show_challenger(25)
            try:
                if way == "Without Unleash":
                    stack.stop("unleash")
                seconds.append(read.time_to_the_last_answer(order))
            finally:
                if way == "Without Unleash":
                    stack.start("unleash")
            if way == "Without Unleash":
                set_share(admin, FLAG, 0)
                _give_roles_back(read)
            else:
                assert not read_state(admin, FLAG).exposed
        print(f"{way}: median {statistics.median(seconds):.1f} s, worst {max(seconds):.1f} s")
        assert max(seconds) < GONE_WITHIN_SECONDS
    assert [one for one in read.load.samples if one.failed] == []
    stack.start("rollback")


def _give_roles_back(read: Reader) -> None:
    model = read.scene.stack.site.cache.model(Model.CHALLENGER)
    line = f"./canario models challenger {model}"
    read.run(runbook.Command("", "", line, ("...",), 0))


def test_what_is_going_on(read: Reader) -> None:
    _decide_something(read)
    read.show_challenger(25)
    time.sleep(6)  # a scrape and a pass of the job
    read.go_through("What is going on")


def _decide_something(read: Reader) -> None:
    """`explain --list` needs a decision."""
    decisions = Path(read.scene.variables["CANARIO_DECISIONS_DIR"])
    if not decisions.is_dir():
        _roll_back(read)
        _lift(read)


def test_alerts(read: Reader) -> None:
    read.show_challenger(25)
    with _listener() as address:
        read.more["ADDRESS"] = address
        read.go_through("Alerts")


@contextmanager
def _listener() -> Iterator[str]:
    """An address for notifications, where somebody listens."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"json://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_after_a_rollback(read: Reader) -> None:
    admin = read.scene.admin

    def rolled_back() -> None:
        challenger = read.scene.store.read().roles.challenger
        assert challenger is not None
        turn_off(UnleashAdmin(admin.url, read.scene.stack.secret("canario-rollback.token")), FLAG)
        quarantine(admin, FLAG, label(challenger.version, challenger.sha256))

    def stopped_by_hand() -> None:
        _lift(read)
        read.show_challenger(1)
        turn_off(admin, FLAG)

    set_share(admin, SHADOW, 100)
    read.before = {
        "Ask why": lambda: _roll_back(read),
        "It was not the model": rolled_back,
        "Once more, with open eyes": rolled_back,
        "After a stop by hand": stopped_by_hand,
    }
    read.go_through("After a rollback")


def _roll_back(read: Reader) -> None:
    """The challenger goes bad, and the stack's own job takes it away."""
    target, admin = of_stack(read.scene.stack), read.scene.admin
    read.show_challenger(25)
    target.switch_fault_on("exception")
    try:
        wait_until(lambda: not read_state(admin, FLAG).enabled, 90, "the rollback")
        wait_until(lambda: quarantined(admin, FLAG), 10, "the quarantine")
    finally:
        target.switch_fault_off()


def _lift(read: Reader) -> None:
    line = f'./canario lift {FLAG} --reason "the next paragraph"'
    read.run(runbook.Command("", "", line, ("...",), 0))


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_rollout_from_shadow_to_everybody(
    stack: Stack, admin: UnleashAdmin, tmp_path: Path, new_model: Path
) -> None:
    with _reader(stack, admin, tmp_path, new_model, SPEED) as read, _guard(read.scene):
        _switch_on_at_zero(read)

        def wait_for_the_gates(command: runbook.Command) -> None:
            """What takes days."""
            if "rollout advance" in command.line or "rollout status" in command.line:
                of_time = [gate for gate in read.scene.status()["gates"] if gate["name"] != BEGIN]
                is_last = command.heading.startswith("Day 12")
                if command.code or not (of_time or is_last):
                    return
                # Just after 100% the step before may still stand there, which is not the one.
                ready = {"promote"} if is_last else {"advance", "promote"}
                wait_until(lambda: read.scene.status()["step"]["kind"] in ready, 120, f"gates: {command}")

        read.go_through("A rollout, from shadow to 100%", first=wait_for_the_gates)
        assert [one for one in read.load.samples if one.failed] == []


def _guard(scene: Scene) -> AbstractContextManager[object]:
    """The rollback job, without the job of the plan: the reader takes the steps."""
    guardrails = str(scene.folder / "guardrails.yaml")
    watch = environment.rollback(scene.stack.site)
    return scene.running("rollback", "rollback", "--every", "2s", "--guardrails", guardrails, **watch)


def _switch_on_at_zero(read: Reader) -> None:
    for flag in (FLAG, SHADOW):
        line = f"./canario on {flag}"
        read.run(runbook.Command("", "", line, ("...",), 0))


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_drills(read: Reader) -> None:
    admin = read.scene.admin

    def lease_is_over() -> None:
        _lift(read)
        set_share(admin, FLAG, 25)

    def wait_for_its_end(command: runbook.Command) -> None:
        if command.heading == "The guard dies" and "show" in command.line:
            line = f"CANARIO_LEASE={LEASE} ./canario lease {FLAG}"
            read.run(runbook.Command("", "", line, ("...",), 0))
            time.sleep(6)

    with _listener() as address:
        read.more["ADDRESS"] = address
        read.before = {"The guard dies": lease_is_over}
        try:
            read.go_through("Drills for each quarter", first=wait_for_its_end)
        finally:
            lease.remove_lease(admin, FLAG)
