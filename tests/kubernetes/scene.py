"""What a cluster holds in the tests of weights: a service `ranker` with two versions, and its routes."""

from dataclasses import dataclass, field
from typing import Any

import requests
from pydantic import SecretStr

from flags.mesh.access import Access
from flags.mesh.kubernetes import (
    DESTINATION_RULES,
    ENDPOINT_SLICES,
    EVENTS,
    HTTP_ROUTES,
    LEASES,
    PODS,
    VIRTUAL_SERVICES,
    KubernetesApi,
    Object,
    Resource,
)
from flags.mesh.routes import Edits, HttpRoutePart, VirtualServicePart

NAMESPACE = "shop"
VIRTUAL_SERVICE = "VirtualService"
HTTP_ROUTE = "HTTPRoute"


@dataclass
class Cluster:
    """An API server, as its administrator."""

    url: str
    token: str
    ca: Any = None
    namespace: str = NAMESPACE
    slices: Resource = ENDPOINT_SLICES
    session: requests.Session = field(default_factory=requests.Session, repr=False)

    def api(self, token: str | None = None) -> KubernetesApi:
        """As the controller sees it."""
        return KubernetesApi(Access(self.url, SecretStr(token or self.token), self.ca, None, self.namespace))

    def ask(self, method: str, path: str, body: Object | None = None, manager: str = "kubectl-edit") -> Any:
        """As somebody else sees it, by plain HTTP."""
        answer = self.session.request(
            method,
            f"{self.url}{path}",
            params={"fieldManager": manager} if body else {},
            json=body,
            headers={"Authorization": f"Bearer {self.token}"},
            verify=str(self.ca) if self.ca else True,
            timeout=10,
        )
        if answer.status_code == 409 and method == "PUT":
            return None
        assert answer.ok, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json()

    def make(self, resource: Resource, made: Object) -> Object:
        """A new object."""
        found: Object = self.ask("POST", resource.path(self.namespace), made, "helm")
        return found

    def read(self, resource: Resource, name: str = "ranker") -> Object:
        """An object."""
        found: Object = self.ask("GET", resource.path(self.namespace, name))
        return found

    def change(self, resource: Resource, name: str, change: Any, manager: str = "kubectl-edit") -> Object:
        """Let `change` do something to the object, however often others are faster."""
        while True:
            found = self.read(resource, name)
            change(found)
            stored: Object | None = self.ask("PUT", resource.path(self.namespace, name), found, manager)
            if stored:
                return stored

    def events(self) -> list[Object]:
        """Those of this namespace, as reason and note."""
        found: list[Object] = self.ask("GET", EVENTS.path(self.namespace))["items"]
        return [one for one in found if one.get("reportingController") == "canario.dev/mesh"]

    def ready(self, version: str, pods: int) -> None:
        """So many ready pods of a version, and one that is not."""
        names = [f"ranker-{version}-{number}" for number in range(pods + 1)]
        for name in names:
            labels = {"app": "ranker", "version": version}
            pod = {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {"name": name, "labels": labels},
                "spec": {
                    "containers": [{"name": "ranker", "image": "ranker"}],
                    "automountServiceAccountToken": False,
                },
            }
            self.ask("POST", PODS.path(self.namespace), pod)
        for service in ("ranker", f"ranker-{version}"):
            made = {
                "apiVersion": f"{self.slices.group}/{self.slices.version}",
                "kind": "EndpointSlice",
                "metadata": {
                    "name": f"{service}-of-{version}",
                    "labels": {"kubernetes.io/service-name": service},
                },
                "addressType": "IPv4",
                "ports": [{"name": "http", "port": 8000}],
                "endpoints": [
                    {
                        "addresses": [f"10.1.{version.strip('v')}.{number + 1}"],
                        "conditions": {"ready": number < pods},
                        "targetRef": {"kind": "Pod", "name": name, "namespace": self.namespace},
                    }
                    for number, name in enumerate(names)
                ],
            }
            self.make(self.slices, made)

    def unready(self, version: str) -> None:
        """No pod of the version is ready any more."""
        for service in ("ranker", f"ranker-{version}"):

            def change(found: Object) -> None:
                for one in found["endpoints"]:
                    one["conditions"]["ready"] = False

            self.change(self.slices, f"{service}-of-{version}", change, "endpointslice-controller")


def virtual_service(weights: tuple[int, int] = (100, 0)) -> Object:
    """With much in it that is none of ours."""
    arms = [
        {"destination": {"host": "ranker", "subset": "v1", "port": {"number": 8000}}, "weight": weights[0]},
        {
            "destination": {
                "host": "ranker.shop.svc.cluster.local",
                "subset": "v2",
                "port": {"number": 8000},
            },
            "weight": weights[1],
            "headers": {"response": {"add": {"x-arm": "v2"}}},
        },
    ]
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": VIRTUAL_SERVICE,
        "metadata": {
            "name": "ranker",
            "labels": {"team": "search"},
            "annotations": {"argocd.argoproj.io/sync-wave": "3"},
        },
        "spec": {
            "hosts": ["ranker", "ranker.example.org"],
            "gateways": ["mesh", "public"],
            "http": [
                {
                    "name": "by-header",
                    "match": [{"headers": {"x-canario-model": {"exact": "challenger"}}}],
                    "route": [{"destination": {"host": "ranker", "subset": "v2"}}],
                },
                {
                    "name": "by-weight",
                    "timeout": "2.5s",
                    "retries": {"attempts": 3, "perTryTimeout": "0.5s", "retryOn": "5xx"},
                    "mirror": {"host": "ranker", "subset": "v2"},
                    "mirrorPercentage": {"value": 0.5},
                    "fault": {"delay": {"fixedDelay": "0.1s", "percentage": {"value": 0.1}}},
                    "route": arms,
                },
                {
                    "name": "other",
                    "route": [{"destination": {"host": "elsewhere.example.org"}, "weight": 100}],
                },
            ],
        },
    }


def destination_rule() -> Object:
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "DestinationRule",
        "metadata": {"name": "ranker"},
        "spec": {
            "host": "ranker",
            "subsets": [{"name": name, "labels": {"version": name}} for name in ("v1", "v2")],
        },
    }


def http_route(weights: tuple[int, int] = (100, 0)) -> Object:
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": HTTP_ROUTE,
        "metadata": {"name": "ranker", "labels": {"team": "search"}},
        "spec": {
            "parentRefs": [{"name": "public", "group": "gateway.networking.k8s.io", "kind": "Gateway"}],
            "hostnames": ["ranker.example.org"],
            "rules": [
                {
                    "matches": [{"path": {"type": "PathPrefix", "value": "/rank"}}],
                    "filters": [
                        {
                            "type": "RequestHeaderModifier",
                            "requestHeaderModifier": {"set": [{"name": "x-team", "value": "search"}]},
                        }
                    ],
                    "backendRefs": [
                        {
                            "name": "ranker-v1",
                            "port": 8000,
                            "weight": weights[0],
                            "kind": "Service",
                        },
                        {
                            "name": "ranker-v2",
                            "port": 8000,
                            "weight": weights[1],
                            "kind": "Service",
                        },
                    ],
                },
                {
                    "matches": [{"path": {"type": "PathPrefix", "value": "/health"}}],
                    "backendRefs": [{"name": "ranker-v1", "port": 8000, "weight": 1, "kind": "Service"}],
                },
            ],
        },
    }


def part(kind: str, edits: Edits = Edits.RESTORE, mirror: Any = None) -> VirtualServicePart | HttpRoutePart:
    """The route as a rollout's file names it."""
    where: dict[str, Any] = {"kind": kind, "namespace": NAMESPACE, "name": "ranker", "edits": edits}
    where |= {"mirror": mirror}
    if kind == HTTP_ROUTE:
        return HttpRoutePart.model_validate(where | {"champion": "ranker-v1", "challenger": "ranker-v2"})
    arms = {"champion": {"host": "ranker", "subset": "v1"}, "challenger": {"host": "ranker", "subset": "v2"}}
    return VirtualServicePart.model_validate(where | arms)


def cleared(cluster: Cluster) -> None:
    """An empty namespace on a real API server, where one cannot be ended without its controllers."""
    core = "/api/v1/namespaces"
    names = [one["metadata"]["name"] for one in cluster.ask("GET", core)["items"]]
    if cluster.namespace not in names:
        cluster.ask(
            "POST", core, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": cluster.namespace}}
        )
        account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}}
        cluster.ask("POST", f"{core}/{cluster.namespace}/serviceaccounts", account)
    for resource in (VIRTUAL_SERVICES, HTTP_ROUTES, DESTINATION_RULES, cluster.slices, EVENTS, LEASES):
        cluster.ask("DELETE", resource.path(cluster.namespace))
    cluster.ask("DELETE", f"{PODS.path(cluster.namespace)}?gracePeriodSeconds=0")


def filled(cluster: Cluster) -> None:
    """All of it, with two ready pods of each version."""
    cluster.make(VIRTUAL_SERVICES, virtual_service())
    cluster.make(HTTP_ROUTES, http_route())
    cluster.make(DESTINATION_RULES, destination_rule())
    for version in ("v1", "v2"):
        cluster.ready(version, 2)
