"""A service that is not ours (examples/fastapi) on real servers: judged, planned and rolled back."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests

from drills.load import Load
from drills.shop import CHALLENGER, FLAG, FOLDER, ROLLOUTS, Shop, Visitors, shop
from drills.target import of_stack
from flags.canary.marks import BEGIN, lift, quarantined, resume
from flags.canary.share import read_state, set_share, turn_off, turn_on
from flags.unleash.admin import UnleashAdmin
from rollback.guardrails.edges import FEWEST_CALLS
from stack.api import Stack
from stack.paths import REPOSITORY
from stack.processes import environment
from tests.integration.conftest import FLAG as OURS
from tests.integration.conftest import ROW, wait_for

RATE, PERCENT, LIMIT_SECONDS = 50.0, 5, 20.0
WARM_CALLS = 30
WHY = "a test"


@dataclass(frozen=True)
class Scene:
    """The shop with users, on the stack's servers."""

    stack: Stack
    admin: UnleashAdmin
    shop: Shop
    visitors: Visitors
    folder: Path

    def run(self, *words: str, rollouts: Path = ROLLOUTS, **settings: str) -> tuple[int, str, str]:
        """Exit code, output and log of `python -m WORDS`; `settings`: CANARIO_ variables in lower case."""
        done = subprocess.run(
            [sys.executable, "-m", *words],
            cwd=REPOSITORY,
            env=self._variables(rollouts, "canario-flags", settings) | {"COLUMNS": "300"},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert "Traceback" not in done.stderr, done.stderr
        return done.returncode, done.stdout, done.stderr

    @contextmanager
    def running(
        self, user: str, *words: str, rollouts: Path = ROLLOUTS, **settings: str
    ) -> Iterator["subprocess.Popen[bytes]"]:
        """A job as its own user of Unleash, with its log in the test's folder."""
        with (self.folder / f"{user}.log").open("ab") as out:
            process = subprocess.Popen(
                [sys.executable, "-m", *words],
                cwd=REPOSITORY,
                env=self._variables(rollouts, user, settings),
                stdout=out,
                stderr=out,
            )
        try:
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(40)
            except subprocess.TimeoutExpired:
                os.kill(process.pid, signal.SIGKILL)
                process.wait()

    @contextmanager
    def guarded(self, rollouts: Path = ROLLOUTS, **settings: str) -> Iterator[None]:
        with self.running(
            "canario-rollback", "rollback", "--every", "5s", rollouts=rollouts, **settings
        ) as job:
            yield
            assert job.poll() is None, self.log("canario-rollback")

    def log(self, user: str) -> str:
        return (self.folder / f"{user}.log").read_text(encoding="utf-8")

    def give(self, percent: int) -> float:
        """The share, also after a rollback; and when that was, by the monotonic clock."""
        set_share(self.admin, FLAG, percent, override=WHY)
        return time.monotonic()

    def warm(self, since: float, calls: int = WARM_CALLS) -> None:
        """Until the challenger has answered so often."""
        wait_for(lambda: self.visitors.counted(since)[CHALLENGER] >= calls, 90, f"{calls} calls of it")

    def seconds_to_off(self, flag: str = FLAG, most: float = 60.0) -> float:
        return wait_for(lambda: not read_state(self.admin, flag).enabled, most, f"{flag} off")

    def stops(self, folder: Path | None = None) -> list[dict[str, Any]]:
        """What was kept of stops, the oldest first."""
        found = sorted((folder or self.folder / "decisions").glob("*-stop-*.json"))
        return [json.loads(file.read_bytes())["stop"] for file in found]

    def _variables(self, rollouts: Path, user: str, settings: dict[str, str]) -> dict[str, str]:
        return {
            **environment.rollback(self.stack.site),
            "CANARIO_UNLEASH_ADMIN_TOKEN_FILE": str(self.stack.site.secrets.token(user)),
            "CANARIO_ROLLOUTS": str(rollouts),
            "CANARIO_DECISIONS_DIR": str(self.folder / "decisions"),
            "CANARIO_LEASE": "15m",
            **{f"CANARIO_{name.upper()}": value for name, value in settings.items()},
        }


@pytest.fixture(scope="module")
def open_shop(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Shop, Visitors]]:
    """With users who come all the time, so that the champion's times are known before each stage."""
    log = tmp_path_factory.mktemp("shop") / "shop.log"
    with shop(stack, log) as opened, Visitors(opened, RATE, users=5000) as visitors:
        wait_for(lambda: len(visitors.visits) > 1.2 * FEWEST_CALLS, 60, "users of the shop")
        yield opened, visitors


@pytest.fixture
def scene(
    stack: Stack, admin: UnleashAdmin, open_shop: tuple[Shop, Visitors], tmp_path: Path
) -> Iterator[Scene]:
    """The shop's flag on at 0%, nothing blocked, and no fault."""
    opened, visitors = open_shop
    found = Scene(stack, admin, opened, visitors, tmp_path)
    opened.break_challenger("none")
    code, out, error = found.run("flags", "apply", "--file", str(FOLDER / "flags.yaml"))
    assert code == 0, out + error
    restore(admin, FLAG)
    yield found
    opened.break_challenger("none")
    turn_off(admin, FLAG)


def restore(admin: UnleashAdmin, flag: str) -> None:
    """On at 0%, with no marks of the test before."""
    if quarantined(admin, flag):
        lift(admin, flag, WHY)
    if begun := [tag for tag in admin.tags.of(flag) if tag.type == BEGIN]:
        admin.tags.change(flag, remove=begun)
    set_share(admin, flag, 0, enable=False)
    turn_on(admin, flag, override=WHY)
    resume(admin, flag, WHY)


def changed(folder: Path, old: str, new: str) -> Path:
    """The example's rollout with other words in its file."""
    copied = folder / "rollouts"
    shutil.copytree(ROLLOUTS, copied)
    file = copied / "ranker" / "rollout.yaml"
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new), encoding="utf-8")
    return copied


@pytest.mark.timeout(240)
@pytest.mark.parametrize("fault", ["slow", pytest.param("error", marks=pytest.mark.slow)])
def test_a_fault_is_rolled_back_and_the_stop_seen_by_its_own_series(scene: Scene, fault: str) -> None:
    with scene.guarded():
        scene.warm(scene.give(PERCENT))
        scene.shop.break_challenger(fault)
        seconds = scene.seconds_to_off()
        print(f"{fault}: the flag was off {seconds:.1f} s after the fault")
        assert seconds <= LIMIT_SECONDS, scene.log("canario-rollback")
        after = wait_for(lambda: bool(scene.stops()), 70, "a word on the stop")
        print(f"{fault}: the stop was seen {after:.1f} s after that")
    state = read_state(scene.admin, FLAG)
    assert (state.changed_by, state.lease_until is not None) == ("canario-rollback", True)
    assert state.quarantined == ("unknown version",)
    (stop,) = scene.stops()
    assert stop["state"] == "verified", stop
    (instance,) = stop["instances"]
    assert instance["name"] == scene.shop.url.removeprefix("http://")
    assert instance["still_scrapes"] >= 3

    code, told, _ = scene.run("rollback", "explain")
    assert code == 0, told
    for words in (
        f"{FLAG} rolled back in production, because of",
        f"{FLAG} in production stood at {PERCENT}% of the users, last changed by canario-flags",
        f"seen to have stopped on 1 instance: the challenger's answers stand still on {instance['name']}",
    ):
        assert words in told, told
    assert "NOT what the job said" not in told
    code, told, _ = scene.run("flags", "rollouts")
    (row,) = [line for line in told.splitlines() if "ranker" in line]
    assert (code, FLAG in row, "off" in row) == (0, True, True), told
    assert "unknown version was rolled back" in row, told


@pytest.mark.timeout(240)
def test_the_plan_begins_without_versions_and_without_shadow(scene: Scene) -> None:
    assert scene.run("flags", "rollout", "advance")[0] == 11, "it waits for the approval"
    code, told, error = scene.run("flags", "rollout", "begin", "--rollout", "ranker")
    assert (code, "all conditions are met" in told) == (0, True), told + error
    words = ("flags", "rollout", "advance", "--every", "2s")
    with scene.guarded(), scene.running("canario-rollout", *words, rollout_speed="5000"):
        seconds = wait_for(lambda: read_state(scene.admin, FLAG).percent == 1, 30, "the first stage")
        print(f"1% after {seconds:.1f} s")
        state = read_state(scene.admin, FLAG)
        assert (state.enabled, state.changed_by) == (True, "canario-rollout")

        def waits_for() -> set[str]:
            code, told, error = scene.run("flags", "rollout", "status", "--json", rollout_speed="5000")
            assert code == 0, told + error
            return {one["name"] for one in json.loads(told)["gates"] if not one["holds"]}

        # At 1% of 50 requests a second the guardrail `errors` has its 100 calls after some minutes.
        wait_for(lambda: waits_for() == {"errors"}, 60, "all conditions of the first stage but one")


def test_a_misspelt_counter_of_calls_cannot_be_measured(scene: Scene) -> None:
    rollouts = changed(scene.folder, "calls: shop_requests_total", "calls: shop_request_total")
    scene.give(PERCENT)
    time.sleep(12)  # two scrapes: a younger stage is not judged at all
    code, told, error = scene.run("rollback", "check", rollouts=rollouts)
    assert (code, "cannot measure" in told) == (3, True), told + error
    assert "shop_request_total" in told
    other = changed(scene.folder / "other", "challenger: ranker-v2", "challenger: ranker-v3")
    _, told, error = scene.run("rollback", "check", "--json", rollouts=other)
    seen = (
        'no series of shop_requests_total has variant="ranker-v3" so far; variant is "control", "ranker-v2"'
    )
    assert {seen in one["sentence"] for one in json.loads(told)["verdicts"]} == {True}, told + error


@pytest.mark.timeout(240)
def test_a_stop_is_not_verified_by_a_counter_that_is_not_there(scene: Scene) -> None:
    rollouts = changed(scene.folder, "answers: shop_requests_total", "answers: shop_answers_total")
    scene.warm(scene.give(PERCENT), 5)
    turn_off(scene.admin, FLAG)
    time.sleep(35)  # the refresh of the flag, some calls that are under way, and three scrapes
    code, told, _ = scene.run("rollback", "--json", rollouts=rollouts, stop_limit="30s")
    document = json.loads(told)
    assert (code, document["stop"]["state"]) == (4, "unseen"), told
    assert "no shop_answers_total of the challenger" in document["stop"]["sentence"]
    code, told, _ = scene.run("rollback", "--json", stop_limit="30s")
    assert (code, json.loads(told)["stop"]["state"]) == (0, "verified"), told


@pytest.fixture
def both(scene: Scene, tmp_path: Path) -> Iterator[Path]:
    """The folder of two rollouts, ours and the shop's, with users of both."""
    folder = tmp_path / "both"
    shutil.copytree(REPOSITORY / "rollouts", folder)
    shutil.copytree(ROLLOUTS / "ranker", folder / "ranker")
    users = [f"user-{number}" for number in range(400)]
    restore(scene.admin, OURS)
    with Load(scene.stack.addresses.service, [ROW], users, RATE) as load:
        wait_for(lambda: len(load.samples) > 1.2 * FEWEST_CALLS, 60, "users of our service")
        yield folder
    of_stack(scene.stack).switch_fault_off()
    restore(scene.admin, OURS)


def one_of_two(scene: Scene, decisions: Path, broken: str) -> float:
    """Seconds from a fault of one rollout to its flag off; the other is not touched."""
    target, other = of_stack(scene.stack), OURS if broken == FLAG else FLAG
    for flag in (FLAG, OURS):
        set_share(scene.admin, flag, PERCENT, override=WHY)
    scene.warm(time.monotonic())
    before = read_state(scene.admin, other)
    seen = len(scene.stops(decisions))
    try:
        if broken == FLAG:
            scene.shop.break_challenger("slow")
        else:
            target.switch_fault_on("sleep", 0.5)
        seconds = scene.seconds_to_off(broken)
    finally:
        scene.shop.break_challenger("none")
        target.switch_fault_off()
    wait_for(lambda: len(scene.stops(decisions)) > seen, 70, "a word on the stop")
    stop = scene.stops(decisions)[-1]
    now = read_state(scene.admin, other)
    assert stop["state"] == "verified", stop
    assert (now.enabled, now.percent, now.revision) == (True, PERCENT, before.revision)
    assert now.quarantined == before.quarantined  # perhaps by an earlier trial
    return seconds


@pytest.mark.slow  # test_whose.py has the like in make test
@pytest.mark.timeout(240)
def test_of_two_rollouts_in_one_process_only_the_broken_one_is_rolled_back(scene: Scene, both: Path) -> None:
    with scene.guarded(both):
        seconds = one_of_two(scene, scene.folder / "decisions" / "ranker", FLAG)
    print(f"off after {seconds:.1f} s")
    assert seconds <= LIMIT_SECONDS
    code, told, error = scene.run("rollback", "explain", "--rollout", "ranker", rollouts=both)
    assert (code, f"{FLAG} rolled back" in told) == (0, True), told + error
    code, told, error = scene.run("flags", "rollouts", rollouts=both)
    assert code == 0, told + error
    assert {"breast-cancer", "ranker"} <= {word for line in told.splitlines() for word in line.split()}


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_fault_in_one_never_touches_the_other(scene: Scene, both: Path) -> None:
    """`TRIALS` of them, twenty by default: the shop's ranker and our challenger in turn."""
    measured: list[tuple[str, float]] = []
    with scene.guarded(both):
        for trial in range(int(os.environ.get("TRIALS", "20"))):
            name, broken = [("ranker", FLAG), ("breast-cancer", OURS)][trial % 2]
            measured.append((name, one_of_two(scene, scene.folder / "decisions" / name, broken)))
            print(f"{trial + 1}: {name} off after {measured[-1][1]:.1f} s, the other untouched", flush=True)
    assert [one for one in measured if one[1] > LIMIT_SECONDS] == []


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_make_example_fastapi_passes_and_leaves_nothing_running(tmp_path: Path) -> None:
    figures_file = tmp_path / "example.json"
    command = [sys.executable, "-m", "drills", "example", "--fault", "error", "--json", str(figures_file)]
    done = subprocess.run(
        command, cwd=REPOSITORY, capture_output=True, text=True, timeout=380, check=False, env=os.environ
    )
    assert done.returncode == 0, done.stdout + done.stderr
    figures = json.loads(figures_file.read_text(encoding="utf-8"))
    assert figures["seconds_to_off"] <= LIMIT_SECONDS
    assert figures["stop"]["state"] == "verified"
    (shop_line,) = [line for line in done.stdout.splitlines() if "the shop answers at" in line]
    url = shop_line.partition(" at ")[2].partition(",")[0]
    with pytest.raises(requests.ConnectionError):
        requests.get(f"{url}/metrics", timeout=2)
