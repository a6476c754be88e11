"""The guest's process, from inside: loads the challenger, answers calls, and may come to grief.

    python -m service.guest.child '{"artifact": "...", "channels": [5, 6], ...}'

Started by service.guest.sandbox. Before it loads anything it gives up what a fault could use against others:
priority, memory, the size of its output, new privileges; and it ends with its worker, not before. Before it
answers it gives up new processes and threads.
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
from pathlib import Path

from pydantic import BaseModel

from common.errors import CanarioError

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_SET_NO_NEW_PRIVS = 38
LOWEST_PRIORITY = 19
FIRST_TO_END = "1000"  # when memory runs out, by the kernel's choice


class Terms(BaseModel):
    """What the worker grants its guest.

    Attributes:
        artifact: file descriptor of the model, see wire.artifact_file; whatever happens to its folder.
        channels: file descriptors, one a call in flight.
        batch_channel: file descriptor for batches of up to `batch_rows`.
        worker: process that the guest must not outlive.
        memory_bytes: of data; more is a MemoryError, or the end.
        output_bytes: of standard output and error together; more is an OSError for whoever writes.
    """

    artifact: int
    channels: list[int]
    batch_channel: int
    batch_rows: int
    worker: int
    memory_bytes: int
    output_bytes: int
    drill_file: Path | None


def main() -> None:
    """Serve until the worker closes the channels."""
    terms = Terms.model_validate_json(sys.argv[1])
    _submit(terms)
    logging.basicConfig(stream=sys.stderr)
    channels = [socket.socket(fileno=number) for number in [*terms.channels, terms.batch_channel]]
    rows = [*(1 for _ in terms.channels), terms.batch_rows]
    # Only now: numpy and ONNX Runtime are to live within the limits.
    from service.guest.serve import load, serve  # noqa: PLC0415

    try:
        model, faults = load(terms.artifact, terms.drill_file)
    except CanarioError as error:
        from service.guest.wire import LONGEST_TEXT, READY_ID, Outcome, pack_reply  # noqa: PLC0415

        for channel in channels:
            channel.send(pack_reply(READY_ID, Outcome.REFUSED, 0.0, str(error).encode()[:LONGEST_TEXT]))
        time.sleep(1)  # let it be read
        sys.exit(2)
    may_serve = threading.Event()

    def serve_when_allowed(channel: socket.socket, most: int) -> None:
        may_serve.wait()
        serve(channel, most, model, faults)

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


def keep_private() -> None:
    """Let no other process of this user trace this one, or read its memory and its environment."""
    _prctl(PR_SET_DUMPABLE, 0)


def _prctl(option: int, argument: int) -> None:
    if ctypes.CDLL(None, use_errno=True).prctl(option, argument, 0, 0, 0):
        raise OSError(ctypes.get_errno(), f"prctl({option})")


def _submit(terms: Terms) -> None:
    faulthandler.enable()
    # The worker's death ends the guest, whatever it is doing; the check is for a worker that died before.
    _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != terms.worker:
        sys.exit(1)
    # Ctrl-C in a terminal, or a stop of all processes of a service at once, is for the worker to answer: it
    # has requests and shadow samples left, and ends its guest after them.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    with contextlib.suppress(OSError):  # where there is no /proc
        Path("/proc/self/oom_score_adj").write_text(FIRST_TO_END, encoding="ascii")
    os.setpriority(os.PRIO_PROCESS, 0, LOWEST_PRIORITY)
    resource.setrlimit(resource.RLIMIT_DATA, (terms.memory_bytes, terms.memory_bytes))
    resource.setrlimit(resource.RLIMIT_FSIZE, (terms.output_bytes, terms.output_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _prctl(PR_SET_NO_NEW_PRIVS, 1)
    keep_private()  # last: /proc/self is root's afterwards


if __name__ == "__main__":
    main()
