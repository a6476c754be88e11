"""The challenger's faults, in its real process: its user gets the champion's answer, it gets the blame."""

import dataclasses
import errno
import logging
import os
import queue
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any
from unittest.mock import Mock

import numpy as np
import psutil
import pytest
from flask.testing import FlaskClient

from common.names import Metric, Model
from service.challenger.faults import FLOOD_BYTES
from service.challenger.launcher import KEPT_OUTPUT_BYTES, WorkerSpec
from service.challenger.pool import Channel, NoReplyError
from service.challenger.priority import few
from service.challenger.process import MEBIBYTE, SupervisedWorker, why_ended
from service.challenger.protocol import Outcome
from service.metrics.service import CHALLENGER_FAILURES, HOST_REASONS
from service.models.artifact import load_artifact
from service.settings import Settings
from tests.unit.service.challenger_process import child_of_this_process, drill, fork_server_of_this_process
from tests.unit.service.conftest import ROW, flag, rollout
from tests.unit.service.model_files import edit
from tests.unit.service.series import sample
from tests.unit.waiting import never, until

Start = Callable[..., FlaskClient]
LINE = np.zeros((1, 30), dtype=np.float32)


def ask(client: FlaskClient) -> dict[str, Any]:
    response = client.post("/predict", json={"user_id": "u", "features": ROW})
    assert response.status_code == 200
    answer: dict[str, Any] = response.get_json()
    assert answer["assigned"] == "challenger"
    return answer


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ({"kind": "sleep", "seconds": 4}, "timeout"),
        ({"kind": "hang"}, "timeout"),
        ({"kind": "burn"}, "timeout"),
        ({"kind": "exception"}, "exception"),
        ({"kind": "nan"}, "invalid"),
        ({"kind": "shape"}, "invalid"),
        ({"kind": "segfault"}, "crash"),
        ({"kind": "exit"}, "crash"),
    ],
)
def test_a_fault_costs_its_user_the_deadline_at_most_and_counts_against_the_challenger(
    start: Start, settings: Settings, fault: dict[str, Any], reason: str
) -> None:
    # A guest has the lowest priority: on a busy machine even one that fails at once may take a while.
    client = start(flag(rollout(100)), guest_deadline_seconds=0.2 if reason == "timeout" else 2.0)
    until(lambda: ask(client)["model"] == "challenger")
    before = sample(client, Metric.CALLS, model="challenger")
    failed = sample(client, Metric.ERRORS, model="challenger", reason=reason)
    drill(settings, **fault)
    begun = time.perf_counter()
    answer = ask(client)
    assert time.perf_counter() - begun < 2.5
    assert (answer["model"], answer["reason"]) == ("champion", f"fallback_{reason}")
    assert sample(client, Metric.ERRORS, model="challenger", reason=reason) == failed + 1
    assert sample(client, Metric.ERRORS, model="champion", reason="exception") == 0
    assert sample(client, Metric.CALLS, model="challenger") == before + 1


@pytest.mark.parametrize("kind", ["class", "flood", "memory"])
def test_a_fault_that_still_answers_is_served(start: Start, settings: Settings, kind: str) -> None:
    client = start(flag(rollout(100)), guest_deadline_seconds=5)
    healthy = ask(client)
    drill(settings, kind=kind)
    answer = ask(client)
    assert answer["model"] == "challenger"
    assert (answer["class_name"] != healthy["class_name"]) is (kind == "class")


def test_a_late_answer_is_measured_although_nobody_waited_for_it(start: Start, settings: Settings) -> None:
    client = start(flag(rollout(100)), guest_deadline_seconds=0.1)
    drill(settings, kind="sleep", seconds=0.5)
    ask(client)
    assert sample(client, f"{Metric.LATENCY}_count", model="challenger") == 0
    until(lambda: sample(client, f"{Metric.LATENCY}_count", model="challenger") == 1)
    assert 0.5 <= sample(client, f"{Metric.LATENCY}_sum", model="challenger") < 3


def test_repeated_failures_open_the_breaker_and_each_call_still_counts(
    start: Start, settings: Settings
) -> None:
    client = start(flag(rollout(100)))
    drill(settings, kind="exception")
    reasons = [ask(client)["reason"] for _ in range(8)]
    assert reasons == ["fallback_exception"] * 5 + ["fallback_open"] * 3
    assert sample(client, Metric.BREAKER_OPEN) == 1
    assert sample(client, Metric.CALLS, model="challenger") == 8
    assert sample(client, Metric.ERRORS, model="challenger", reason="open") == 3
    drill(settings, kind="none")
    until(lambda: ask(client)["model"] == "challenger")
    assert sample(client, Metric.BREAKER_OPEN) == 0


def test_a_process_that_ended_is_started_again(start: Start, settings: Settings) -> None:
    client = start(flag(rollout(100)))
    drill(settings, kind="segfault")
    assert ask(client)["reason"] == "fallback_crash"
    assert settings.drill_file is not None
    settings.drill_file.unlink()
    first = sample(client, Metric.CHALLENGER_STARTED)
    until(lambda: ask(client)["model"] == "challenger")
    assert sample(client, Metric.GUEST_STARTS) == 2
    assert first is not None
    assert first < sample(client, Metric.CHALLENGER_STARTED) <= time.time()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"kind": "wobble"}', '{"kind": "sleep", "seconds": 1e9}'])
def test_a_drill_file_that_says_nothing_clear_is_ignored(start: Start, settings: Settings, text: str) -> None:
    assert settings.drill_file is not None
    settings.drill_file.write_text(text, encoding="utf-8")
    assert ask(start(flag(rollout(100))))["model"] == "challenger"


def test_without_the_setting_no_drill_is_possible(start: Start, settings: Settings) -> None:
    client = start(flag(rollout(100)), drill_file=None)
    drill(settings, kind="exception")
    assert ask(client)["model"] == "challenger"


def test_an_artifact_may_carry_a_fault_where_drills_are_allowed(
    start: Start, models: dict[Model, Path], tmp_path: Path
) -> None:
    bad = Path(shutil.copytree(models[Model.CHALLENGER], tmp_path / "bad"))
    edit(bad, lambda each: each.update(faults={"kind": "exception"}))
    assert ask(start(flag(rollout(100)), challenger=bad))["reason"] == "fallback_exception"


def reason(worker: SupervisedWorker, deadline: float = 0.1) -> str:
    try:
        return worker.call(LINE, deadline).outcome.name.lower()
    except NoReplyError as error:
        return error.reason


def test_no_more_calls_than_there_is_room_for(
    worker: tuple[SupervisedWorker, list[float]], spec: WorkerSpec
) -> None:
    assert spec.drill_file is not None
    spec.drill_file.write_text('{"kind": "sleep", "seconds": 0.6}', encoding="utf-8")
    made, late = worker
    assert [reason(made) for _ in range(4)] == ["timeout", "timeout", "busy", "busy"]
    until(lambda: len(late) == 2)
    assert all(0.6 <= seconds < 1.5 for seconds in late)


def test_a_guest_that_hangs_is_ended_and_the_time_that_it_took_is_known(
    worker: tuple[SupervisedWorker, list[float]], spec: WorkerSpec
) -> None:
    assert spec.drill_file is not None
    made, late = worker
    pid = child_of_this_process().pid
    spec.drill_file.write_text('{"kind": "hang"}', encoding="utf-8")
    assert reason(made) == "timeout"
    spec.drill_file.unlink()
    until(lambda: not psutil.pid_exists(pid))
    until(lambda: reason(made) == "answered")
    assert late
    assert late[0] >= spec.hang_seconds


def test_memory_beyond_the_limit_is_the_guests_trouble(
    worker: tuple[SupervisedWorker, list[float]], spec: WorkerSpec
) -> None:
    assert spec.drill_file is not None
    made, _ = worker
    spec.drill_file.write_text('{"kind": "memory"}', encoding="utf-8")
    seen = [reason(made, deadline=2.0) for _ in range(20)]
    assert seen[0] == "answered"
    assert set(seen[-3:]) <= {"raised", "crash", "down"}
    assert child_of_this_process().memory_info().rss < 2 * spec.memory_bytes


def nice_values(process: psutil.Process) -> list[int]:
    """Of all threads."""
    files = sorted(Path(f"/proc/{process.pid}/task").glob("*/stat"), key=lambda each: int(each.parent.name))
    return [int(each.read_text().rpartition(")")[2].split()[16]) for each in files]


def test_the_guest_has_the_priority_of_its_worker_but_for_batches(
    worker: tuple[SupervisedWorker, list[float]],
) -> None:
    *calls, batches = nice_values(child_of_this_process())
    assert set(calls) == {os.getpriority(os.PRIO_PROCESS, 0)}
    assert batches == 19


def test_a_guest_that_overruns_has_the_lowest_priority_until_it_was_good_for_a_while(
    spec: WorkerSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.challenger.standing.FIRST_PROBATION_SECONDS", 1.5)
    assert spec.drill_file is not None
    made = SupervisedWorker(spec)
    made.start(lambda: False)
    try:
        first = child_of_this_process()
        spec.drill_file.write_text('{"kind": "sleep", "seconds": 0.4}', encoding="utf-8")
        assert reason(made) == "timeout"
        until(lambda: set(nice_values(first)) == {19})
        spec.drill_file.unlink()
        until(lambda: not first.is_running())
        assert call_until_ready(made) in (["answered"], ["starting", "answered"]), "it is not to blame"
        assert min(nice_values(child_of_this_process())) < 19
    finally:
        made.close()


def test_a_guest_that_burns_for_nobody_is_ended_and_begins_anew_with_few_cores(spec: WorkerSpec) -> None:
    assert spec.drill_file is not None
    late: list[float] = []
    made = SupervisedWorker(dataclasses.replace(spec, hang_seconds=60.0), late.append)
    made.start(lambda: False)
    try:
        first = child_of_this_process()
        spec.drill_file.write_text('{"kind": "burn"}', encoding="utf-8")
        assert reason(made) == "timeout"
        until(lambda: not first.is_running())
        assert late
        assert late[0] < 60
        until(lambda: made.is_up)
        second = child_of_this_process()
        few_cores = few(os.sched_getaffinity(0))
        assert set(second.cpu_affinity()) == few_cores
        assert reason(made) == "timeout"
        until(lambda: not second.is_running())
    finally:
        made.close()


def test_one_that_is_lowered_while_it_runs_has_few_cores_too(spec: WorkerSpec) -> None:
    assert spec.drill_file is not None
    made = SupervisedWorker(spec)
    made.start(lambda: False)
    try:
        child = child_of_this_process()
        assert set(child.cpu_affinity()) == os.sched_getaffinity(0)
        spec.drill_file.write_text('{"kind": "sleep", "seconds": 0.4}', encoding="utf-8")
        assert reason(made) == "timeout"
        until(lambda: set(child.cpu_affinity()) == few(os.sched_getaffinity(0)))
    finally:
        made.close()


def test_a_guest_that_crashed_begins_anew_with_the_lowest_priority(
    worker: tuple[SupervisedWorker, list[float]],
) -> None:
    made, _ = worker
    first = child_of_this_process()
    first.send_signal(signal.SIGSEGV)
    until(lambda: not made.is_up)
    until(lambda: made.is_up)
    assert set(nice_values(child_of_this_process())) == {19}


def test_the_guest_has_none_of_the_services_secrets(
    spec: WorkerSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CANARIO_UNLEASH_SDK_TOKEN", "default:production.secret")
    made = SupervisedWorker(spec)
    made.start()
    try:
        child = child_of_this_process()
        assert Path(f"/proc/{child.pid}/oom_score_adj").read_text(encoding="ascii").strip() == "1000"
        assert "CANARIO_UNLEASH_SDK_TOKEN" not in child.environ()
        assert child.environ()["PATH"] == os.environ["PATH"]
    finally:
        made.close()
    assert not child.is_running()


def test_the_guest_has_an_empty_folder_and_may_gain_nothing(
    worker: tuple[SupervisedWorker, list[float]], spec: WorkerSpec
) -> None:
    child = child_of_this_process()
    assert Path(child.cwd()) == spec.folder
    assert not list(spec.folder.iterdir())
    status = Path(f"/proc/{child.pid}/status").read_text(encoding="ascii")
    assert "NoNewPrivs:\t1" in status
    assert resource.prlimit(child.pid, resource.RLIMIT_NPROC) == (0, 0)
    assert os.getpgid(child.pid) == child.pid
    assert os.getsid(child.pid) == os.getsid(0), "its priority counts for nothing in a session of its own"
    assert Path(f"/proc/{child.pid}/environ").stat().st_uid == 0, "it can be inspected"


def test_a_run_that_crashed_is_forked_again_from_one_thread_and_imports_nothing(
    worker: tuple[SupervisedWorker, list[float]],
) -> None:
    made, _ = worker
    server, first = fork_server_of_this_process(), child_of_this_process()
    assert nice_values(server) == [os.getpriority(os.PRIO_PROCESS, 0)], "a fork copies one thread only"
    spent = server.cpu_times()
    first.send_signal(signal.SIGSEGV)
    until(lambda: not made.is_up)
    until(lambda: made.is_up)
    second = child_of_this_process()
    assert fork_server_of_this_process() == server
    imports = spent.user + spent.system
    assert second.cpu_times().user < imports / 2
    assert reason(made, deadline=2.0) == "answered"


def test_no_user_is_the_first_whom_a_thread_of_the_process_answers(
    spec: WorkerSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a model whose first call in each thread, and of each size, takes long."""
    program, seen = tmp_path / "slow_at_first.py", tmp_path / "seen"
    program.write_text(
        "import threading, time\nfrom service.challenger import fork_server\n"
        "from service.models.onnx_model import OnnxModel\nrun, met = OnnxModel.numbers, set()\n"
        "def numbers(model, rows):\n"
        "    key = threading.get_ident(), len(rows)\n"
        "    if key not in met:\n"
        "        time.sleep(0.02)\n"
        f"        met.add(key); open({str(seen)!r}, 'a').write(f'{{key[0]}} {{key[1]}}\\n')\n"
        "    return run(model, rows)\n"
        "OnnxModel.numbers = numbers\nfork_server.main()\n",
        encoding="utf-8",
    )
    monkeypatch.setattr("service.challenger.launcher.PROGRAM", (sys.executable, str(program)))
    made = SupervisedWorker(spec)
    assert made.is_starting
    made.start(lambda: False)
    try:
        assert made.is_up
        assert not made.is_starting
        met = [line.split() for line in seen.read_text().splitlines()]
        assert len({thread for thread, _ in met}) == spec.channels + 1
        assert {1, 2, 64, spec.batch_rows} < {int(rows) for _, rows in met}
        before = len(met)
        assert [made.call(LINE, 5.0).outcome for _ in range(spec.channels)] == [Outcome.ANSWERED] * 2
        assert len(seen.read_text().splitlines()) == before
    finally:
        made.close()


def test_a_fork_server_that_ended_is_started_again(
    worker: tuple[SupervisedWorker, list[float]],
) -> None:
    made, _ = worker
    server, run = fork_server_of_this_process(), child_of_this_process()
    server.kill()
    until(lambda: not run.is_running())
    assert "answered" in call_until_ready(made)
    assert fork_server_of_this_process() != server


def test_without_room_for_a_folder_of_its_own_the_guest_starts_all_the_same(
    spec: WorkerSpec, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    made = SupervisedWorker(dataclasses.replace(spec, folder=tmp_path / "file" / "challenger"))
    made.start()
    try:
        assert child_of_this_process().cwd() == "/"
        assert reason(made, deadline=2.0) == "answered"
    finally:
        made.close()


def test_what_the_guest_has_started_ends_with_it(
    spec: WorkerSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "starts_another.py"
    program.write_text(
        "import subprocess\nfrom service.challenger import fork_server, worker\nlimit = worker._limit\n"
        "worker._limit = lambda *given: (subprocess.Popen(['sleep', '600']), limit(*given))\n"
        "fork_server.main()\n",
        encoding="utf-8",
    )
    monkeypatch.setattr("service.challenger.launcher.PROGRAM", (sys.executable, str(program)))
    made = SupervisedWorker(spec)
    made.start()
    run = made._run
    assert run is not None
    (other,) = psutil.Process(run.pid).children()
    made.close()
    until(lambda: not other.is_running() or other.status() == psutil.STATUS_ZOMBIE)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_that_is_sent_to_all_processes_leaves_the_guest_to_its_worker(
    worker: tuple[SupervisedWorker, list[float]], number: signal.Signals
) -> None:
    child = child_of_this_process()
    child.send_signal(number)
    never(lambda: reason(worker[0], deadline=1.0) != "answered", 0.2)
    worker[0].close()
    assert not child.is_running()


# As if a model took that long to load.
ENDLESS = (sys.executable, "-c", "import time; time.sleep(600)", "service.challenger.fork_server")


def test_a_model_that_takes_for_ever_to_load_does_not_hold_up_its_worker(
    spec: WorkerSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.challenger.process.WAIT_SECONDS", 0.5)
    monkeypatch.setattr("service.challenger.launcher.PROGRAM", ENDLESS)
    made = SupervisedWorker(spec)
    begun = time.monotonic()
    made.start()
    assert time.monotonic() - begun < 10
    assert reason(made) == "starting"
    child = fork_server_of_this_process()
    made.close()
    assert not child.is_running()  # nor does it outlive the worker


def test_who_gives_up_waits_no_longer(spec: WorkerSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.challenger.launcher.PROGRAM", ENDLESS)
    made = SupervisedWorker(spec)
    answers = iter([False, False, True])
    made.start(lambda: next(answers))
    assert next(answers, None) is None
    assert not made.is_up
    made.close()


def test_a_chatty_guest_does_not_fill_the_disk(
    worker: tuple[SupervisedWorker, list[float]], spec: WorkerSpec
) -> None:
    assert spec.drill_file is not None
    made, _ = worker
    spec.drill_file.write_text('{"kind": "flood"}', encoding="utf-8")
    for _ in range(100):
        assert reason(made, deadline=2.0) == "answered"
        time.sleep(0.01)  # as users call: who looks at the output gets to run in between
    kept = os.fstat(_output(made).fileno()).st_size
    assert kept <= KEPT_OUTPUT_BYTES + 40 * FLOOD_BYTES  # of 100 MiB that were written


def test_a_model_that_writes_with_each_call_is_not_heard_for_a_second(tmp_path: Path) -> None:
    code = f"""
import time
from service.challenger.worker import Quieten
quieten = Quieten({FLOOD_BYTES})
for _ in range(50):
    print("x" * {FLOOD_BYTES}, flush=True)
    quieten.look()
time.sleep(1.1)
quieten.look()
print("heard again", flush=True)
"""
    with (tmp_path / "output").open("w+b") as output:
        subprocess.run([sys.executable, "-c", code], stdout=output, stderr=output, check=True, timeout=60)
        output.seek(0)
        written = output.read()
    assert written.endswith(b"heard again\n")
    assert len(written) < 3 * FLOOD_BYTES  # of 50 MiB


def _output(worker: SupervisedWorker) -> IO[bytes]:
    run = worker._run
    assert run is not None
    return run.output


def test_a_model_that_cannot_be_loaded_leaves_the_guest_down(
    spec: WorkerSpec, caplog: pytest.LogCaptureFixture
) -> None:
    bad = dataclasses.replace(spec.artifact, onnx=b"")
    with caplog.at_level(logging.ERROR):
        made = SupervisedWorker(dataclasses.replace(spec, artifact=bad))
        made.start()
        assert reason(made) == "cannot_start"
        assert made.trouble
        assert "ONNX Runtime cannot load the model" in made.trouble
        made.close()
    assert reason(made) == "stopped"
    assert made.trouble in caplog.text


def test_a_folder_that_breaks_is_not_the_guests_business(
    models: dict[Model, Path], spec: WorkerSpec, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(models[Model.CHALLENGER], tmp_path / "challenger"))
    made = SupervisedWorker(dataclasses.replace(spec, artifact=load_artifact(folder)))
    made.start()
    shutil.rmtree(folder)
    child_of_this_process().kill()
    until(lambda: reason(made, deadline=2.0) == "answered")
    assert made.trouble is None
    made.close()


def test_memory_that_does_not_suffice_is_named(spec: WorkerSpec, caplog: pytest.LogCaptureFixture) -> None:
    """What the process prints when it ends is behind it: the stacks of all its threads follow."""
    made = SupervisedWorker(dataclasses.replace(spec, memory_bytes=64 * MEBIBYTE))
    with caplog.at_level(logging.ERROR):
        made.start()
    assert made.trouble is not None
    assert "under its memory limit of 64 MB; set CANARIO_GUEST_MEMORY_MB to more" in made.trouble
    assert made.trouble in caplog.text
    made.close()


@pytest.mark.parametrize(
    ("code", "said", "told"),
    [
        (-6, "terminate called after throwing an instance of 'std::bad_alloc'\n", "std::bad_alloc under its"),
        (1, "Traceback ...\nMemoryError\n", "a MemoryError under its memory limit of 256 MB"),
        (-11, "", "has ended (SIGSEGV)"),
        (3, "sorry", "has ended (exit code 3)"),
    ],
)
def test_why_a_process_ended_is_one_sentence(code: int, said: str, told: str) -> None:
    assert told in why_ended(code, said, 256 * MEBIBYTE)


def test_the_replies_of_a_healthy_guest_are_probabilities(
    worker: tuple[SupervisedWorker, list[float]],
) -> None:
    reply = worker[0].call(LINE, 1.0)
    assert reply.outcome is Outcome.ANSWERED
    assert reply.numbers[1:].sum() == pytest.approx(1, abs=1e-5)
    assert 0 < reply.seconds < 1


def call_until_ready(made: SupervisedWorker) -> list[str]:
    """What calls brought until one was answered, each reason once."""
    seen: list[str] = []

    def is_answered() -> bool:
        brought = reason(made, deadline=2.0)
        if brought not in seen:
            seen.append(brought)
        return brought == "answered"

    until(is_answered)
    return seen


def without_descriptors(*_: Any) -> Any:
    raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))


@pytest.mark.parametrize(
    ("what", "fails"),
    [
        ("socket.socketpair", without_descriptors),
        ("os.memfd_create", without_descriptors),
        ("subprocess.Popen", Mock(side_effect=BlockingIOError(errno.EAGAIN, "no more processes"))),
        ("subprocess.Popen", Mock(side_effect=OSError(errno.ENOMEM, "Cannot allocate memory"))),
        ("fcntl.fcntl", Mock(side_effect=ValueError("a bug"))),
    ],
)
def test_what_the_machine_refuses_is_tried_again_and_is_not_the_challengers_doing(
    spec: WorkerSpec, monkeypatch: pytest.MonkeyPatch, what: str, fails: Callable[..., Any]
) -> None:
    made = SupervisedWorker(spec)
    try:
        with monkeypatch.context() as refused:
            refused.setattr(f"service.challenger.launcher.{what}", fails)
            made.start()
            assert reason(made) == "cannot_start"
        assert call_until_ready(made) == ["cannot_start", "answered"]
    finally:
        made.close()


def test_a_watcher_that_fails_is_tried_again_and_that_is_not_the_challengers_doing(
    worker: tuple[SupervisedWorker, list[float]], monkeypatch: pytest.MonkeyPatch
) -> None:
    made, _ = worker
    pid = child_of_this_process().pid
    with monkeypatch.context() as broken:
        broken.setattr("service.challenger.process.os.fstat", without_descriptors)
        until(lambda: reason(made) != "answered")
    assert set(call_until_ready(made)) <= {"cannot_start", "answered"}
    assert not psutil.pid_exists(pid)


def test_descriptors_above_1023_are_watched_too(
    spec: WorkerSpec, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 2048:
        pytest.skip("this machine allows no more than 1,024 descriptors")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 2048), hard))
    late: list[float] = []
    made = SupervisedWorker(spec, late.append)
    assert spec.drill_file is not None
    try:
        with ExitStack() as files:
            while files.enter_context(Path(os.devnull).open("rb")).fileno() < 1100:
                pass
            made.start()
            spec.drill_file.write_text('{"kind": "sleep", "seconds": 0.4}', encoding="utf-8")
            assert reason(made) == "timeout"
            until(lambda: bool(late))
    finally:
        made.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert late[0] < 5


def test_more_calls_at_once_than_channels_are_not_the_challengers_doing(
    worker: tuple[SupervisedWorker, list[float]],
) -> None:
    made, _ = worker
    run = made._run
    assert run is not None
    taken = [run.calls.free.get() for _ in range(2)]
    assert reason(made) == "crowded"
    for channel in taken:
        channel.release()
    assert reason(made, deadline=2.0) == "answered"


def test_a_call_that_a_process_without_cpu_never_took_is_not_the_challengers_doing(spec: WorkerSpec) -> None:
    made = SupervisedWorker(dataclasses.replace(spec, hang_seconds=60.0))
    made.start()
    try:
        child = child_of_this_process()
        child.suspend()
        threads = list(Path(f"/proc/{child.pid}/task").glob("*/stat"))
        until(lambda: all(each.read_text().rpartition(")")[2].split()[0] == "T" for each in threads))
        assert [reason(made) for _ in range(3)] == ["starved", "starved", "crowded"]
        child.resume()
        until(lambda: reason(made, deadline=2.0) == "answered")
    finally:
        made.close()


@pytest.mark.parametrize("why", HOST_REASONS)
def test_what_the_host_prevents_is_neither_a_call_nor_an_error(
    start: Start, monkeypatch: pytest.MonkeyPatch, why: str
) -> None:
    client = start(flag(rollout(100)), guest_deadline_seconds=5)
    assert ask(client)["model"] == "challenger"
    with monkeypatch.context() as prevented:
        prevented.setattr(SupervisedWorker, "call", Mock(side_effect=NoReplyError(why)))
        answers = [ask(client) for _ in range(8)]
    assert {(each["model"], each["reason"]) for each in answers} == {("champion", f"fallback_{why}")}
    assert sample(client, Metric.PREVENTED, reason=why) == 8
    assert sample(client, Metric.CALLS, model="challenger") == 1
    assert all(
        sample(client, Metric.ERRORS, model="challenger", reason=each) == 0 for each in CHALLENGER_FAILURES
    )
    assert ask(client)["model"] == "challenger", "the breaker has not heard of it"


def test_a_challenger_that_has_ended_itself_is_to_blame_until_it_is_back(
    start: Start, settings: Settings
) -> None:
    client = start(flag(rollout(100)), guest_deadline_seconds=2)
    drill(settings, kind="exit")
    assert ask(client)["reason"] == "fallback_crash"
    assert ask(client)["reason"] == "fallback_down"
    assert sample(client, Metric.CALLS, model="challenger") == 2
    assert sample(client, Metric.ERRORS, model="challenger", reason="down") == 1


class Witness(queue.SimpleQueue[Channel]):
    """A pool's queue that sees how channels are given back."""

    def __init__(self) -> None:
        self.seen: list[tuple[bool, float | None]] = []

    def put(self, item: Channel, block: bool = True, timeout: float | None = None) -> None:
        self.seen.append((item.awaited, item.owed_since))
        super().put(item)


def test_a_channel_is_given_back_without_marks_of_the_call(
    worker: tuple[SupervisedWorker, list[float]],
) -> None:
    run = worker[0]._run
    assert run is not None
    witness = Witness()
    while not run.calls.free.empty():
        witness.put(run.calls.free.get())
    witness.seen.clear()
    run.calls.free = witness
    assert reason(worker[0], deadline=1.0) == "answered"
    # Marks that were cleared only afterwards would be those of whoever has the channel by then.
    assert witness.seen == [(False, None)]
