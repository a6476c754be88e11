"""Which of several processes writes: the one that holds a Lease (coordination.k8s.io) and keeps renewing it.

Clocks of several machines are not compared: whoever waits takes over once it has seen no renewal for the
length of the lease by its own clock, and the holder stops earlier, counted from before it asked.
"""

import logging
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from flags.mesh.errors import Conflict, KubernetesError, Missing
from flags.mesh.kubernetes import LEASES, KubernetesApi, Object
from flags.mesh.objects import micro_time

LENGTH_SECONDS: Final = 10
MARGIN_SECONDS: Final = 2.0
RENEW_SECONDS: Final = 2.0

_log = logging.getLogger(__name__)


class Leader:
    """The lease, as one process sees it."""

    def __init__(
        self,
        api: KubernetesApi,
        namespace: str,
        name: str,
        identity: str,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Nothing is held, and nothing asked. `identity` differs from that of all other processes."""
        self._api, self._namespace, self._name, self._identity = api, namespace, name, identity
        self._clock = clock
        self._until = float("-inf")
        self._seen: tuple[object, ...] = ()
        self._seen_at = float("-inf")
        self._ended = threading.Event()
        self.holder = ""
        """Who held it when it was last read."""
        self.fault = ""

    @property
    def held(self) -> bool:
        """Whether this process may write now."""
        return self._clock() < self._until

    def step(self) -> bool:
        """Take the lease where it is free, or renew it; whether this process may write. Raises nothing."""
        was_held, asked = self.held, self._clock()
        try:
            if self._take():
                self._until, self.holder = asked + LENGTH_SECONDS - MARGIN_SECONDS, self._identity
            else:
                self._until = float("-inf")
            self.fault = ""
        except KubernetesError as error:  # what was held counts to its end
            if str(error) != self.fault:
                _log.warning("the leader's Lease cannot be had", extra={"error": str(error)})
            self.fault = str(error)
        if self.held != was_held:
            _log.info("leader" if self.held else "not the leader", extra={"holder": self.holder})
        return self.held

    def run(self) -> None:
        """Again and again, until `close`."""
        while not self._ended.wait(RENEW_SECONDS):
            self.step()

    def close(self) -> None:
        """Give it back, so that another need not wait. Raises nothing."""
        self._ended.set()
        if not self.held:
            return
        self._until = float("-inf")
        try:
            lease = self._api.get(LEASES, self._namespace, self._name)
            if lease["spec"].get("holderIdentity") == self._identity:
                lease["spec"] |= {"holderIdentity": "", "leaseDurationSeconds": 1}
                self._api.replace(LEASES, self._namespace, self._name, lease)
        except KubernetesError as error:
            _log.warning("the lease was not given back", extra={"error": str(error)})

    def _take(self) -> bool:
        """Whether it is this process' now. Raises KubernetesError."""
        try:
            lease = self._api.get(LEASES, self._namespace, self._name)
        except Missing:
            return self._created()
        spec = lease.setdefault("spec", {})
        holder = spec.get("holderIdentity") or ""
        seen = (holder, spec.get("renewTime"), spec.get("leaseTransitions"))
        if seen != self._seen:
            self._seen, self._seen_at = seen, self._clock()
        self.holder = holder
        length = spec.get("leaseDurationSeconds") or LENGTH_SECONDS
        if holder not in ("", self._identity) and self._clock() - self._seen_at <= length:
            return False
        now = micro_time(datetime.now(UTC))
        spec |= {"holderIdentity": self._identity, "leaseDurationSeconds": LENGTH_SECONDS, "renewTime": now}
        if holder != self._identity:
            spec |= {"acquireTime": now, "leaseTransitions": (spec.get("leaseTransitions") or 0) + 1}
        try:
            self._api.replace(LEASES, self._namespace, self._name, lease)
        except Conflict:  # another was faster
            return False
        return True

    def _created(self) -> bool:
        now = micro_time(datetime.now(UTC))
        made: Object = {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": self._name, "namespace": self._namespace},
            "spec": {
                "holderIdentity": self._identity,
                "leaseDurationSeconds": LENGTH_SECONDS,
                "acquireTime": now,
                "renewTime": now,
                "leaseTransitions": 0,
            },
        }
        try:
            self._api.create(LEASES, self._namespace, made)
        except Conflict:
            return False
        return True
