"""The programs of a stack, as data: command, environment, when each is ready, and how it ends."""

import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import requests

from stack.ports import HOST
from stack.processes import environment
from stack.processes.fingerprint import fingerprint
from stack.servers import machine, monitoring, postgres, unleash
from stack.site import Site

Probe = Callable[[], bool]
"""Is a program ready? It answers at once, and never raises."""


@dataclass(frozen=True)
class Program:
    """One process that supervisord runs and restarts.

    Programs of one `stage` start together, when all of the stages before are ready. Without `ready` it is
    enough that it goes on running for a second. `inputs` changes when the program must be restarted although
    its command stays the same. `prefix` stands before the command, outermost. `death_signal` is what the
    kernel sends it when supervisord dies, `stop_signal` what supervisord sends first, and `stop_seconds`
    later SIGKILL. `patience_seconds` is how long it may take until it is ready.
    """

    name: str
    title: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    stage: int
    ready: Probe | None = field(default=None, compare=False)
    address: str = ""
    inputs: str = ""
    prefix: tuple[str, ...] = ()
    death_signal: str = "KILL"
    stop_signal: str = "TERM"
    stop_seconds: int = 15
    patience_seconds: float = 60.0


# Its workers are killed when it is.
_GUNICORN = (sys.executable, "-m", "stack.processes.launch", "module", "gunicorn", "-c")


def all_programs(site: Site) -> tuple[Program, ...]:
    """The programs that the settings of `site` name, in the order of their start."""
    made = (_MAKERS[name](site) for name in site.settings.programs)
    extra = site.settings.environment
    return tuple(
        replace(program, environment={**program.environment, **extra.get(program.name, {})})
        for program in made
    )


def _postgres(site: Site) -> Program:
    port = site.ports["postgres"]
    return Program(
        name="postgres",
        title=f"PostgreSQL {postgres.version()}",
        command=postgres.command(site.home, port),
        environment=environment.basic(),
        stage=1,
        ready=succeeds(str(machine.postgres("pg_isready")), "-q", "-h", HOST, "-p", str(port)),
        address=site.addresses.postgres,
        prefix=postgres.not_as_root(),
        death_signal="INT",  # an orderly end, without waiting for clients; its own processes follow it
        stop_signal="INT",
        stop_seconds=30,
        patience_seconds=90.0,
    )


def _unleash(site: Site) -> Program:
    version = site.settings.unleash_version
    return Program(
        name="unleash",
        title=f"Unleash {version}",
        command=(str(machine.node()), str(unleash.server(site.cache, version))),
        environment=environment.unleash(site),
        stage=2,
        ready=answers(f"{site.addresses.unleash}/health"),
        address=site.addresses.unleash,
        patience_seconds=120.0,
    )


def _prometheus(site: Site) -> Program:
    return Program(
        name="prometheus",
        title=f"Prometheus {monitoring.version(monitoring.prometheus(site.cache))}",
        command=(
            str(monitoring.prometheus(site.cache)),
            f"--config.file={monitoring.prometheus_config(site)}",
            f"--storage.tsdb.path={site.home.data / 'prometheus'}",
            "--storage.tsdb.retention.time=15d",
            f"--web.listen-address={site.addresses.prometheus.removeprefix('http://')}",
            f"--web.external-url={site.addresses.prometheus}",
            f"--web.local-assets={monitoring.web_assets(site.cache)}",
            f"--web.console.templates={site.home.run}",  # unused, and not to be looked for under /etc
            f"--web.console.libraries={site.home.run}",
            "--log.level=warn",
        ),
        environment=environment.basic(),
        stage=2,
        ready=answers(f"{site.addresses.prometheus}/-/ready"),
        address=site.addresses.prometheus,
        inputs=fingerprint(*monitoring.sources(site)),
        patience_seconds=90.0,  # it reads its log of writes after a kill
    )


def _alertmanager(site: Site) -> Program:
    return Program(
        name="alertmanager",
        title=f"Alertmanager {monitoring.version(monitoring.alertmanager(site.cache))}",
        command=(
            *("env", f"--chdir={monitoring.templates(site.cache)}"),
            str(monitoring.alertmanager(site.cache)),
            f"--config.file={monitoring.alertmanager_config(site)}",
            f"--storage.path={site.home.data / 'alertmanager'}",
            f"--web.listen-address={site.addresses.alertmanager.removeprefix('http://')}",
            f"--web.external-url={site.addresses.alertmanager}",
            "--cluster.listen-address=",  # there is only one
            "--log.level=warn",
        ),
        environment=environment.basic(),
        stage=2,
        ready=answers(f"{site.addresses.alertmanager}/-/ready"),
        address=site.addresses.alertmanager,
        inputs=fingerprint(monitoring.alertmanager_config(site)),
    )


def _service(site: Site) -> Program:
    own = environment.service(site) | site.settings.environment.get("service", {})
    return Program(
        name="service",
        title=f"Service, {own['CANARIO_WORKERS']} workers",
        command=(*_GUNICORN, "service/gunicorn_conf.py"),
        environment=own,
        stage=3,
        ready=answers(f"{site.addresses.service}/readyz"),
        address=site.addresses.service,
        inputs=fingerprint("common", "flags", "service", site.secrets.token("canario-service")),
        patience_seconds=90.0,
    )


def _rollback(site: Site) -> Program:
    own = environment.rollback(site)
    guardrails = own.get("CANARIO_GUARDRAILS")  # the board and the service read it so, the job as an option
    options = ("--guardrails", guardrails) if guardrails else ()
    return Program(
        name="rollback",
        title=f"Rollback job, every {site.settings.rollback_every}",
        command=(sys.executable, "-m", "rollback", "--every", site.settings.rollback_every, *options),
        environment=own,
        stage=4,
        ready=answers(f"{site.addresses.rollback}/metrics"),
        address=site.addresses.rollback,
        inputs=fingerprint("common", "flags", "rollback", "rollouts", site.secrets.token("canario-rollback")),
    )


def _rollout(site: Site) -> Program:
    every = site.settings.rollout_every
    return Program(
        name="rollout",
        title=f"Rollout job, a step every {every}",
        command=(sys.executable, "-m", "flags", "rollout", "advance", "--every", every),
        environment=environment.rollout(site),
        stage=4,
        ready=answers(f"{site.addresses.rollout}/metrics"),
        address=site.addresses.rollout,
        inputs=fingerprint("common", "flags", "rollouts", site.secrets.token("canario-rollout")),
        stop_seconds=100,  # a promotion is seen through
    )


def _board(site: Site) -> Program:
    return Program(
        name="board",
        title="Rollout board",
        command=(*_GUNICORN, "board/gunicorn_conf.py"),
        environment=environment.board(site),
        stage=4,
        ready=answers(f"{site.addresses.board}/healthz"),
        address=site.addresses.board,
        inputs=fingerprint(
            "board", "common", "flags", "rollback", "rollouts", site.secrets.token("canario-board")
        ),
    )


def _traffic(site: Site) -> Program:
    rate = site.settings.traffic_rate
    return Program(
        name="traffic",
        title=f"Sample traffic, {rate:g} requests a second",
        command=(sys.executable, "-m", "stack.traffic", "--rate", f"{rate:g}"),
        environment=environment.traffic(site),
        stage=4,
        inputs=fingerprint("stack/traffic.py"),
    )


def answers(url: str) -> Probe:
    """Ready when GET `url` gives 200."""

    def probe() -> bool:
        with requests.Session() as session:
            session.trust_env = False  # a proxy has nothing to say about this machine's own servers
            try:
                return session.get(url, timeout=(1, 2)).status_code == 200
            except requests.RequestException:
                return False

    return probe


def succeeds(*command: str) -> Probe:
    """Ready when `command` ends with 0."""

    def probe() -> bool:
        try:
            return subprocess.run(command, capture_output=True, check=False, timeout=5).returncode == 0
        except (OSError, subprocess.TimeoutExpired):
            return False

    return probe


_MAKERS: dict[str, Callable[[Site], Program]] = {
    "postgres": _postgres,
    "unleash": _unleash,
    "alertmanager": _alertmanager,
    "prometheus": _prometheus,
    "service": _service,
    "rollback": _rollback,
    "rollout": _rollout,
    "board": _board,
    "traffic": _traffic,
}
