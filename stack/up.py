"""The steps of `up`: install, start each program when the ones before it are ready, provision Unleash.

Each program that runs already goes on running, unless what it is made from has changed.
"""

import contextlib
import fcntl
import json
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from common.errors import CanarioError
from common.files import replace_whole
from common.model_store import ModelStore
from common.names import Model
from common.release import Note
from stack.install import install, install_step_count
from stack.paths import Cache, Home
from stack.ports import Mode, assign, holder, recall, remember
from stack.processes import environment
from stack.processes.programs import Program, all_programs
from stack.processes.supervisor import Supervisor
from stack.progress import Progress
from stack.servers import monitoring, postgres
from stack.shell import Refused, StackError, failure, run
from stack.site import Settings, Site

_POLL_SECONDS = 0.05
_SETTLED_SECONDS = 1.0
_TRIES = 3  # PostgreSQL may need a second one, when the memory of one that was killed is still in use


@dataclass(frozen=True)
class UpOptions:
    """What the caller of `up` wants; `ports` are asked for by program."""

    cache: Cache
    home: Home
    settings: Settings
    ports: Mapping[str, int]
    mode: Mode


def up(options: UpOptions, supervisor: Supervisor, progress: Progress, *, attached: bool) -> Site:
    """Install what is missing, start what does not run, and wait until all is ready.

    What this call has started is ended again when it is interrupted, or when it fails and is attached.

    Raises:
        StackError: a step failed; the text has the last lines of its log.
        MachineLacks: the machine has not what is needed.
        Refused: another `up` is at work, or the home has data but not their secrets.
    """
    with _only_one(options.home):
        was_running = supervisor.is_running()
        try:
            install(options.cache, options.settings, progress)
            site = _prepare(options, supervisor, progress)
            _start(site, supervisor, progress, attached=attached)
        except BaseException as error:
            if not was_running and (attached or not isinstance(error, StackError)):
                supervisor.shutdown()
            raise
    return site


def step_count(settings: Settings) -> int:
    """How many steps `up` prints."""
    provisioning = 2 if "unleash" in settings.programs else 0
    return install_step_count(settings) + len(settings.programs) + provisioning


def _prepare(options: UpOptions, supervisor: Supervisor, progress: Progress) -> Site:
    """Make the home's folders and secrets, and choose its ports. Raises StackError, Refused."""
    home = options.home
    for folder in (home.root, home.data, home.logs, home.run):
        folder.mkdir(parents=True, exist_ok=True)
    home.run.chmod(0o700)
    if postgres.data_folder(home).exists() and not home.secrets.exists():
        raise Refused(
            f"{home.secrets} is gone, and without it {postgres.data_folder(home)} cannot be opened: "
            "bring it back, or throw the data away with `./canario reset`"
        )
    assignment = assign(
        asked=options.ports,
        remembered=recall(home.ports),
        ours=supervisor.running(),
        mode=options.mode,
        holder=holder,
    )
    for notice in assignment.notices:
        progress.say(f"note: {notice}")
    remember(home.ports, assignment.ports)
    options.settings.write(home.settings)
    site = Site(options.cache, home, options.settings, assignment.ports)
    site.secrets.ensure()
    told = {
        name: value
        for name, value in environment.flags_command(site).items()
        if name not in environment.basic()
    }
    replace_whole(home.commands, json.dumps(told, indent=2) + "\n")  # 0600: it may hold secrets
    return site


def _start(site: Site, supervisor: Supervisor, progress: Progress, *, attached: bool) -> None:
    """Start what does not run, stage by stage. Raises StackError."""
    if "prometheus" in site.settings.programs and (faults := monitoring.write(site)):
        progress.say(f"note: {faults}")
    if "service" in site.settings.programs:
        _give_roles(site)
    programs = all_programs(site)
    if supervisor.is_running():
        supervisor.apply(programs)
    else:
        supervisor.end_strays()
        site.home.drill.unlink(missing_ok=True)  # a fault that a killed drill left on
        supervisor.start(programs, attached=attached)
    for stage in sorted({program.stage for program in programs}):
        running = supervisor.running()
        together = [program for program in programs if program.stage == stage]
        started = time.monotonic()
        for program in together:
            if program.name not in running:
                if program.name == "postgres":
                    postgres.prepare(site.home, site.secrets)
                supervisor.start_program(program.name)
        for program in together:
            with progress.step(program.title) as step:
                ran = program.name in running
                step.remark = "runs already" if ran else ""
                wait_until_ready(site.home, supervisor, program, 0.0 if ran else started)
                if program.name == "postgres":
                    postgres.create_database(site.home, site.secrets, site.ports["postgres"], site.database)
            if program.name == "unleash":
                _provision(site, progress, fresh="unleash" not in running)
                programs = all_programs(site)  # the tokens may be new, and who holds old ones must restart
                supervisor.apply(programs)


def _give_roles(site: Site) -> None:
    """Let the home's models folder hold the example models, as long as nobody has changed roles there."""
    champion, challenger = site.cache.model(Model.CHAMPION), site.cache.model(Model.CHALLENGER)
    try:
        ModelStore(site.home.models).install(champion, challenger, Note("./canario up"), refresh=True)
    except CanarioError as error:
        raise StackError(str(error)) from error


def _provision(site: Site, progress: Progress, *, fresh: bool) -> None:
    """Users and tokens, then the flags of flags/flags.yaml.

    Nothing to do where Unleash went on running and no token ends soon.
    """
    needed = fresh or site.secrets.tokens_are_due()
    steps = (
        (
            "Unleash users and tokens",
            ("bootstrap", "--secrets", str(site.home.secrets)),
            environment.flags_bootstrap(site),
            "the users and tokens of Unleash could not be made",
        ),
        (
            "Flags of flags/flags.yaml",
            ("apply",),
            environment.flags(site),
            "the flags could not be applied",
        ),
    )
    for title, words, variables, failed in steps:
        with progress.step(title) as step:
            if needed:
                log = site.home.log(f"flags-{words[0]}")
                run([sys.executable, "-m", "flags", *words], log, what=failed, environment=variables)
            else:
                step.remark = "there already"


def wait_until_ready(home: Home, supervisor: Supervisor, program: Program, started: float) -> None:
    """Wait for the probe of `program`, or, where it has none, until it has run for a second.

    `started` is when it was told to start, by the monotonic clock; 0 if it ran before.

    Raises:
        StackError: it ends again and again, or takes longer than its patience.
    """
    begun = time.monotonic()
    seen: dict[int, float] = {}  # since when each process of it runs, as far as we know
    while True:
        info = supervisor.processes().get(program.name)
        if info is None:
            raise StackError(
                failure(f"supervisord ended while {program.name} was starting", home.log("supervisord"))
            )
        if info.pid:
            since = seen.setdefault(info.pid, time.monotonic() if seen else started)
            if program.ready() if program.ready else time.monotonic() - since > _SETTLED_SECONDS:
                return
        log = home.log(program.name)
        if info.state == "FATAL" or len(seen) > _TRIES:
            raise StackError(failure(f"{program.name} ends again and again while it starts", log))
        if time.monotonic() - begun > program.patience_seconds:
            raise StackError(
                failure(f"{program.name} is not ready after {program.patience_seconds:g} s", log)
            )
        time.sleep(_POLL_SECONDS)


@contextlib.contextmanager
def _only_one(home: Home) -> Iterator[None]:
    """Hold off a second `up` in the same home.

    Raises:
        Refused: one is at work.
    """
    home.root.mkdir(parents=True, exist_ok=True)
    with (home.root / "up.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise Refused(f"another `up` is at work in {home.root}: wait for it, or end it") from error
        yield
