"""The Kubernetes API: the one door to it. Objects are plain JSON, so that what is not known stays as it was.

Why not by the `kubernetes` client: docs/decisions/0029-weights-follow-the-flag.md.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import requests

from flags.mesh.access import Access
from flags.mesh.errors import Conflict, Forbidden, KubernetesError, Missing, Refused, Unexpected, Unreachable

MANAGER: Final = "canario-mesh"
TIMEOUT_SECONDS: Final = (2.0, 5.0)  # to connect, and between two packets of the answer

Object = dict[str, Any]


@dataclass(frozen=True)
class Resource:
    """A kind of object: its group ("" for core), version and plural name."""

    group: str
    version: str
    plural: str

    def path(self, namespace: str, name: str = "") -> str:
        """Of one object, or of all in the namespace."""
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        return f"{root}/namespaces/{namespace}/{self.plural}{'/' if name else ''}{name}"

    def __str__(self) -> str:
        return f"{self.plural}.{self.group}" if self.group else self.plural


VIRTUAL_SERVICES: Final = Resource("networking.istio.io", "v1", "virtualservices")
DESTINATION_RULES: Final = Resource("networking.istio.io", "v1", "destinationrules")
HTTP_ROUTES: Final = Resource("gateway.networking.k8s.io", "v1", "httproutes")
ENDPOINT_SLICES: Final = Resource("discovery.k8s.io", "v1", "endpointslices")
ENDPOINT_SLICES_BETA: Final = Resource("discovery.k8s.io", "v1beta1", "endpointslices")
PODS: Final = Resource("", "v1", "pods")
LEASES: Final = Resource("coordination.k8s.io", "v1", "leases")
EVENTS: Final = Resource("events.k8s.io", "v1", "events")
SECRETS: Final = Resource("", "v1", "secrets")


class KubernetesApi:
    """One API server, as one user. Each call is made once: the next iteration is the retry."""

    def __init__(self, access: Access, manager: str = MANAGER) -> None:
        """Nothing is asked yet; `manager`: under which name the API server keeps who changed what."""
        self.access, self._manager = access, manager
        self._session = requests.Session()
        self._session.trust_env = False  # a proxy or .netrc of the shell is none of the cluster's
        self._session.verify = str(access.ca) if access.ca else True
        if access.certificate:
            self._session.cert = access.certificate

    def get(self, resource: Resource, namespace: str, name: str) -> Object:
        """One object. Raises KubernetesError; Missing where it is not there."""
        return self._send("GET", "get", resource, namespace, name)

    def list(
        self, resource: Resource, namespace: str, labels: Mapping[str, str] | None = None
    ) -> list[Object]:
        """All of a namespace that have these labels. Raises KubernetesError; Missing: no such kind."""
        wanted = {"labelSelector": ",".join(f"{key}={value}" for key, value in (labels or {}).items())}
        found = self._send("GET", "list", resource, namespace, "", parameters=wanted if labels else {})
        items: list[Object] = found.get("items") or []
        return items

    def replace(
        self, resource: Resource, namespace: str, name: str, changed: Object, *, dry_run: bool = False
    ) -> Object:
        """Put an object back that was read and changed; what became of it, or with `dry_run` would.

        Raises:
            Conflict: somebody changed it since it was read; nothing was written.
            KubernetesError: nothing is known to be written.
        """
        if not changed["metadata"].get("resourceVersion"):
            raise ValueError("without resourceVersion the API server would not notice another's change")
        dry = {"dryRun": "All"} if dry_run else {}
        return self._send("PUT", "update", resource, namespace, name, changed, dry)

    def create(self, resource: Resource, namespace: str, made: Object) -> Object:
        """A new object. Raises KubernetesError; Conflict where there is one of that name."""
        return self._send("POST", "create", resource, namespace, "", made)

    def _send(  # noqa: PLR0913, PLR0917 - what is done, to what, with what
        self,
        method: str,
        verb: str,
        resource: Resource,
        namespace: str,
        name: str,
        body: Object | None = None,
        parameters: Mapping[str, str] | None = None,
    ) -> Object:
        url, token = self.access.url, self.access.token
        try:
            answer = self._session.request(
                method,
                f"{url}{resource.path(namespace, name)}",
                params={**(parameters or {}), **({"fieldManager": self._manager} if body else {})},
                json=body,
                headers={"Authorization": f"Bearer {token.get_secret_value()}"} if token else {},
                timeout=TIMEOUT_SECONDS,
                allow_redirects=False,
            )
            found: object = answer.json() if answer.content else {}
        except (requests.RequestException, ValueError) as error:
            what = str(error).rpartition(": ")[2].strip("\"')") or type(error).__name__
            raise Unreachable(f"the Kubernetes API at {url} does not answer: {what}") from error
        told = found if isinstance(found, dict) else {}
        if answer.ok:
            return told
        what = (
            f"{resource} {name} in namespace {namespace}" if name else f"{resource} in namespace {namespace}"
        )
        raise _error(
            answer.status_code, verb, what, resource, str(told.get("message", "")), by_name=bool(name)
        )


def _error(  # noqa: PLR0913 - what was asked, and what was said
    status: int, verb: str, what: str, resource: Resource, message: str, *, by_name: bool
) -> KubernetesError:
    """What an answer means, as a sentence."""
    if status == 401:
        return Refused(
            "the Kubernetes API does not know this token (401): check the ServiceAccount,"
            " or CANARIO_KUBERNETES_TOKEN"
        )
    if status == 403:
        return Forbidden(
            f"the Kubernetes API does not let this process {verb} {what} (403):"
            f" its ServiceAccount needs the verb {verb} on {resource}:"
            " docs/kubernetes.md#parts-and-rights has all that it needs"
        )
    if status == 404:
        is_kind_known = by_name and "not found" in message
        advice = (
            "" if is_kind_known else f", nor {resource}/{resource.version} at all: its CRDs are not installed"
        )
        return Missing(f"Kubernetes has no {what} (404){advice}")
    if status == 409:
        return Conflict(f"somebody changed {what} in this moment (409)")
    return Unexpected(
        f"the Kubernetes API would not {verb} {what} ({status}): {message or 'it says nothing'}"
    )
