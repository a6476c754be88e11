"""The job that lets routes follow flags: of each an iteration again and again, with log and metrics."""

import logging
import os
import secrets
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from threading import Thread
from typing import NoReturn

from prometheus_client import CollectorRegistry, Counter, Gauge

from common.config import ConfigError, load_settings
from common.durations import format_duration
from common.errors import CanarioError
from common.every_rollout import EveryRollout, LabelledRegistry, stamp_of
from common.logs import configure_logging
from common.names import MeshMetric
from common.rollouts import only
from common.schedule import Shutdown
from flags.canary.feed import Feeds, FollowedFlag
from flags.canary.state import CanaryState
from flags.mesh.controller import Cause, Memory, Route, Step, follow
from flags.mesh.errors import RouteError
from flags.mesh.kubernetes import KubernetesApi
from flags.mesh.leader import Leader
from flags.mesh.settings import MeshJobSettings, Routed, every, route_of
from flags.mesh.wanted import Wanted, wanted
from flags.unleash.admin import admin_from
from flags.unleash.errors import AdminError

log = logging.getLogger(__name__)


class MeshMetrics:
    """Of one rollout's routes."""

    def __init__(self, registry: CollectorRegistry, routes: list[str]) -> None:
        def gauge(name: str, told: str, *labels: str) -> Gauge:
            return Gauge(name, told, labels, registry=registry)

        self._wanted = gauge(MeshMetric.WANTED, "The challenger's share that the flag wants, in per cent.")
        self._weight = gauge(
            MeshMetric.WEIGHT,
            "The challenger's weight in a rule, of 100, as it was read last.",
            "route",
            "rule",
        )
        self._mirror = gauge(
            MeshMetric.MIRROR,
            "Requests of a rule that are copied to the challenger, in per cent, as it was read last.",
            "route",
            "rule",
        )
        self._changes = Counter(
            MeshMetric.CHANGES,
            "Changes of weights, by what they were for.",
            ["route", "cause"],
            registry=registry,
        )
        self._edits = Counter(
            MeshMetric.EDITS, "Times that somebody else had changed weights.", ["route"], registry=registry
        )
        self._failures = Counter(
            MeshMetric.FAILURES, "Iterations in which a route could not follow.", ["route"], registry=registry
        )
        self._held = gauge(
            MeshMetric.HELD,
            "1 where an arm without ready endpoints, or another's mirror, keeps a route from the flag.",
            "route",
        )
        self._last = gauge(
            MeshMetric.LAST, "When the route was last seen to be as it should (Unix time).", "route"
        )
        self._leader = gauge(MeshMetric.LEADER, "1 where this process writes, 0 where another does.")
        self._wanted.set(float("nan"))
        for route in routes:
            self._edits.labels(route)
            self._failures.labels(route)
            self._held.labels(route).set(0)
            self._last.labels(route).set(time.time())  # one that was never seen is as blind as a new one
            for cause in Cause:
                self._changes.labels(route, cause.value)

    def want(self, percent: int) -> None:
        """What the flag says."""
        self._wanted.set(percent)

    def lead(self, held: bool) -> None:
        """Whether this process writes."""
        self._leader.set(int(held))

    def step(self, route: str, step: Step) -> None:
        """A route is as it should be."""
        if step.change:
            self._changes.labels(route, step.change.value).inc()
        self._edits.labels(route).inc(int(step.edited))
        self._held.labels(route).set(int(bool(step.obstacle)))
        self._last.labels(route).set(time.time())
        for one in step.weights:
            self._weight.labels(route, one.rule).set(one.challenger)
            if one.mirror is not None:
                self._mirror.labels(route, one.rule).set(one.mirror)

    def failed(self, route: str) -> None:
        """It is not, or nobody knows."""
        self._failures.labels(route).inc()


@dataclass
class ShareSource:
    """Which share the weights should have, also while Unleash does not answer."""

    read: Callable[[], CanaryState]
    lease: timedelta | None
    clock: Callable[[], float] = time.monotonic
    fault: str = ""
    _state: CanaryState | None = None

    def __post_init__(self) -> None:
        self._begun = self.clock()

    def now(self) -> Wanted | None:
        """What the flag says; None where nobody knows.

        While Unleash does not answer, what it said last counts, and its lease runs out by itself. Where it
        never answered, nothing is done, until the time of a lease is over: then nobody guards the challenger.
        """
        try:
            self._state, self.fault = self.read(), ""
        except AdminError as error:
            self.fault = str(error)
        if self._state is not None:
            return wanted(self._state)
        if self.lease is not None and self.clock() - self._begun > self.lease.total_seconds():
            return Wanted(
                0, f"Unleash has not answered for {format_duration(self.lease)}, the length of a lease"
            )
        return None


@dataclass
class MeshWork:
    """The routes of one rollout, for as long as its file is there."""

    source: ShareSource
    shadow: ShareSource | None
    """How many requests are copied; None where none ever are."""
    routes: list[Route]
    leader: Leader | None
    metrics: MeshMetrics
    registry: CollectorRegistry
    memories: dict[str, Memory] = field(default_factory=dict)
    _told: dict[str, str] = field(default_factory=dict)

    def run(self) -> dict[str, Step | CanarioError]:
        """One iteration over all routes. A route that fails holds up no other."""
        may_write = self.leader is None or self.leader.held
        self.metrics.lead(may_write)
        if not may_write:
            self.memories.clear()  # another writes meanwhile
            return {}
        target = self._wanted()
        self._log_once("unleash", self.source.fault)
        if target is None:
            return {route.title: ShareUnknown(self.source.fault) for route in self.routes}
        self.metrics.want(target.percent)
        return {route.title: self._follow(route, target) for route in self.routes}

    def _wanted(self) -> Wanted | None:
        """What the flags say; None where nobody knows what that of the share does."""
        target = self.source.now()
        if target is None or self.shadow is None:
            return target
        nobody_knows = Wanted(0, "what the flag of the shadow says is not known")
        return target.copying(self.shadow.now() or nobody_knows)

    def close(self) -> None:
        """The flag is not followed any more; the weights stay."""

    def _follow(self, route: Route, target: Wanted) -> Step | CanarioError:
        try:
            step = follow(route, target, self.memories.setdefault(route.title, Memory()))
        except RouteError as error:
            self.metrics.failed(route.title)
            self._log_once(route.title, str(error))
            return error
        self.metrics.step(route.title, step)
        self._log_once(route.title, step.obstacle)
        if step.change:
            log.info("weights", extra={"route": route.title, "cause": step.change.value, "told": step.told})
        if step.edited:
            log.warning("somebody else changed the weights", extra={"route": route.title})
        return step

    def _log_once(self, what: str, fault: str) -> None:
        """A fault when it begins or changes, and its end."""
        before = self._told.get(what, "")
        if fault and fault != before:
            log.warning("the weights do not follow", extra={"route": what, "error": fault})
        elif before and not fault:
            log.info("the weights follow again", extra={"route": what})
        self._told[what] = fault


class ShareUnknown(CanarioError):  # noqa: N818 - as flags.mesh.errors
    """Nobody knows what the flag says, so nothing was done."""


@dataclass
class Mesh:
    """What all rollouts share: the API server, the leader's lease, and the feeds of Unleash."""

    process: MeshJobSettings
    renews: bool = True
    """Whether the lease is renewed until `close`."""
    _api: KubernetesApi | None = None
    _leader: Leader | None = None
    _feeds: Feeds = field(default_factory=Feeds)

    def begin(self, name: str, routed: Routed) -> MeshWork:
        """The work of a rollout. Raises ConfigError."""
        routes: list[Route] = [route_of(one, self._api_for(routed)) for one in routed.routes]
        settings, registry = routed.settings, LabelledRegistry({"rollout": name})
        admin = admin_from(settings, stickiness=settings.stickiness)
        feed = self._feeds.of(settings, admin)

        def source(flag: str) -> ShareSource:
            return ShareSource(FollowedFlag(admin, flag, feed).read, settings.lease)

        metrics = MeshMetrics(registry, [one.title for one in routes])
        leader = self.leader if routed.in_kubernetes else None
        shadow = source(routed.shadow_flag) if routed.shadow_flag else None
        return MeshWork(source(settings.canary_flag), shadow, routes, leader, metrics, registry)

    @property
    def leader(self) -> Leader:
        """The lease of this process. Raises ConfigError."""
        if self._leader is None:
            api = self._kubernetes()
            namespace = self.process.mesh_namespace or api.access.namespace
            identity = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
            self._leader = Leader(api, namespace, self.process.mesh_lease, identity)
            self._leader.step()
            if self.renews:
                Thread(target=self._leader.run, name="leader", daemon=True).start()
        return self._leader

    def close(self) -> None:
        """Give the lease back."""
        if self._leader:
            self._leader.close()

    def _api_for(self, routed: Routed) -> KubernetesApi | None:
        return self._kubernetes() if routed.in_kubernetes else None

    def _kubernetes(self) -> KubernetesApi:
        if self._api is None:
            self._api = KubernetesApi(self.process.access())
        return self._api


def chosen(name: str | None) -> Callable[[], Mapping[str, Routed | ConfigError]]:
    """What reads the rollouts that have routes, or the one of that name."""

    def read() -> Mapping[str, Routed | ConfigError]:
        found = dict(every())
        if not found:
            raise ConfigError("no rollout has routes: its file names them under `routes:`, see docs/mesh.md")
        return only(found, name, which=" with routes")

    return read


def run_job(interval: timedelta, name: str | None) -> NoReturn:
    """Until SIGTERM or SIGINT. No error of Unleash or Kubernetes ends it, nor does a bug.

    Raises:
        ConfigError: there is no route that could follow.
    """
    configure_logging("mesh")
    process, read = load_settings(MeshJobSettings), chosen(name)
    found = read()
    if not any(isinstance(one, Routed) for one in found.values()):
        raise ConfigError("\n".join(map(str, found.values())))
    mesh, shutdown = Mesh(process), Shutdown(exit_code=0)

    def begin(rollout: str, routed: Routed) -> MeshWork:
        work = mesh.begin(rollout, routed)
        log.info("following", extra={"rollout": rollout, "every": format_duration(interval)})
        return work

    rollouts = EveryRollout(
        read, begin, interval, stamp=stamp_of(process.rollouts), broken=MeshMetric.ROLLOUT_BROKEN
    )
    shutdown.install()
    try:
        rollouts.look()
        if process.mesh_metrics_bind:
            rollouts.serve(process.mesh_metrics_bind)
        rollouts.follow()
    finally:
        rollouts.close()
        mesh.close()


def run_once(name: str | None) -> dict[str, dict[str, Step | CanarioError] | CanarioError | None]:
    """One iteration of each rollout, by its name; None where another process holds the lease.

    Raises:
        ConfigError: there is no route that could follow.
    """
    mesh = Mesh(load_settings(MeshJobSettings), renews=False)
    done: dict[str, dict[str, Step | CanarioError] | CanarioError | None] = {}
    try:
        for rollout, routed in chosen(name)().items():
            if isinstance(routed, ConfigError):
                done[rollout] = routed
                continue
            work = mesh.begin(rollout, routed)
            if work.leader and work.leader.fault:
                raise RouteError(work.leader.fault)
            done[rollout] = work.run() or None
    finally:
        mesh.close()
    return done
