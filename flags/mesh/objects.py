"""VirtualServices of Istio and HTTPRoutes of the Gateway API, as routes whose weights follow a flag."""

import copy
import logging
import os
import secrets
import socket
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Final

from flags.mesh.controller import Reading, Ready
from flags.mesh.endpoints import Endpoints
from flags.mesh.errors import Conflict, RouteError
from flags.mesh.kubernetes import (
    EVENTS,
    HTTP_ROUTES,
    MANAGER,
    VIRTUAL_SERVICES,
    KubernetesApi,
    Object,
    Resource,
)
from flags.mesh.routes import Edits, HttpRoutePart, VirtualServicePart
from flags.mesh.weights import Rule, Weights, obstacles, of_http_route, of_virtual_service, title

NOTE_BYTES: Final = 1024  # that Kubernetes takes

_log = logging.getLogger(__name__)


def micro_time(moment: datetime) -> str:
    """As Kubernetes writes times with microseconds."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


@dataclass
class ObjectRoute:
    """One object of Kubernetes."""

    part: VirtualServicePart | HttpRoutePart
    api: KubernetesApi
    seen: Object = field(default_factory=dict, repr=False)
    """The object as it was read last, to which events refer."""
    _fault: str = ""
    _no_copies: str = ""
    """Why the API server would not keep how many requests are to be copied."""

    def __post_init__(self) -> None:
        self._endpoints = Endpoints(self.api)

    @property
    def title(self) -> str:
        """For people."""
        return title(self.part)

    @property
    def edits(self) -> Edits:
        """As the rollout's file says."""
        return self.part.edits

    @property
    def resource(self) -> Resource:
        """Its kind."""
        return VIRTUAL_SERVICES if isinstance(self.part, VirtualServicePart) else HTTP_ROUTES

    def read(self) -> Reading:
        """As it is now. Raises RouteError."""
        self.seen = self.api.get(self.resource, self.part.namespace, self.part.name)
        return self._reading(self.seen)

    def write(self, seen: Reading, weights: tuple[Weights, ...]) -> Reading:
        """PUT the object with other weights, at the version that was read. Raises Conflict, RouteError."""
        changed = copy.deepcopy(seen.document)
        for rule, new in zip(self._rules(changed), weights, strict=True):
            rule.set(new)
        if any(new.mirror and not old.mirror for old, new in zip(seen.weights, weights, strict=True)):
            self._try(changed, weights)
        stored = self.api.replace(self.resource, self.part.namespace, self.part.name, changed)
        return self._reading(stored)

    def _try(self, changed: Object, weights: tuple[Weights, ...]) -> None:
        """Let the API server say what it would store: an older CRD drops the number, and all would be copied.

        Raises:
            Conflict: it would not. From now on nothing is copied, and the weights follow all the same.
        """
        where = self.resource, self.part.namespace, self.part.name
        if self._reading(self.api.replace(*where, changed, dry_run=True)).weights != weights:
            self._no_copies = f"{self.title}: the CRD of this cluster keeps no number of requests to copy"
            raise Conflict(self._no_copies)

    def ready(self) -> Ready:
        """Endpoints of both arms. Raises nothing."""
        part, count = self.part, self._endpoints
        try:
            if isinstance(part, VirtualServicePart):
                arms = [count.of_destination(one, part.namespace) for one in (part.champion, part.challenger)]
            else:
                arms = [count.of_backend(one, part.namespace) for one in (part.champion, part.challenger)]
        except RouteError as error:
            return Ready(fault=f"whether the arms are ready is not known: {error}")
        return Ready(arms[0], arms[1])

    def tell(self, reason: str, note: str, *, warning: bool) -> None:
        """An Event of the object, as `kubectl describe` shows it. Raises nothing."""
        try:
            self.api.create(EVENTS, self.part.namespace, self._event(reason, note, warning))
        except RouteError as error:  # the weights count, and the log has it too
            if self._fault != str(error):
                _log.warning("no Event was made", extra={"route": self.title, "error": str(error)})
            self._fault = str(error)

    def _event(self, reason: str, note: str, warning: bool) -> Object:
        metadata = self.seen.get("metadata") or {}
        host = socket.gethostname()
        return {
            "apiVersion": "events.k8s.io/v1",
            "kind": "Event",
            "metadata": {
                "name": f"{self.part.name[:200]}.{secrets.token_hex(8)}",
                "namespace": self.part.namespace,
            },
            "eventTime": micro_time(datetime.now(UTC)),
            "action": "SetWeights",
            "reason": reason,
            "note": note.encode()[:NOTE_BYTES].decode(errors="ignore"),
            "type": "Warning" if warning else "Normal",
            "reportingController": "canario.dev/mesh",
            "reportingInstance": f"{MANAGER}-{host}-{os.getpid()}"[:128],
            "regarding": {
                "apiVersion": self.seen.get("apiVersion"),
                "kind": self.part.kind,
                "namespace": self.part.namespace,
                "name": self.part.name,
                "uid": metadata.get("uid"),
                "resourceVersion": metadata.get("resourceVersion"),
            },
        }

    def _reading(self, document: Object) -> Reading:
        rules = self._rules(document)
        weights = tuple(one.weights for one in rules)
        if self._no_copies:
            weights = tuple(replace(one, mirror=None) for one in weights)
        obstacle = self._no_copies or obstacles(rules)
        return Reading(weights, changed_by(document), document, obstacle)

    def _rules(self, document: Object) -> tuple[Rule, ...]:
        if isinstance(self.part, VirtualServicePart):
            return of_virtual_service(self.part, document)
        return of_http_route(self.part, document)


def changed_by(document: Object) -> str:
    """The program that wrote the routes last, and when, as the API server kept it; "" where it did not.

    The list that has the weights belongs to one program as a whole.
    """
    entries = [
        one
        for one in (document.get("metadata") or {}).get("managedFields") or ()
        if {"f:http", "f:rules"} & {*((one.get("fieldsV1") or {}).get("f:spec") or {})}
    ]
    if not entries:
        return ""
    last = max(entries, key=lambda one: str(one.get("time", "")))
    return f"{last.get('manager', 'somebody')} at {last.get('time', 'some time')}"
