"""The command line: exit codes, what goes to which stream, and signals on a real process."""

import json
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import rollback.__main__ as cli
from flags.canary.state import CanaryState
from rollback import guard
from rollback.rollouts import Guarded, every
from rollback.settings import RollbackSettings
from tests.unit.passed import modules_passed
from tests.unit.rollback import conftest
from tests.unit.rollback.conftest import (
    STATE,
    Answer,
    FakeCanary,
    Numbers,
    Server,
    at_zero,
    standing_still,
)
from tests.unit.waiting import until

Start = Callable[..., subprocess.Popen[str]]

TOKEN = "user:not-to-be-told"
FINE = Numbers(
    {"histogram_quantile": 0.01, "((sum(increase(prediction_errors": 0.0, "sum": 5000, "min": 9000},
    counters=[
        *at_zero(
            "user_windows_bad_total", "prediction_errors_total", "model_calls_total", "assignments_total"
        ),
        *at_zero("bucket_calls_total", "bucket_user_windows_bad_total", bucket="7"),
    ],
    before={"0.2": 0, "+Inf": 0},
)
RISING = standing_still(range(9))
SLOW = replace(FINE, values={**FINE.values, "histogram_quantile": 0.5})


@pytest.fixture
def _logging() -> Iterator[None]:
    """The command takes over logging and signals of its process; here that is the one of the tests."""
    root, signals = logging.getLogger(), (signal.SIGTERM, signal.SIGINT)
    handlers, level = root.handlers[:], root.level
    before = {number: signal.getsignal(number) for number in signals}
    yield
    root.handlers, root.level = handlers, level
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def nowhere() -> str:
    """An address on which nobody listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}"


@pytest.fixture
def environment(server: Server, nowhere: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """A healthy Prometheus, and no Unleash."""
    server.reply = FINE
    monkeypatch.setattr("rollback.services.CLOSE_SECONDS", 0.1)  # no version can be blocked in this Unleash
    return {
        "CANARIO_UNLEASH_URL": nowhere,
        "CANARIO_UNLEASH_ADMIN_TOKEN": TOKEN,
        "CANARIO_PROMETHEUS_URL": server.url,
    }


def run(environment: dict[str, str], *arguments: str) -> Result:
    return CliRunner(env=environment).invoke(cli.main, arguments)


@pytest.fixture
def start(environment: dict[str, str]) -> Iterator[Start]:
    """Starts the command as a process of its own, which does not outlive the test."""
    processes = []

    def start(*arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "rollback", *arguments],
            env={**os.environ, **environment},
            cwd=Path(__file__).parents[3],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        processes.append(process)
        return process

    yield start
    for process in processes:
        process.kill()
        process.communicate()


@pytest.mark.usefixtures("_logging")
@pytest.mark.parametrize(
    ("numbers", "state", "outcome", "code"),
    [
        (FINE, STATE, "fine", 0),
        (FINE, replace(STATE, enabled=False), "not exposed", 0),
        (SLOW, STATE, "rolled back", 1),
        (replace(FINE, up=None), STATE, "cannot measure", 3),
        (replace(SLOW, still=RISING), STATE, "off, and not seen to stop", 4),
        (replace(FINE, still=RISING), replace(STATE, enabled=False), "off, and not seen to stop", 4),
    ],
)
def test_one_iteration_of_the_shipped_guardrails(
    server: Server,
    environment: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    numbers: Numbers,
    state: object,
    outcome: str,
    code: int,
) -> None:
    server.reply = numbers
    monkeypatch.setattr(guard, "UnleashCanary", lambda *_: FakeCanary(state))  # type: ignore[arg-type]
    table = run(environment)
    assert table.exit_code == code
    assert f"canary in production: {outcome}" in table.stdout
    lines = [json.loads(line) for line in table.stderr.splitlines()]
    (line,) = [line for line in lines if "exit_code" in line]
    assert (line["message"], line["exit_code"], line["component"]) == (outcome, code, "rollback")


@pytest.mark.usefixtures("_logging")
@pytest.mark.parametrize(
    ("state", "outcome", "code"),
    [(STATE, "would roll back", 1), (replace(STATE, enabled=False), "not exposed", 0)],
)
def test_a_dry_run_acts_on_nothing_and_verifies_no_stop(
    server: Server,
    environment: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    state: CanaryState,
    outcome: str,
    code: int,
) -> None:
    server.reply, canary = replace(SLOW, still=RISING), FakeCanary(state)
    monkeypatch.setattr(guard, "UnleashCanary", lambda *_: canary)
    result = run(environment, "--dry-run")
    assert (result.exit_code, canary.orders) == (code, 0)
    assert f"canary in production: {outcome}" in result.stdout


@pytest.mark.usefixtures("_logging")
def test_an_iteration_as_a_document(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(guard, "UnleashCanary", lambda *_: FakeCanary())
    printed = json.loads(run(environment, "--json").stdout)
    file = tmp_path / "pass.json"
    assert run(environment, "--json", str(file)).stdout == ""
    written = json.loads(file.read_text())
    assert {**printed, "seconds": 0} == {**written, "seconds": 0}
    verdicts = {verdict["guardrail"]: verdict["verdict"] for verdict in written["verdicts"]}
    assert {verdicts[name] for name in ("challenger-p99", "challenger-errors", "challenger-p99-ratio")} == {
        "ok"
    }
    assert verdicts["errors"] == "no data"


@pytest.mark.usefixtures("_logging")
def test_a_bug_does_not_look_like_a_rollback(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guard, "UnleashCanary", lambda *_: FakeCanary(read_fault=KeyError("bug")))
    result = run(environment)
    assert result.exit_code == 3
    assert json.loads(result.stderr.splitlines()[-1])["error"] == "KeyError: 'bug'"


@pytest.mark.usefixtures("_logging")
@pytest.mark.parametrize(
    ("numbers", "words", "code"),
    [
        (FINE, "canary in production: fine", 0),
        (SLOW, "would roll back", 1),
        (replace(FINE, up=0), "cannot", 3),
    ],
)
def test_check_shows_each_guardrail_and_acts_on_none(
    server: Server,
    environment: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    numbers: Numbers,
    words: str,
    code: int,
) -> None:
    server.reply, canary = numbers, FakeCanary()
    monkeypatch.setattr("rollback.guard.UnleashCanary", lambda *_: canary)
    shown = run({**environment, "COLUMNS": "200"}, "check")
    assert (shown.exit_code, words in shown.stdout, canary.orders) == (code, True, 0)
    for name in ("errors", "tail-latency", "challenger-p99", "challenger", "champion", "difference", "limit"):
        assert name in shown.stdout
    narrow = run({**environment, "COLUMNS": "100"}, "check").stdout
    assert "challenger-p99-ratio │" in narrow  # whole, and its sentence has a line of its own
    assert "\nchallenger-p99-ratio: " in narrow
    document = json.loads(run(environment, "check", "--json").stdout)
    assert (document["exit_code"], document["dry_run"]) == (code, True)


@pytest.mark.usefixtures("_logging")
@pytest.mark.parametrize(("up", "code", "words"), [(1, 0, "there"), (0, 3, "is the name right")])
def test_check_tells_which_series_are_there_while_nobody_gets_the_challenger(
    server: Server,
    environment: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    up: int,
    code: int,
    words: str,
) -> None:
    off = FakeCanary(state=replace(STATE, enabled=False))
    monkeypatch.setattr("rollback.guard.UnleashCanary", lambda *_: off)
    told = [
        {"metric": {"canario_query": f"{part} {signal}", "model": model}, "value": [0, "2"]}
        for signal in ("calls", "latency", "answers")
        for part in ("of", "all")
        for model in ("champion", "challenger")
    ]
    server.reply = lambda _path, _form: conftest.result("vector", told if up else [])
    shown = run({**environment, "COLUMNS": "200"}, "check")
    assert (shown.exit_code, words in shown.stdout) == (code, True), shown.output
    assert "nobody gets the challenger" in shown.stdout
    document = json.loads(run(environment, "check", "--json").stdout)
    assert {"calls", "errors", "latency", "answers", "outcomes"} <= {
        one["signal"] for one in document["signals"]
    }
    server.reply = lambda _path, _form: Answer(b"", status=500)
    assert run(environment, "check").exit_code == 3


@pytest.mark.usefixtures("_logging")
def test_check_names_faults_of_the_configuration() -> None:
    result = run({}, "check", "--guardrails", "/no/such/file")
    assert result.exit_code == 2
    assert "/no/such/file: cannot be read" in result.stderr


def test_without_unleash_it_cannot_measure(start: Start, environment: dict[str, str]) -> None:
    process = start()
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 3
    assert "cannot measure" in stdout
    assert environment["CANARIO_UNLEASH_URL"] in stdout
    assert TOKEN not in stdout + stderr


def test_without_unleash_a_due_rollback_is_tried_and_cannot_be_done(start: Start, server: Server) -> None:
    server.reply = SLOW
    process = start()
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 4
    assert "canary NOT rolled back" in stderr
    assert TOKEN not in stderr


@pytest.mark.usefixtures("_logging")
def test_all_faults_of_the_configuration_are_told_at_once(tmp_path: Path) -> None:
    file = tmp_path / "guardrails.yaml"
    file.write_text("guardrails: []\n")
    result = run({"CANARIO_PROMETHEUS_URL": "x"}, "--guardrails", str(file))
    assert result.exit_code == 2
    assert result.stdout == ""
    faults = [line.split(": ")[0] for line in result.stderr.splitlines()]
    assert faults[:2] == [f"{file}:1", f"{file}:1"]
    assert sorted(faults[2:]) == [
        "CANARIO_PROMETHEUS_URL",
        "CANARIO_UNLEASH_ADMIN_TOKEN",
        "CANARIO_UNLEASH_URL",
    ]


@pytest.mark.usefixtures("_logging")
@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        (["--every", "15"], "'15' is no duration"),
        (["--every", "5s", "--json"], "--json writes one iteration"),
        (["--json", "/no/such/folder/x"], "No such file"),
        (["--guardrails", "/no/such/file"], "/no/such/file: cannot be read"),
        (["--now"], "No such option"),
        (["sing"], "No such command 'sing'"),
    ],
)
def test_wrong_usage(environment: dict[str, str], arguments: list[str], fault: str) -> None:
    result = run(environment, *arguments)
    assert result.exit_code == 2
    assert fault in result.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_loop_goes_on_without_unleash_until_a_signal(
    start: Start, server: Server, number: signal.Signals
) -> None:
    process = start("--every", "1s")
    assert process.stderr is not None
    seen: list[str] = []
    while len(seen) < 3:
        message = json.loads(process.stderr.readline())["message"]
        seen += [] if message == "the token could not be checked" else [message]  # in a thread of its own
    assert seen == ["watching", "cannot measure", "cannot measure"]
    server.reply = lambda _path, _form: Answer(b"", delay=6)  # the signal comes in the middle of a query
    asked = len(server.asked)
    until(lambda: len(server.asked) > asked)
    process.send_signal(number)
    began = time.monotonic()
    _, rest = process.communicate(timeout=10)
    assert time.monotonic() - began < 4  # that would go on for 5 s
    assert process.returncode == 0
    assert json.loads(rest.splitlines()[-1])["message"] == "stopped"


def test_help_names_every_exit_code_and_variable() -> None:
    told = CliRunner().invoke(cli.main, ["--help"]).stdout
    for word in ["0  ", "1  ", "2  ", "3  ", "4  "]:
        assert f"\n    {word}" in told
    for name in RollbackSettings.model_fields:
        assert f"CANARIO_{name.upper()}" in told


def test_an_iteration_passes_few_modules(
    server: Server, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """So many somebody opens who follows it. How the flag is read, and what follows, is told elsewhere."""
    server.reply = FINE
    monkeypatch.setattr(guard, "UnleashCanary", lambda *_: FakeCanary())
    ((_, guarded),) = every(environment=environment)
    assert isinstance(guarded, Guarded)
    job = guard.job_of(guarded, dry_run=True)
    with modules_passed() as found:
        assert job.run().outcome == "fine"
    ours = sorted(each for each in found if each.startswith("rollback/"))
    assert len(ours) <= 22, ours
