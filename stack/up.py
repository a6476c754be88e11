"""The steps of `up`: install, start each program when the ones before it are ready, provision Unleash."""

import contextlib
import fcntl
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from stack import environment, monitoring, postgres
from stack.errors import Refused, StackError
from stack.install import alertmanager, installing, models, prometheus, unleash
from stack.machine import require_machine
from stack.paths import Cache, Home
from stack.ports import Mode, assign, holder, recall, remember
from stack.programs import Program, all_programs
from stack.progress import Progress
from stack.secrets import Secrets
from stack.settings import Settings
from stack.shell import failure, run
from stack.site import Site
from stack.supervisor import Supervisor

_POLL_SECONDS = 0.05
_SETTLED_SECONDS = 1.0
_TRIES = 3  # PostgreSQL may need a second one, when the memory of one that was killed is still in use


@dataclass(frozen=True)
class Wish:
    """What the caller of `up` wants; `ports` are asked for by program."""

    cache: Cache
    home: Home
    settings: Settings
    ports: Mapping[str, int]
    mode: Mode


def step_count(settings: Settings) -> int:
    """How many steps `install` and `bring_up` print together."""
    provisioning = 2 if "unleash" in settings.programs else 0
    return install_step_count(settings) + len(settings.programs) + provisioning


def install_step_count(settings: Settings) -> int:
    """How many of them `install` prints."""
    brought = ("unleash", "prometheus", "alertmanager", "service")
    return 1 + sum(program in settings.programs for program in brought)


def install(cache: Cache, settings: Settings, progress: Progress) -> None:
    """Bring what the programs of `settings` need into the cache.

    Raises:
        StackError: see the modules of `stack.install`.
    """
    with progress.step("What this machine has"):
        require_machine()
    with installing(cache):
        if "unleash" in settings.programs:
            with progress.step(f"Unleash {settings.unleash_version} from npm") as step:
                step.remark = unleash.ensure(cache, settings.unleash_version)
        if "prometheus" in settings.programs:
            with progress.step("Prometheus from Debian's packages") as step:
                step.remark = prometheus.ensure(cache)
        if "alertmanager" in settings.programs:
            with progress.step("Alertmanager from Debian's package") as step:
                step.remark = alertmanager.ensure(cache)
        if "service" in settings.programs:
            with progress.step("Models trained and exported to ONNX") as step:
                step.remark = models.ensure(cache)


def prepare_site(wish: Wish, supervisor: Supervisor, progress: Progress) -> Site:
    """Make the home's folders and secrets, and choose its ports.

    Raises:
        StackError: a port that was asked for is in use.
        Refused: the home has data but not their secrets.
    """
    home = wish.home
    for folder in (home.root, home.data, home.logs, home.run):
        folder.mkdir(parents=True, exist_ok=True)
    home.run.chmod(0o700)
    if postgres.data_folder(home).exists() and not home.secrets.exists():
        raise Refused(
            f"{home.secrets} is gone, and without it {postgres.data_folder(home)} cannot be opened: "
            "bring it back, or throw the data away with `make reset`"
        )
    Secrets(home.secrets).ensure()
    assignment = assign(
        asked=wish.ports,
        remembered=recall(home.ports),
        ours=supervisor.running(),
        mode=wish.mode,
        holder=holder,
    )
    for notice in assignment.notices:
        progress.say(f"note: {notice}")
    remember(home.ports, assignment.ports)
    wish.settings.write(home.settings)
    return Site(wish.cache, home, wish.settings, assignment.ports)


def bring_up(site: Site, supervisor: Supervisor, progress: Progress, *, attached: bool) -> None:
    """Start what does not run, each program when the ones before it are ready, and provision Unleash.

    Raises:
        StackError: a program does not become ready, or a step fails.
    """
    if "prometheus" in site.settings.programs:
        monitoring.write(site)
    if "service" in site.settings.programs:
        models.give_roles(site.cache, site.home)
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
                _BEFORE.get(program.name, _nothing)(site)
                supervisor.start_program(program.name)
        for program in together:
            with progress.step(program.title) as step:
                ran = program.name in running
                step.remark = "runs already" if ran else ""
                wait_until_ready(site.home, supervisor, program, 0.0 if ran else started)
                _AFTER.get(program.name, _nothing)(site)
            if program.name == "unleash":
                provision(site, progress, fresh="unleash" not in running)
                programs = all_programs(site)  # the tokens may be new, and who holds old ones must restart
                supervisor.apply(programs)


def provision(site: Site, progress: Progress, *, fresh: bool) -> None:
    """Users and tokens, then the flags of flags/flags.yaml.

    Nothing to do where Unleash went on running and no token ends soon.
    """
    needed = fresh or site.secrets.tokens_are_due()
    with progress.step("Unleash users and tokens") as step:
        if needed:
            run(
                [sys.executable, "-m", "flags", "bootstrap", "--secrets", str(site.home.secrets)],
                site.home.log("flags-bootstrap"),
                what="the users and tokens of Unleash could not be made",
                environment=environment.flags_bootstrap(site),
            )
        else:
            step.remark = "there already"
    with progress.step("Flags of flags/flags.yaml") as step:
        if needed:
            run(
                [sys.executable, "-m", "flags", "apply"],
                site.home.log("flags-apply"),
                what="the flags could not be applied",
                environment=environment.flags(site),
            )
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
def alone(home: Home) -> Iterator[None]:
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


def _nothing(_site: Site) -> None:
    pass


def _prepare_postgres(site: Site) -> None:
    postgres.prepare(site.home, site.secrets)


def _create_database(site: Site) -> None:
    postgres.create_database(site.home, site.secrets, site.ports["postgres"], site.database)


_BEFORE = {"postgres": _prepare_postgres}
_AFTER = {"postgres": _create_database}
