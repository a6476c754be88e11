"""The challenger's worker process, from inside: loads the model and answers calls, and may come to grief.

Forked by service.challenger.fork_server. Before it loads anything it gives up what a fault could use against
others: priority, memory, the size of its output, new privileges; and it ends with its worker, not before.
Before it answers it gives up new processes and threads. What is given up for all runs, the fork server does.
"""

import contextlib
import ctypes
import faulthandler
import logging
import os
import resource
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel

from common.errors import CanarioError
from service.challenger.priority import confine_this_thread, in_a_lowered_thread, lower_this_thread

if TYPE_CHECKING:
    from service.models.onnx_model import Numbers, OnnxModel, Row

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_SET_NO_NEW_PRIVS = 38
FIRST_TO_END = "1000"  # when memory runs out, by the kernel's choice
WARM_UP_ROUNDS = 3
WARM_UP_SECONDS = 2.0
QUIET_SECONDS = 1.0


class Arguments(BaseModel):
    """What a run is granted.

    Attributes:
        call_rows: rows of a call at most.
        batch_rows: rows of a batch at most.
        memory_bytes: of data; more is a MemoryError, or the end.
        quiet_bytes: of standard output and error together; a model that wrote more is not heard for a second.
        output_bytes: of both; more is an OSError for whoever writes.
        lowest: whether all of it has the lowest priority, and not only its batches; and few cores.
    """

    call_rows: int
    batch_rows: int
    memory_bytes: int
    quiet_bytes: int
    output_bytes: int
    lowest: bool
    drill_file: Path | None


def load_libraries() -> None:
    """Import what a run needs and what takes long. In the launcher's environment that starts no thread."""
    from service.challenger import protocol  # noqa: F401, PLC0415
    from service.models import onnx_model  # noqa: F401, PLC0415


def run(arguments: Arguments, descriptors: list[int], server: int) -> int:
    """Serve until the worker closes the channels; the exit code.

    Args:
        descriptors: files: of the model, see protocol.artifact_file, whatever happens to its folder; a
            channel for each call in flight; and the channel for batches.
        server: process that this one must not outlive.
    """
    _limit(arguments, server)
    artifact, *numbers = descriptors
    channels = [socket.socket(fileno=number) for number in numbers]
    rows = [*(arguments.call_rows for _ in channels[1:]), arguments.batch_rows]
    try:
        model, answer = in_a_lowered_thread(lambda: _load_within(arguments, artifact))
    except CanarioError as error:
        from service.challenger.protocol import LONGEST_TEXT, READY_ID, Outcome, pack_reply  # noqa: PLC0415

        for channel in channels:
            channel.send(pack_reply(READY_ID, Outcome.REFUSED, 0.0, str(error).encode()[:LONGEST_TEXT]))
        time.sleep(1)  # let it be read
        return 2
    may_serve = threading.Event()
    quieten = Quieten(arguments.quiet_bytes)

    def serve_when_allowed(channel: socket.socket, most: int) -> None:
        if channel is channels[-1]:  # nobody waits for a batch; nice values are those of threads
            lower_this_thread()
        may_serve.wait()
        serve(channel, most, model, answer, quieten.look)

    threads = [
        # As daemons: where there is no memory for another, those before it are not to keep the process.
        threading.Thread(target=serve_when_allowed, args=(channel, most), daemon=True)
        for channel, most in zip(channels, rows, strict=True)
    ]
    for thread in threads:
        thread.start()
    # None of its own makes a process or a thread from here on. The kernel counts a user's, so that no number
    # but 0 would do, and asks root no question.
    resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
    may_serve.set()
    for thread in threads:
        thread.join()
    return 0


def _load_within(arguments: Arguments, artifact: int) -> "tuple[OnnxModel, Callable[[Row], Numbers]]":
    """Load a model within the memory that there is. To be called in a thread that has started.

    Python waits for ever for one that finds no memory for its own start.
    """
    resource.setrlimit(resource.RLIMIT_DATA, (arguments.memory_bytes, arguments.memory_bytes))
    return load(artifact, arguments.drill_file)


def load(artifact: int, drill_file: Path | None) -> "tuple[OnnxModel, Callable[[Row], Numbers]]":
    """The model in the file `artifact`, see protocol.artifact_file, and what answers its calls.

    That is the model; with faults where `drill_file` allows them.

    Raises:
        ArtifactError: it must not be served.
    """
    from service.challenger.protocol import read_artifact  # noqa: PLC0415
    from service.models.onnx_model import OnnxModel  # noqa: PLC0415

    with os.fdopen(artifact, "rb") as file:
        loaded = read_artifact(file)
    model = OnnxModel(loaded)
    if drill_file is None:
        return model, model.numbers
    from service.challenger.faults import FaultyModel  # noqa: PLC0415 - nowhere else can a fault be injected

    return model, FaultyModel(model.numbers, drill_file, loaded.metadata.faults, loaded.metadata.width)


def serve(
    channel: socket.socket,
    rows: int,
    model: "OnnxModel",
    answer: "Callable[[Row], Numbers]",
    after: "Callable[[], object]",
) -> None:
    """Answer the calls of one channel, of up to `rows` each, by `answer`, until it is closed.

    Args:
        after: called after each reply.
    """
    import numpy as np  # noqa: PLC0415

    from service.challenger import protocol  # noqa: PLC0415

    warm_up(model, rows)
    channel.send(protocol.pack_reply(protocol.READY_ID, protocol.Outcome.READY, 0.0))
    size = protocol.largest_call(model.metadata, rows)
    # Of an answer that is too long only so much is sent that the worker sees it to be.
    most = protocol.largest_reply(model.metadata.row_width * rows)
    while packet := channel.recv(size):
        call_id, call = protocol.unpack_call(packet, model.metadata)
        begun = time.perf_counter()
        try:
            numbers = answer(call)
            outcome = protocol.Outcome.ANSWERED
            body = np.ascontiguousarray(numbers, dtype=np.float32).tobytes()
        except Exception as error:  # a model may raise anything at all
            outcome = protocol.Outcome.RAISED
            body = f"{type(error).__name__}: {error}".encode()[: protocol.LONGEST_TEXT]
        channel.send(protocol.pack_reply(call_id, outcome, time.perf_counter() - begun, body)[:most])
        after()


class Quieten:
    """Sends the output of a model that writes much to nowhere, for a second at a time.

    A megabyte with each call, into memory that the worker frees again, took a quarter of all throughput.
    What a process says when it ends is lost only while it is quiet.

    Args:
        most: bytes that may lie there, which the worker empties ten times a second.
    """

    def __init__(self, most: int) -> None:
        self._most, self._until = most, 0.0
        self._kept, self._nowhere = os.dup(1), os.open(os.devnull, os.O_WRONLY)

    def look(self) -> None:
        """To be called after each reply, by any thread: none of it does harm twice."""
        if self._until:
            if time.monotonic() > self._until:
                self._send_to(self._kept)
                self._until = 0.0
        elif os.fstat(1).st_size > self._most:
            self._until = time.monotonic() + QUIET_SECONDS
            self._send_to(self._nowhere)

    def _send_to(self, descriptor: int) -> None:
        for stream in (1, 2):
            os.dup2(descriptor, stream)


def warm_up(model: "OnnxModel", rows: int) -> None:
    """Let this thread of the process meet batches of every size up to `rows` before a user does.

    By the example of the metadata, and not with the fault of a drill. For WARM_UP_SECONDS at most, but each
    size once: a model that takes long is not made to take much longer until it serves.
    """
    import numpy as np  # noqa: PLC0415

    end = time.monotonic() + WARM_UP_SECONDS
    for _ in range(WARM_UP_ROUNDS):
        for size in sorted({min(2**power, rows) for power in range(rows.bit_length() + 1)}):
            with contextlib.suppress(
                Exception
            ):  # the model was tried; whether it takes batches is seen later
                model.numbers(np.concatenate([model.example] * size))
        if time.monotonic() > end:
            return


def keep_private() -> None:
    """Let no other process of this user trace this one, or read its memory and its environment."""
    _prctl(PR_SET_DUMPABLE, 0)


def _prctl(option: int, argument: int) -> None:
    if ctypes.CDLL(None, use_errno=True).prctl(option, argument, 0, 0, 0):
        raise OSError(ctypes.get_errno(), f"prctl({option})")


def give_up(parent: int) -> None:
    """Give up what no run needs, in their fork server: its runs inherit it. It ends with its `parent`."""
    faulthandler.enable()
    logging.basicConfig(stream=sys.stderr)
    _end_with(parent)
    # Ctrl-C in a terminal, or a stop of all processes of a service at once, is for the worker to answer: it
    # has requests and shadow samples left, and ends this process after them.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    with contextlib.suppress(OSError):  # where there is no /proc
        Path("/proc/self/oom_score_adj").write_text(FIRST_TO_END, encoding="ascii")
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _prctl(PR_SET_NO_NEW_PRIVS, 1)
    keep_private()  # last: /proc/self is root's afterwards


def _limit(arguments: Arguments, server: int) -> None:
    _end_with(server)
    if arguments.lowest:
        lower_this_thread()
        confine_this_thread()
    resource.setrlimit(resource.RLIMIT_FSIZE, (arguments.output_bytes, arguments.output_bytes))


def _end_with(parent: int) -> None:
    """Let the death of `parent` end this process, whatever it is doing."""
    _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before
        sys.exit(1)
