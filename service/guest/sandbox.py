"""The guest's process, from outside: started, watched, ended and started again.

A call takes a channel that is free, sends its rows and waits for the reply until the deadline. When the reply
is late, the caller goes away and the channel stays taken; a watching thread collects the late reply, so that
its duration is known, and gives the channel back. The same thread starts the process again when it has ended,
each time after a longer rest, and ends one that has owed a reply for too long.
"""

import fcntl
import json
import logging
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

from service.artifact import Artifact
from service.guest.channel import Channel, NoReplyError, Pool, Process
from service.guest.child import LOWEST_PRIORITY
from service.guest.ending import why_ended, why_refused
from service.guest.wire import Outcome, ProtocolError, Reply, artifact_file, largest_reply
from service.model import Row

log = logging.getLogger(__name__)

WATCH_SECONDS = 0.1
START_SECONDS = 60.0  # for the process to become ready
WAIT_SECONDS = 10.0  # for that, where the champion's users wait too: at the start of a worker
FIRST_REST_SECONDS = 0.5
LONGEST_REST_SECONDS = 30.0
END_SECONDS = 10.0  # for the kernel to end it; one that waits for a dead disk is left behind
SHOWN_OUTPUT_BYTES = 1000
SEARCHED_OUTPUT_BYTES = 32 * 1024  # of a crash, the stacks of all threads come after its reason
KEPT_OUTPUT_BYTES = 1024 * 1024
MOST_OUTPUT_BYTES = 64 * KEPT_OUTPUT_BYTES  # between two looks of the watcher
PROGRAM = (sys.executable, "-P", "-m", "service.guest.child")
INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "LD_LIBRARY_PATH", "ORT_DISABLE_TELEMETRY")


@dataclass(frozen=True)
class Terms:
    """What the guest is granted; see service.guest.child.Terms.

    Attributes:
        channels: calls in flight at most, besides one batch.
        batch_rows: rows of a batch at most; see wire.rows_in_a_packet.
        patience_seconds: how long a call waits for a free channel.
        hang_seconds: how long a reply may be owed before the process is ended.
        outputs: how many numbers the answer to a row is.
        folder: empty, to work in; made where it is missing.
    """

    artifact: Artifact
    outputs: int
    channels: int
    batch_rows: int
    patience_seconds: float
    hang_seconds: float
    memory_bytes: int
    folder: Path
    drill_file: Path | None


class Sandbox:
    """A guest in a process of its own. Make it after the fork of a worker; threads may share it.

    Args:
        on_late: called with the seconds that a call (no batch) took in the guest when nobody waited for it
            any more.
        on_start: called each time a process has become ready.
    """

    def __init__(
        self,
        terms: Terms,
        on_late: Callable[[float], None] = lambda _: None,
        on_start: Callable[[], None] = lambda: None,
    ) -> None:
        self._terms, self._on_late, self._on_start = terms, on_late, on_start
        self._process: Process | None = None
        self._why_down = "starting"  # a reason of NoReplyError, for when there is no process
        self._trouble = "the challenger's process is starting"
        self._closed = threading.Event()
        self._first = threading.Event()
        # The kernel ends the guest with the thread that started it, so that thread must be this one, which
        # lives as long as the worker.
        self._watcher = threading.Thread(target=self._watch, name="guest-watcher", daemon=True)

    def start(self, given_up: Callable[[], bool] | None = None) -> None:
        """Start the process, and wait until it is ready or has failed for the first time.

        Args:
            given_up: whether nobody waits any more; asked again and again. None: for WAIT_SECONDS, since a
                model may take for ever to load.
        """
        self._watcher.start()
        if given_up is None:
            self._first.wait(WAIT_SECONDS)
            return
        while not self._first.wait(WATCH_SECONDS):
            if given_up():
                return

    def close(self) -> None:
        """End the process, for good."""
        self._closed.set()
        self._watcher.join(5)

    @property
    def is_up(self) -> bool:
        """Whether there is a process that can be called."""
        return self._process is not None and not self._process.ended

    @property
    def trouble(self) -> str | None:
        """Why there is none, as far as is known."""
        return None if self.is_up else self._trouble

    def call(self, row: Row, deadline_seconds: float) -> Reply:
        """The guest's reply to `row`, shape (1, features), within the deadline.

        Raises:
            NoReplyError: there is none.
        """
        return self._exchange(lambda process: process.calls, row, deadline_seconds)

    def call_batch(self, rows: Row, deadline_seconds: float) -> Reply:
        """The reply to `rows`, shape (up to `terms.batch_rows`, features); its seconds are those of all.

        There is one channel for batches, apart from those of `call`.

        Raises:
            NoReplyError: there is none.
        """
        return self._exchange(lambda process: process.batches, rows, deadline_seconds)

    def _exchange(self, pool: Callable[[Process], Pool], rows: Row, deadline_seconds: float) -> Reply:
        process = self._process
        if process is None or process.ended:
            raise NoReplyError(self._reason())
        try:
            return process.exchange(pool(process), rows, self._terms.patience_seconds, deadline_seconds)
        except NoReplyError as error:
            if error.reason == "crash" and self._reason() != "down":  # this worker has ended it
                raise NoReplyError(self._reason()) from None
            raise

    def _reason(self) -> str:
        """Why there is no process."""
        return "stopped" if self._closed.is_set() else self._why_down

    def _watch(self) -> None:
        rest = FIRST_REST_SECONDS
        while not self._closed.is_set():
            ready_for = 0.0
            try:
                ready_for = self._live()
            except Exception:  # whatever it is, the next start may go well
                self._why_down = "cannot_start"
                log.exception("the challenger's process cannot be watched; it is started again")
            self._process = None
            self._first.set()
            if ready_for > LONGEST_REST_SECONDS:
                rest = FIRST_REST_SECONDS
            self._closed.wait(rest)
            rest = min(2 * rest, LONGEST_REST_SECONDS)

    def _live(self) -> float:
        """One life of the process, from its start to its end; the seconds for which it could be called."""
        try:
            process = self._begin()
        except OSError as error:  # no descriptors, no memory, no processes
            self._trouble = f"the challenger's process cannot be started: {error}"
            log.error("%s", self._trouble)
            self._why_down = "cannot_start"
            return 0.0
        try:
            if not self._await_ready(process):
                if self._why_down == "starting":
                    self._why_down = "cannot_start"
                return 0.0
            self._why_down = "down"  # from here on an end is its own doing
            self._process = process
            self._first.set()
            self._on_start()
            since = time.monotonic()
            self._stay(process)
            return time.monotonic() - since
        except Exception:
            self._why_down = "cannot_start"
            raise
        finally:
            self._finish(process)

    def _begin(self) -> Process:
        """Start a process. Raises OSError when the machine does not let it."""
        with ExitStack() as ours, ExitStack() as theirs:
            pairs = []
            for _ in range(self._terms.channels + 1):
                pair = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
                ours.enter_context(pair[0])
                theirs.enter_context(pair[1])
                pairs.append(pair)
            # In memory: the state folder may be full or read-only, and that is not the challenger's fault.
            output = ours.enter_context(os.fdopen(os.memfd_create("challenger-output"), "r+b", buffering=0))
            # So that what comes after a truncation begins at the beginning.
            fcntl.fcntl(output, fcntl.F_SETFL, fcntl.fcntl(output, fcntl.F_GETFL) | os.O_APPEND)
            channels = [pair[1].fileno() for pair in pairs]
            model = theirs.enter_context(artifact_file(self._terms.artifact)).fileno()
            popen = subprocess.Popen(
                [*PROGRAM, self._told(channels, model)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=[*channels, model],
                cwd=self._folder(),
                # No secret of the service is the challenger's business.
                env={name: os.environ[name] for name in INHERITED if name in os.environ}
                | {"PYTHONPATH": str(Path(__file__).parents[2])},
                start_new_session=True,  # so that what it starts ends with it
            )
            _yield_to_others(popen.pid)
            ours.pop_all()
        calls = Pool(largest_reply(self._terms.outputs), self._on_late)
        batches = Pool(largest_reply(self._terms.outputs * self._terms.batch_rows), lambda _: None)
        *of_calls, of_batches = (pair[0] for pair in pairs)
        made = [*(Channel(each, calls) for each in of_calls), Channel(of_batches, batches)]
        return Process(popen, made, output, calls, batches)

    def _folder(self) -> Path:
        """Where the process works: what it opens by a relative name is not to be the service's."""
        try:
            self._terms.folder.mkdir(mode=0o555, parents=True, exist_ok=True)
        except OSError as error:
            log.warning("the challenger's process works in /, having no folder of its own: %s", error)
            return Path("/")
        return self._terms.folder

    def _told(self, channels: list[int], model: int) -> str:
        terms = self._terms
        return json.dumps(
            {
                "artifact": model,
                "channels": channels[:-1],
                "batch_channel": channels[-1],
                "batch_rows": terms.batch_rows,
                "worker": os.getpid(),
                "memory_bytes": terms.memory_bytes,
                "output_bytes": MOST_OUTPUT_BYTES,
                "drill_file": str(terms.drill_file.absolute()) if terms.drill_file else None,
            }
        )

    def _await_ready(self, process: Process) -> bool:
        """Whether the process said on each channel that it is ready."""
        end = time.monotonic() + START_SECONDS
        try:
            for channel in process.channels:
                self._await_packet(channel, end)
                reply = channel.receive()
                if reply.outcome is not Outcome.READY:
                    process.trouble = why_refused(reply.text, self._terms.memory_bytes)
                    log.error("%s", process.trouble)
                    return False
                channel.release()
        except (OSError, ProtocolError) as error:
            if not self._closed.is_set():
                log.error("the challenger's process does not become ready: %r", error)
            return False
        return True

    def _await_packet(self, channel: Channel, end: float) -> None:
        """Wait for a packet. A guest that is still loading must not outlive its sandbox, hence the looks.

        Raises:
            TimeoutError: there was none by `end`, or the sandbox was closed.
        """
        while not _readable([channel], WATCH_SECONDS):
            if self._closed.is_set() or time.monotonic() > end:
                raise TimeoutError(f"nothing from it for {START_SECONDS:.0f} s")

    def _stay(self, process: Process) -> None:
        """Watch a ready process until it has ended, or must."""
        while not self._closed.is_set() and not process.ended:
            now = time.monotonic()
            late = [channel for channel in process.channels if channel.is_late]
            if any(now - (channel.owed_since or now) > self._terms.hang_seconds for channel in late):
                process.trouble = "the challenger hangs: its process is ended"
                log.error("%s", process.trouble)
                return
            if not all(self._collect(channel) for channel in _readable(late, WATCH_SECONDS)):
                return
            if _has_ended(process):
                return
            if os.fstat(process.output.fileno()).st_size > KEPT_OUTPUT_BYTES:
                process.output.truncate(0)  # a model may be chatty; nobody needs to keep it

    def _collect(self, channel: Channel) -> bool:
        try:
            reply = channel.receive()
        except OSError:
            return False
        except ProtocolError as error:
            log.error("the challenger's process is ended: %s", error)
            return False
        channel.pool.on_late(reply.seconds)
        channel.release()
        return True

    def _finish(self, process: Process) -> None:
        """End a process and all that belongs to it; say why it ended."""
        process.ended = True
        now = time.monotonic()
        ended_by_itself = _has_ended(process)
        with suppress(ProcessLookupError):
            os.killpg(process.popen.pid, signal.SIGKILL)
        for channel in process.channels:
            if channel.is_late and channel.owed_since is not None:
                channel.pool.on_late(now - channel.owed_since)  # it took at least this long
        with process.output:
            # A caller that waits on a socket learns of the end at once; to close it under its feet would let
            # it wait on whatever file gets that number next.
            for channel in process.channels:
                while channel.awaited:
                    time.sleep(0.001)
                channel.socket.close()
            code = process.popen.wait(END_SECONDS)
            if ended_by_itself or not self._closed.is_set():
                process.output.seek(max(0, os.fstat(process.output.fileno()).st_size - SEARCHED_OUTPUT_BYTES))
                said = process.output.read(SEARCHED_OUTPUT_BYTES).decode(errors="replace")
                why = why_ended(code, said, self._terms.memory_bytes)
                self._trouble = process.trouble or why
                log.error("%s", why, extra={"output": said[-SHOWN_OUTPUT_BYTES:]})


def _readable(channels: Sequence[Channel], seconds: float) -> list[Channel]:
    """Those of `channels` that have something to read, or have ended; waits for one for `seconds`.

    By poll(), since select() takes no descriptor above 1,023.
    """
    poll = select.poll()
    by_number = {each.socket.fileno(): each for each in channels}
    for number in by_number:
        poll.register(number, select.POLLIN)
    return [by_number[number] for number, _ in poll.poll(1000 * seconds)]


def _has_ended(process: Process) -> bool:
    """Whether the process has ended. It stays a zombie, so that nobody else gets the number of its group."""
    return os.waitid(os.P_PID, process.popen.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _yield_to_others(pid: int) -> None:
    """Lowest priority from the start: before the guest asks for it, it has used half a second of CPU."""
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, pid, LOWEST_PRIORITY)
