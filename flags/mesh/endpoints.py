"""Whether an arm has endpoints that are ready: EndpointSlices of its Service, and pods of its subset.

Which pods a subset has is asked only every half a minute, or when none of those that were known is ready: the
list of a thousand pods has megabytes.
"""

import time
from collections.abc import Callable
from typing import Final

from flags.mesh.errors import Missing, RouteError
from flags.mesh.kubernetes import (
    DESTINATION_RULES,
    ENDPOINT_SLICES,
    ENDPOINT_SLICES_BETA,
    PODS,
    KubernetesApi,
    Object,
)
from flags.mesh.routes import Backend, Destination, full_host

OF_SERVICE: Final = "kubernetes.io/service-name"
MEMBERS_SECONDS: Final = 30.0


class Endpoints:
    """Counts ready endpoints."""

    def __init__(self, api: KubernetesApi, clock: Callable[[], float] = time.monotonic) -> None:
        self._api, self._clock = api, clock
        self._slices = ENDPOINT_SLICES
        self._members: dict[Destination, tuple[float, frozenset[str]]] = {}
        """Pods of a subset, and when they were listed."""

    def of_backend(self, arm: Backend, namespace: str) -> int | None:
        """Ready endpoints of a Service. Raises KubernetesError."""
        return len(self._ready(arm.name, arm.namespace or namespace))

    def of_destination(self, arm: Destination, namespace: str) -> int | None:
        """Ready endpoints of a Service, or some of one of its subsets; None where the host is no Service's.

        Raises:
            RouteError: no DestinationRule names the subset.
            KubernetesError: it cannot be told.
        """
        service, _, where = full_host(arm.host, namespace).partition(".")
        if "." in where:
            return None
        ready = self._ready(service, where)
        if arm.subset is None:
            return len(ready)
        at, members = self._members.get(arm, (float("-inf"), frozenset[str]()))
        if self._clock() - at > MEMBERS_SECONDS or not ready & members:
            pods = self._api.list(PODS, where, self._labels(arm, namespace, where))
            members = frozenset(one["metadata"]["name"] for one in pods)
            self._members[arm] = self._clock(), members
        return len(ready & members)

    def _labels(self, arm: Destination, namespace: str, of_service: str) -> dict[str, str]:
        for where in dict.fromkeys((namespace, of_service)):
            for rule in self._api.list(DESTINATION_RULES, where):
                spec = rule.get("spec") or {}
                if full_host(str(spec.get("host", "")), where) != full_host(arm.host, namespace):
                    continue
                for subset in spec.get("subsets") or ():
                    if subset.get("name") == arm.subset:
                        return dict(subset.get("labels") or {})
        raise RouteError(f"no DestinationRule in {namespace} names the subset {arm.subset} of {arm.host}")

    def _ready(self, service: str, namespace: str) -> set[str]:
        """Names of its ready pods, or addresses where there are none."""
        try:
            found = self._api.list(self._slices, namespace, {OF_SERVICE: service})
        except Missing:
            if self._slices is ENDPOINT_SLICES_BETA:
                raise
            found = self._api.list(ENDPOINT_SLICES_BETA, namespace, {OF_SERVICE: service})
            self._slices = ENDPOINT_SLICES_BETA  # before Kubernetes 1.21
        endpoints: list[Object] = [one for each in found for one in each.get("endpoints") or ()]
        return {
            (one.get("targetRef") or {}).get("name") or ",".join(one.get("addresses") or ())
            for one in endpoints
            if (one.get("conditions") or {}).get("ready") is not False  # unsaid means ready
        }
