"""The one door to supervisord: it is started, told what to run, asked, and ended here."""

import os
import subprocess
import sys
import time
import xmlrpc.client
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from supervisor.xmlrpc import SupervisorTransport

from common.files import replace_whole
from stack.paths import Home
from stack.processes.environment import basic
from stack.processes.programs import Program
from stack.processes.supervisor_config import MARK, render_config, render_spec
from stack.shell import StackError, failure

UP = frozenset({"RUNNING", "STARTING"})
ENDED = frozenset({"STOPPED", "EXITED", "FATAL", "UNKNOWN"})

_START_SECONDS = 20.0
_POLL_SECONDS = 0.05


@dataclass(frozen=True)
class ProcessInfo:
    """A program as supervisord sees it. `pid` is 0 where none runs, `since` seconds since the epoch."""

    name: str
    state: str
    pid: int
    since: float
    description: str


def still_alive(processes: Iterable[psutil.Process], seconds: float) -> list[psutil.Process]:
    """Those that have not ended after `seconds`; a zombie has ended, whenever its parent looks."""
    alive, end = list(processes), time.monotonic() + seconds
    while alive := [process for process in alive if _lives(process)]:
        if time.monotonic() > end:
            break
        time.sleep(_POLL_SECONDS)
    return alive


def _lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


class Supervisor:
    """Supervisord of one home, which may or may not run."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._process: subprocess.Popen[bytes] | None = None  # where this process has started it

    def is_running(self) -> bool:
        """Whether it answers."""
        try:
            with self._rpc() as rpc:
                return bool(rpc.getState()["statename"] == "RUNNING")
        except (OSError, xmlrpc.client.Error):
            return False

    def start(self, programs: Sequence[Program], *, attached: bool) -> None:
        """Start it with `programs`, none of them running. An attached one is killed when this thread ends.

        Raises:
            StackError: it does not answer in time.
        """
        self._write(programs)
        self._home.logs.mkdir(parents=True, exist_ok=True)
        log = self._home.log("supervisord-start")
        command = [sys.executable, "-m", "supervisor.supervisord", "-c", "supervisord.conf"]
        tied = ["setpriv", "--pdeathsig", "KILL", "--"] if attached else []
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                [*tied, *command],
                cwd=self._home.run,
                env={**basic(), MARK: str(self._home.root)},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is for us: we end it in order
            )
        deadline = time.monotonic() + _START_SECONDS
        while not self.is_running():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise StackError(failure("supervisord did not start", log))
            time.sleep(_POLL_SECONDS)

    def apply(self, programs: Sequence[Program]) -> None:
        """Make it know exactly `programs`; those that are gone or changed are stopped first."""
        self._write(programs)
        with self._rpc() as rpc:
            added, changed, removed = rpc.reloadConfig()[0]
            for name in (*removed, *changed):
                rpc.stopProcessGroup(name)
                rpc.removeProcessGroup(name)
            for name in (*changed, *added):
                rpc.addProcessGroup(name)

    def processes(self) -> dict[str, ProcessInfo]:
        """All programs by name; empty where it does not run."""
        try:
            with self._rpc() as rpc:
                found = rpc.getAllProcessInfo()
        except (OSError, xmlrpc.client.Error):
            return {}
        return {
            info["name"]: ProcessInfo(
                info["name"], info["statename"], info["pid"], float(info["start"]), info["description"]
            )
            for info in found
        }

    def running(self) -> frozenset[str]:
        """The names of the programs that run, ready or not."""
        return frozenset(name for name, info in self.processes().items() if info.state in UP)

    def start_program(self, name: str) -> None:
        """Start it unless it runs; do not wait.

        Raises:
            StackError: there is no such program, or its command cannot be executed.
        """
        with self._calling(f"{name} cannot be started"), self._rpc() as rpc:
            if self.processes()[name].state not in UP | {"BACKOFF"}:
                rpc.startProcess(name, False)

    def stop_program(self, name: str) -> None:
        """Stop it unless it is stopped, and wait for its end."""
        with self._calling(f"{name} cannot be stopped"), self._rpc() as rpc:
            if self.processes()[name].state not in ENDED:
                rpc.stopProcess(name, True)

    def shutdown(self, patience_seconds: float = 90.0) -> None:
        """End all programs in order, then itself; what is left after `patience_seconds` is killed.

        Also cleans up after a supervisord that was killed. Nothing of this home runs afterwards.
        """
        process = self._find()
        if process is not None:
            with suppress(psutil.Error):
                process.terminate()
                if still_alive([process], patience_seconds):
                    process.kill()  # its programs die with it
                    still_alive([process], 10)
        if self._process is not None:
            self._process.wait()
            self._process = None
        self.end_strays()

    def end_strays(self) -> None:
        """End what a killed supervisord may have left behind, when it does not run."""
        strays = list(self._strays())
        for stray in strays:
            with suppress(psutil.Error):
                stray.terminate()
        for stray in still_alive(strays, 10):
            with suppress(psutil.Error):
                stray.kill()

    def _strays(self) -> Iterator[psutil.Process]:
        mark, data = str(self._home.root), str(self._home.data)
        for process in psutil.process_iter():
            with suppress(psutil.Error, OSError):
                # PostgreSQL writes over its environment; it works in its data folder.
                postgres = process.name() == "postgres" and Path(process.cwd()).is_relative_to(data)
                if postgres or process.environ().get(MARK) == mark:
                    yield process

    def _find(self) -> psutil.Process | None:
        if self._process is not None and self._process.poll() is None:
            return psutil.Process(self._process.pid)  # perhaps too young to have written its file
        with suppress(OSError, ValueError, psutil.Error):
            process = psutil.Process(int((self._home.run / "supervisord.pid").read_text()))
            if process.environ().get(MARK) == str(self._home.root):
                return process
        return None

    def _write(self, programs: Sequence[Program]) -> None:
        specs = self._home.run / "programs"
        self._home.run.mkdir(parents=True, exist_ok=True)
        self._home.run.chmod(0o700)
        specs.mkdir(exist_ok=True)
        for program in programs:
            # Replaced whole: a program that was started a moment ago may be about to read it.
            replace_whole(specs / f"{program.name}.json", render_spec(self._home, program))
        config = render_config(self._home, programs, as_root=os.geteuid() == 0)
        (self._home.run / "supervisord.conf").write_text(config, encoding="utf-8")

    @contextmanager
    def _rpc(self) -> Iterator[Any]:
        # Through the folder's descriptor, because the path may be too long for a socket's address.
        folder = os.open(self._home.run, os.O_RDONLY | os.O_DIRECTORY)
        try:
            transport = SupervisorTransport(  # type: ignore[no-untyped-call]
                serverurl=f"unix:///proc/self/fd/{folder}/supervisor.sock"
            )
            with xmlrpc.client.ServerProxy("http://supervisor", transport=transport) as server:
                yield server.supervisor
        finally:
            os.close(folder)

    @contextmanager
    def _calling(self, what: str) -> Iterator[None]:
        try:
            yield
        except KeyError as error:
            raise StackError(f"{what}: it is no program of this stack, or nothing runs") from error
        except (OSError, xmlrpc.client.Error) as error:
            raise StackError(f"{what}: supervisord says: {error}") from error
