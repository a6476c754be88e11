"""A stack for tests and scripts.

    with Stack(home=tmp_path, only=("postgres", "unleash"), ports="free") as stack:
        requests.get(stack.addresses.unleash)

The stack dies with this process, even if that is killed. The kernel sees to that, and takes the end of the
thread that started it for the end of the process: start it in the main thread.
"""

import os
import signal
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from stack.paths import Cache, Home
from stack.ports import DEFAULTS, Mode, recall
from stack.processes import environment
from stack.processes.programs import Program, all_programs
from stack.processes.status import ProgramStatus, inspect
from stack.processes.supervisor import Supervisor
from stack.progress import Progress, Silent
from stack.secrets import Secrets
from stack.servers import monitoring
from stack.shell import Refused, StackError, tail
from stack.site import (
    PROGRAMS,
    ROLLBACK_EVERY,
    Addresses,
    Settings,
    Site,
    default_unleash_version,
    with_needs,
)
from stack.up import UpOptions, up, wait_until_ready


class Stack:
    """The programs of one home."""

    def __init__(  # noqa: PLR0913 - each of them has a default
        self,
        home: Path | None = None,
        *,
        only: Iterable[str] = PROGRAMS,
        ports: Mode = "default",
        asked_ports: Mapping[str, int] | None = None,
        unleash_version: str | None = None,
        rollback_every: str = ROLLBACK_EVERY,
        rollout_every: str = "1m",
        alertmanager_config: str = "",
        workers: int = 2,
        traffic_rate: float = 10.0,
        environment: Mapping[str, Mapping[str, str]] | None = None,
        cache: Path | None = None,
        progress: Progress | None = None,
    ) -> None:
        """`home` holds data, secrets and logs; default: that of `./canario up`.

        `only` names programs; what they cannot run without is added. `ports="free"` takes free ports
        instead of the usual ones; `asked_ports` gives single programs theirs. `environment` adds variables
        by program, as in {"service": {"CANARIO_THREADS": "4"}}.

        Raises:
            StackError: there is no such program.
        """
        self.home = Home(home.absolute()) if home else Home.default()
        self.settings = Settings(
            programs=with_needs(only),
            unleash_version=unleash_version or default_unleash_version(),
            rollback_every=rollback_every,
            rollout_every=rollout_every,
            alertmanager_config=alertmanager_config,
            workers=workers,
            traffic_rate=traffic_rate,
            environment={name: dict(values) for name, values in (environment or {}).items()},
        )
        self._cache = Cache(cache.absolute()) if cache else Cache.default()
        self._options = UpOptions(
            cache=self._cache,
            home=self.home,
            settings=self.settings,
            ports=dict(asked_ports or {}),
            mode=ports,
        )
        self._progress = progress or Silent()
        self._supervisor = Supervisor(self.home)
        self._site: Site | None = None

    @classmethod
    def existing(cls, home: Path | None = None) -> Self:
        """The stack of a home as its last `up` left it: what `./canario up` started, for instance.

        Raises:
            StackError: there was no `up` in this home.
        """
        stack = cls(home)
        stack.settings = Settings.read(stack.home.settings)
        # An older `up` may not have known all of today's programs.
        ports = {**DEFAULTS, **recall(stack.home.ports)}
        stack._site = Site(stack._cache, stack.home, stack.settings, ports)
        return stack

    def __enter__(self) -> Self:
        self.up()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.down()

    def up(self, *, attached: bool = True) -> Addresses:
        """Install what is missing, start what does not run, and wait until all is ready.

        What this call has started is ended again when it is interrupted, or when it fails and is attached.

        Raises:
            StackError: a step failed; the text has the last lines of its log.
            MachineLacks: the machine has not what is needed.
            Refused: another `up` is at work.
        """
        self._site = up(self._options, self._supervisor, self._progress, attached=attached)
        return self.addresses

    def down(self) -> None:
        """End everything, in order; data stay. Does nothing where nothing runs."""
        self._supervisor.shutdown()

    def wait(self) -> None:
        """Return when its supervisord has ended."""
        while self._supervisor.is_running():
            time.sleep(0.5)

    @property
    def is_running(self) -> bool:
        """Whether its supervisord answers."""
        return self._supervisor.is_running()

    @property
    def site(self) -> Site:
        """What the programs are made from.

        Raises:
            StackError: it is not up.
        """
        if self._site is None:
            raise StackError("this stack is not up: call up() first")
        return self._site

    @property
    def addresses(self) -> Addresses:
        """Where the servers listen."""
        return self.site.addresses

    @property
    def programs(self) -> tuple[Program, ...]:
        """All programs, in the order of their start."""
        return all_programs(self.site)

    def secret(self, name: str) -> str:
        """A secret by the name of its file in the home's `secrets`, as `unleash-admin.password`."""
        return Secrets(self.home.secrets).read(name)

    def env(self, program: str) -> dict[str, str]:
        """The environment of a program; also of `flags`, for the flags command line."""
        if program == "flags":
            return environment.flags_command(self.site)
        return dict(self._program(program).environment)

    def status(self) -> tuple[ProgramStatus, ...]:
        """How each program is, in the order of their start."""
        return inspect(self.programs, self._supervisor.processes())

    def pid(self, program: str) -> int:
        """The process of a program.

        Raises:
            StackError: it does not run.
        """
        info = self._supervisor.processes().get(program)
        if info is None or not info.pid:
            raise StackError(f"{program} does not run")
        return info.pid

    def start(self, program: str) -> None:
        """Start a stopped program, and wait until it is ready."""
        started = time.monotonic()
        self._supervisor.start_program(program)
        wait_until_ready(self.home, self._supervisor, self._program(program), started)

    def stop(self, program: str) -> None:
        """Stop a program, and wait for its end; it stays stopped."""
        self._supervisor.stop_program(program)

    def restart(self, program: str) -> None:
        """Stop, start, and wait until it is ready."""
        self.stop(program)
        self.start(program)

    def kill(self, program: str, number: signal.Signals = signal.SIGKILL) -> int:
        """Send a signal to a program's process and return its pid; supervisord starts it again if it ends."""
        pid = self.pid(program)
        os.kill(pid, number)
        return pid

    def scrape(self, job: str, *addresses: str) -> None:
        """Let Prometheus scrape a service of somebody else as `job`, at once; without addresses, no more."""
        monitoring.scrape(self.site, job, *addresses)

    def logs(self, program: str, lines: int = 100) -> str:
        """The end of a program's log."""
        return "\n".join(tail(self.home.log(program), lines))

    def _program(self, name: str) -> Program:
        for program in self.programs:
            if program.name == name:
                return program
        raise Refused(f"{name} is no program of this stack: it has {', '.join(self.settings.programs)}")
