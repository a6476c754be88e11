"""Supervises the challenger's worker process: starts it, watches it, ends it and starts it again.

One thread collects replies that come too late, so that their duration is known, and gives their channels
back. It ends a process that has owed a reply for too long, or burns CPU for one; starts it again when it has
ended, each time after a longer rest; and says in a sentence why it does not run.
"""

import logging
import os
import select
import signal
import threading
import time
from collections.abc import Callable, Sequence

from service.challenger.launcher import KEPT_OUTPUT_BYTES, START_SECONDS, Launcher, WorkerSpec, is_readable
from service.challenger.pool import ChallengerWorker, Channel, Run
from service.challenger.protocol import Outcome, ProtocolError
from service.challenger.standing import (
    BURN_SECONDS,
    BURN_SECONDS_ON_PROBATION,
    Burning,
    Greed,
    Standing,
)

log = logging.getLogger(__name__)

WATCH_SECONDS = 0.1
WAIT_SECONDS = 10.0  # for the process to become ready, where users wait too: at the start of a worker
FIRST_REST_SECONDS = 0.5
LONGEST_REST_SECONDS = 30.0
SHOWN_OUTPUT_BYTES = 1000
SEARCHED_OUTPUT_BYTES = 32 * 1024  # of a crash, the stacks of all threads come after its reason
MEBIBYTE = 1024 * 1024
# What Python, the C++ library, Rust, ONNX Runtime, OpenBLAS and the kernel say of too little memory.
_SIGNS = {
    "bad_alloc": "std::bad_alloc",
    "MemoryError": "a MemoryError",
    "memory allocation of": "a failed allocation",
    "Failed to allocate memory": "a failed allocation",
    "Memory allocation still failed": "a failed allocation",
    "can't start new thread": "no room for a thread",
    "annot allocate memory": "a failed allocation",
}


class SupervisedWorker(ChallengerWorker):
    """A worker process and the thread that keeps it running. Make it after the fork of a worker.

    Args:
        on_late: called with the seconds that a call (no batch) took in the process when nobody waited for it
            any more.
        on_start: called each time a process has become ready.
    """

    def __init__(
        self,
        spec: WorkerSpec,
        on_late: Callable[[float], None] = lambda _: None,
        on_start: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__(spec.patience_seconds)
        self._spec, self._on_late, self._on_start = spec, on_late, on_start
        self._launcher = Launcher(spec, self._closed)
        self._standing = Standing()
        self._first = threading.Event()
        # The kernel ends the process with the thread that started it, so that thread must be this one, which
        # lives as long as the worker.
        self._supervisor = threading.Thread(target=self._supervise, name="challenger-supervisor", daemon=True)

    def start(self, given_up: Callable[[], bool] | None = None) -> None:
        """Start the process, and wait until it is ready or has failed for the first time.

        Args:
            given_up: whether nobody waits any more; asked again and again. None: for WAIT_SECONDS, since a
                model may take for ever to load.
        """
        self._supervisor.start()
        if given_up is None:
            self._first.wait(WAIT_SECONDS)
            return
        while not self._first.wait(WATCH_SECONDS):
            if given_up():
                return

    def close(self) -> None:
        """End the process, for good."""
        self._closed.set()
        self._supervisor.join(5)

    def _supervise(self) -> None:
        rest = FIRST_REST_SECONDS
        while not self._closed.is_set():
            ready_for = 0.0
            try:
                ready_for = self._run_once()
            except Exception:  # whatever it is, the next start may go well
                self._why_down = "cannot_start"
                log.exception("the challenger's process cannot be watched; it is started again")
            self._run = None
            self._first.set()
            if self.is_starting:  # a run after probation, which nothing holds up
                continue
            if ready_for > LONGEST_REST_SECONDS:
                rest = FIRST_REST_SECONDS
            self._closed.wait(rest)
            rest = min(2 * rest, LONGEST_REST_SECONDS)
        self._launcher.close()

    def _run_once(self) -> float:
        """One run of the process, from its start to its end; the seconds for which it could be called."""
        begun = time.monotonic()
        try:
            run = self._launcher.begin(lowest=self._standing.on_probation)
        except OSError as error:  # no descriptors, no memory, no processes
            self._trouble = f"the challenger's process cannot be started: {error}"
            if not self._closed.is_set():
                log.error("%s", self._trouble)
            self._why_down = "cannot_start"
            return 0.0
        try:
            if not self._await_ready(run):
                if self._why_down == "starting":
                    self._why_down = "cannot_start"
                return 0.0
            self._why_down = "down"  # from here on an end is its own doing
            self._run = run
            self._first.set()
            self._on_start()
            since = time.monotonic()
            log.info("the challenger answers from now on: it loaded and warmed up for %.1f s", since - begun)
            self._stay(run)
            if self._why_down == "down" and not self._closed.is_set():
                self._standing.misbehaved()
            return time.monotonic() - since
        except Exception:
            self._why_down = "cannot_start"
            raise
        finally:
            self._finish(run)

    def _await_ready(self, run: Run) -> bool:
        """Whether the process said on each channel that it is ready."""
        end = time.monotonic() + START_SECONDS
        try:
            for channel in run.channels:
                self._await_packet(channel, end)
                reply = channel.receive()
                if reply.outcome is not Outcome.READY:
                    run.trouble = _why_refused(reply.text, self._spec.memory_bytes)
                    log.error("%s", run.trouble)
                    return False
                channel.release()
        except (OSError, ProtocolError) as error:
            if not self._closed.is_set():
                log.error("the challenger's process does not become ready: %r", error)
            return False
        return True

    def _await_packet(self, channel: Channel, end: float) -> None:
        """Wait for a packet. A process that is still loading must not outlive its worker, hence the looks.

        Raises:
            TimeoutError: there was none by `end`, or this was closed.
        """
        while not is_readable(channel.socket, WATCH_SECONDS):
            if self._closed.is_set() or time.monotonic() > end:
                raise TimeoutError(f"nothing from it for {START_SECONDS:.0f} s")

    def _stay(self, run: Run) -> None:
        """Watch a ready process until it has ended, or must."""
        greed = Greed(run.pid)
        is_normal = not run.is_lowest
        burning = Burning(run.pid, BURN_SECONDS_ON_PROBATION if run.is_lowest else BURN_SECONDS)
        while not self._closed.is_set() and not run.ended:
            now = time.monotonic()
            late = [channel for channel in run.channels if channel.is_late]
            if any(now - (channel.owed_since or now) > self._spec.hang_seconds for channel in late):
                run.trouble = "the challenger hangs: its process is ended"
                log.error("%s", run.trouble)
                return
            if burning.is_seen([channel.call_id for channel in late]):
                run.trouble = "the challenger burns CPU for a reply that is late: its process is ended"
                log.error("%s", run.trouble)
                return
            if is_normal and (run.is_lowest or greed.is_seen()):  # a call that overran lowers it at once
                is_normal = False
                log.warning(
                    "the challenger takes too long, or much CPU: it gets the lowest priority, and few cores"
                )
                self._standing.misbehaved()
                run.demote()
            if (
                run.is_lowest
                and not self._standing.on_probation
                and not any(each.owed_since for each in run.channels)
            ):
                self._why_down, run.trouble = "starting", "the challenger's process is starting"
                return
            if not all(self._collect(run, channel) for channel in _readable(late, WATCH_SECONDS)):
                return
            if _has_ended(run):
                return
            if os.fstat(run.output.fileno()).st_size > KEPT_OUTPUT_BYTES:
                run.output.truncate(0)  # a model may be chatty; nobody needs to keep it

    def _collect(self, run: Run, channel: Channel) -> bool:
        try:
            reply = channel.receive()
        except OSError:
            return False
        except ProtocolError as error:
            log.error("the challenger's process is ended: %s", error)
            return False
        self._was_late(run, channel, reply.seconds)
        channel.release()
        return True

    def _was_late(self, run: Run, channel: Channel, seconds: float) -> None:
        if channel.pool is run.calls:
            self._on_late(seconds)

    def _finish(self, run: Run) -> None:
        """End a process and all that belongs to it; say why it ended."""
        run.ended = True
        now = time.monotonic()
        ended_by_itself = _has_ended(run)
        code = self._launcher.end(run)
        for channel in run.channels:
            if channel.is_late and channel.owed_since is not None:
                self._was_late(run, channel, now - channel.owed_since)  # it took at least this long
        with run.output:
            # A caller that waits on a socket learns of the end at once; to close it under its feet would let
            # it wait on whatever file gets that number next.
            for channel in run.channels:
                while channel.awaited:
                    time.sleep(0.001)
                channel.socket.close()
            if ended_by_itself or not self._closed.is_set():
                run.output.seek(max(0, os.fstat(run.output.fileno()).st_size - SEARCHED_OUTPUT_BYTES))
                said = run.output.read(SEARCHED_OUTPUT_BYTES).decode(errors="replace")
                why = why_ended(code, said, self._spec.memory_bytes)
                self._trouble = run.trouble or why
                if not self.is_starting:
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


def _has_ended(run: Run) -> bool:
    return is_readable(run.pidfd, 0)


def why_ended(code: int, said: str, memory_bytes: int) -> str:
    """A process has ended with `code` (negative: a signal), and has printed `said`."""
    how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
    return _of_memory(said, memory_bytes) or f"the challenger's process has ended ({how})"


def _why_refused(text: str, memory_bytes: int) -> str:
    """A process cannot load the model, and says why in `text`."""
    return _of_memory(text, memory_bytes) or f"the challenger cannot be served: {text}"


def _of_memory(text: str, memory_bytes: int) -> str | None:
    for sign, what in _SIGNS.items():
        if sign in text:
            return (
                f"the challenger's process ended with {what} under its memory limit of "
                f"{memory_bytes // MEBIBYTE} MB; set CANARIO_GUEST_MEMORY_MB to more"
            )
    return None
