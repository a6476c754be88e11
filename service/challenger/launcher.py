"""Begins and ends runs of the challenger's process, by way of their fork server.

One thread uses it, which must live as long as the worker: the kernel ends the fork server with the thread
that started it, and the runs with the fork server.
"""

import fcntl
import logging
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from service.challenger.pool import Channel, Pool, Run
from service.challenger.protocol import artifact_file
from service.challenger.worker import Arguments
from service.models.artifact import Artifact

log = logging.getLogger(__name__)

LOOK_SECONDS = 0.1
START_SECONDS = 60.0  # for the fork server to import, and for a run to become ready
END_SECONDS = 10.0  # for the kernel to end a run; one that waits for a dead disk is left behind
KEPT_OUTPUT_BYTES = 1024 * 1024
MOST_OUTPUT_BYTES = 64 * KEPT_OUTPUT_BYTES  # between two looks of the supervisor
SAID_BYTES = 32
SHOWN_BYTES = 500
PROGRAM = (sys.executable, "-P", "-m", "service.challenger.fork_server")
INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "LD_LIBRARY_PATH")
# Neither may start a thread at its import: a fork would be without it.
ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "ORT_DISABLE_TELEMETRY": "1"}


@dataclass(frozen=True)
class WorkerSpec:
    """The challenger's process: its model and what it is granted.

    Attributes:
        channels: calls in flight at most, besides one batch.
        call_rows: rows of a call at most.
        batch_rows: rows of a batch at most. For both see protocol.rows_in_a_packet.
        patience_seconds: how long a call waits for a free channel.
        hang_seconds: how long a reply may be owed before the process is ended.
        memory_bytes: of data.
        folder: empty, to work in; made where it is missing.
    """

    artifact: Artifact
    channels: int
    call_rows: int
    batch_rows: int
    patience_seconds: float
    hang_seconds: float
    memory_bytes: int
    folder: Path
    drill_file: Path | None


class Launcher:
    """Runs of one challenger, one at a time; `closed` says that none is wanted any more."""

    def __init__(self, spec: WorkerSpec, closed: threading.Event) -> None:
        self._spec, self._closed = spec, closed
        self._server: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._output: IO[bytes] | None = None

    def begin(self, *, lowest: bool) -> Run:
        """Begin a run, which is not ready yet; `lowest`: with the lowest priority.

        Raises:
            OSError: the machine does not let it.
        """
        with ExitStack() as ours, ExitStack() as theirs:
            pairs = []
            for _ in range(self._spec.channels + 1):
                pair = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
                ours.enter_context(pair[0])
                theirs.enter_context(pair[1])
                pairs.append(pair)
            # In memory: the state folder may be full or read-only, and that is not the challenger's fault.
            output = ours.enter_context(_file_in_memory())
            # So that what comes after a truncation begins at the beginning.
            fcntl.fcntl(output, fcntl.F_SETFL, fcntl.fcntl(output, fcntl.F_GETFL) | os.O_APPEND)
            model = theirs.enter_context(artifact_file(self._spec.artifact)).fileno()
            descriptors = [output.fileno(), model, *(pair[1].fileno() for pair in pairs)]
            pid = self._ask(self._arguments(lowest), descriptors, START_SECONDS)
            # Until the fork server is told to end the run, nobody else can have got its number.
            pidfd = os.pidfd_open(pid)
            ours.pop_all()
        outputs = self._spec.artifact.metadata.row_width
        calls, batches = Pool(outputs), Pool(outputs)
        *of_calls, of_batches = (pair[0] for pair in pairs)
        made = [*(Channel(each, calls) for each in of_calls), Channel(of_batches, batches)]
        return Run(pid, pidfd, made, output, calls, batches, lowest)

    def end(self, run: Run) -> int:
        """End a run and all that belongs to it; its exit code, or the negative number of a signal."""
        try:
            return self._ask(b"end", [], END_SECONDS)
        except OSError:  # then the fork server has ended, and the run with it, or it will
            self.close()
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(run.pidfd, signal.SIGKILL)
            return -signal.SIGKILL
        finally:
            os.close(run.pidfd)

    def close(self) -> None:
        """End the fork server; the next run begins with another one."""
        if self._control:
            self._control.close()
        if self._server:
            self._server.kill()
            self._server.wait(END_SECONDS)
        if self._output:
            self._output.close()
        self._server = self._control = self._output = None

    def _ask(self, request: bytes, descriptors: list[int], seconds: float) -> int:
        """What the fork server answers.

        Raises:
            OSError: it cannot be started or has ended; also TimeoutError, after `seconds`, or when a run is
                to begin and none is wanted any more.
        """
        try:
            control = self._control or self._start_server()
            socket.send_fds(control, [request], descriptors)
            end = time.monotonic() + seconds
            while not is_readable(control, LOOK_SECONDS):
                if time.monotonic() > end or (descriptors and self._closed.is_set()):
                    raise TimeoutError(f"nothing from the fork server for {seconds:.0f} s")
            said = control.recv(SAID_BYTES)
            if not said:
                raise ConnectionResetError(f"the fork server has ended: {self._last_words()}")
        except OSError:
            self.close()
            raise
        return int(said)

    def _start_server(self) -> socket.socket:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._control, self._output = ours, _file_in_memory()
        with theirs:
            self._server = subprocess.Popen(
                [*PROGRAM, str(theirs.fileno()), str(os.getpid())],
                stdin=subprocess.DEVNULL,
                stdout=self._output,
                stderr=self._output,
                pass_fds=[theirs.fileno()],
                cwd=self._folder(),
                # No secret of the service is the challenger's business.
                env={name: os.environ[name] for name in INHERITED if name in os.environ}
                | ONE_THREAD
                | {"PYTHONPATH": str(Path(__file__).parents[2])},
                process_group=0,
            )
        return ours

    def _last_words(self) -> str:
        if self._output is None:
            return ""
        self._output.seek(0)
        return self._output.read().decode(errors="replace")[-SHOWN_BYTES:]

    def _folder(self) -> Path:
        """Where the process works: what it opens by a relative name is not to be the service's."""
        try:
            self._spec.folder.mkdir(mode=0o555, parents=True, exist_ok=True)
        except OSError as error:
            log.warning("the challenger's process works in /, having no folder of its own: %s", error)
            return Path("/")
        return self._spec.folder

    def _arguments(self, lowest: bool) -> bytes:
        spec = self._spec
        arguments = Arguments(
            call_rows=spec.call_rows,
            batch_rows=spec.batch_rows,
            memory_bytes=spec.memory_bytes,
            quiet_bytes=KEPT_OUTPUT_BYTES,
            output_bytes=MOST_OUTPUT_BYTES,
            lowest=lowest,
            drill_file=spec.drill_file.absolute() if spec.drill_file else None,
        )
        return arguments.model_dump_json().encode()


def _file_in_memory() -> IO[bytes]:
    return os.fdopen(os.memfd_create("challenger-output"), "r+b", buffering=0)


def is_readable(channel: socket.socket | int, seconds: float) -> bool:
    """Whether there is something to read, or the other side has ended; waits for it for `seconds`.

    By poll(), since select() takes no descriptor above 1,023.
    """
    poll = select.poll()
    poll.register(channel, select.POLLIN)
    return bool(poll.poll(1000 * seconds))
