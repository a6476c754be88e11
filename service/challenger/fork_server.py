"""What each run of the challenger's process is forked from: it has imported what takes long, and runs none.

    python -m service.challenger.fork_server CONTROL PARENT

Started by service.challenger.launcher, which says over the socket CONTROL when to begin a run and when to end
it. A run that crashed then costs a fork and the load of its model; half a second of imports at each restart
would be felt by the champion's users. There is one thread here, so that a fork is safe.
"""

import os
import signal
import socket
import sys
import traceback
from contextlib import suppress
from importlib import import_module

from service.challenger.priority import in_a_lowered_thread

# All else is imported in a thread of the lowest priority. This one keeps its own, which runs inherit.

REQUEST_BYTES = 65_536
MOST_DESCRIPTORS = 250  # Linux passes on 253 at once


def main() -> None:
    """Begin and end runs, one at a time, until the worker closes the socket.

    A packet with descriptors is worker.Arguments, and is answered with the id of the process; one without
    ends that process, and is answered with its exit code (negative: a signal).
    """
    control = socket.socket(fileno=int(sys.argv[1]))
    in_a_lowered_thread(lambda: import_module("service.challenger.worker"))
    from service.challenger import worker  # noqa: PLC0415

    worker.give_up(int(sys.argv[2]))
    in_a_lowered_thread(worker.load_libraries)
    run = 0
    while True:
        request, descriptors, _, _ = socket.recv_fds(control, REQUEST_BYTES, MOST_DESCRIPTORS)
        code = _end(run) if run else 0  # before another begins, too
        run = _begin(request, descriptors, control) if descriptors else 0
        if not request:
            return
        control.send(str(run or code).encode())


def _begin(request: bytes, descriptors: list[int], control: socket.socket) -> int:
    """Fork a run; its process id. The descriptors are the run's alone."""
    from service.challenger import worker  # noqa: PLC0415

    server = os.getpid()
    run = os.fork()
    if run:
        _group(run)  # both of them do, so that it is done for either
        for each in descriptors:
            os.close(each)
        return run
    code = 1
    try:
        _group(0)
        control.close()
        output, *others = descriptors
        os.dup2(output, 1)
        os.dup2(output, 2)
        os.close(output)
        code = worker.run(worker.Arguments.model_validate_json(request), others, server)
    except BaseException:  # it ends here, whatever it is, and is no server
        traceback.print_exc()
    finally:
        with suppress(Exception):
            sys.stdout.flush()
        os._exit(code)


def _group(run: int) -> None:
    """Give a run a process group of its own, so that what it starts ends with it.

    No session: where the kernel groups tasks by session (sched_autogroup), its priority would count within
    that alone, and it would have as much of the CPU as the whole service.
    """
    with suppress(ProcessLookupError):
        os.setpgid(run, 0)


def _end(run: int) -> int:
    """End a run, and all of its group; its exit code, or the negative number of the signal that ended it."""
    with suppress(ProcessLookupError):
        os.killpg(run, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(run, 0)[1])


if __name__ == "__main__":
    main()
