"""The programs of a stack, as data: command, environment, when each is ready, and how it ends."""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from stack import environment, monitoring, postgres, probes
from stack.fingerprint import fingerprint
from stack.install import alertmanager, prometheus, unleash
from stack.machine import node
from stack.machine import postgres as postgres_binary
from stack.ports import HOST
from stack.probes import Probe
from stack.site import Site


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
        ready=probes.succeeds(str(postgres_binary("pg_isready")), "-q", "-h", HOST, "-p", str(port)),
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
        command=(str(node()), str(unleash.server(site.cache, version))),
        environment=environment.unleash(site),
        stage=2,
        ready=probes.answers(f"{site.addresses.unleash}/health"),
        address=site.addresses.unleash,
        patience_seconds=120.0,
    )


def _prometheus(site: Site) -> Program:
    return Program(
        name="prometheus",
        title=f"Prometheus {prometheus.version(site.cache)}",
        command=(
            str(prometheus.binary(site.cache)),
            f"--config.file={monitoring.config(site)}",
            f"--storage.tsdb.path={site.home.data / 'prometheus'}",
            "--storage.tsdb.retention.time=15d",
            f"--web.listen-address={site.addresses.prometheus.removeprefix('http://')}",
            f"--web.external-url={site.addresses.prometheus}",
            f"--web.local-assets={prometheus.web_assets(site.cache)}",
            f"--web.console.templates={site.home.run}",  # unused, and not to be looked for under /etc
            f"--web.console.libraries={site.home.run}",
            "--log.level=warn",
        ),
        environment=environment.basic(),
        stage=2,
        ready=probes.answers(f"{site.addresses.prometheus}/-/ready"),
        address=site.addresses.prometheus,
        inputs=fingerprint(*monitoring.SOURCES),
        patience_seconds=90.0,  # it reads its log of writes after a kill
    )


def _alertmanager(site: Site) -> Program:
    return Program(
        name="alertmanager",
        title=f"Alertmanager {alertmanager.version(site.cache)}",
        command=(
            *("env", f"--chdir={alertmanager.working_folder(site.cache)}"),
            str(alertmanager.binary(site.cache)),
            f"--config.file={monitoring.routes(site)}",
            f"--storage.path={site.home.data / 'alertmanager'}",
            f"--web.listen-address={site.addresses.alertmanager.removeprefix('http://')}",
            f"--web.external-url={site.addresses.alertmanager}",
            "--cluster.listen-address=",  # there is only one
            "--log.level=warn",
        ),
        environment=environment.basic(),
        stage=2,
        ready=probes.answers(f"{site.addresses.alertmanager}/-/ready"),
        address=site.addresses.alertmanager,
        inputs=fingerprint(monitoring.routes(site)),
    )


def _service(site: Site) -> Program:
    own = environment.service(site) | site.settings.environment.get("service", {})
    return Program(
        name="service",
        title=f"Service, {own['CANARIO_WORKERS']} workers",
        command=(sys.executable, "-m", "stack.mortal", "gunicorn", "-c", "service/gunicorn_conf.py"),
        environment=own,
        stage=3,
        ready=probes.answers(f"{site.addresses.service}/readyz"),
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
        ready=probes.answers(f"{site.addresses.rollback}/metrics"),
        address=site.addresses.rollback,
        inputs=fingerprint("common", "flags", "rollback", site.secrets.token("canario-rollback")),
    )


def _rollout(site: Site) -> Program:
    every = site.settings.rollout_every
    return Program(
        name="rollout",
        title=f"Rollout job, a step every {every}",
        command=(sys.executable, "-m", "flags", "rollout", "advance", "--every", every),
        environment=environment.rollout(site),
        stage=4,
        ready=probes.answers(f"{site.addresses.rollout}/metrics"),
        address=site.addresses.rollout,
        inputs=fingerprint("common", "flags", site.secrets.token("canario-rollout")),
        stop_seconds=100,  # a promotion is seen through
    )


def _board(site: Site) -> Program:
    return Program(
        name="board",
        title="Rollout board",
        command=(sys.executable, "-m", "stack.mortal", "gunicorn", "-c", "board/gunicorn_conf.py"),
        environment=environment.board(site),
        stage=4,
        ready=probes.answers(f"{site.addresses.board}/healthz"),
        address=site.addresses.board,
        inputs=fingerprint("board", "common", "flags", "rollback", site.secrets.token("canario-board")),
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
