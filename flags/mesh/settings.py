"""A rollout's file with its routes, and the settings of `./canario mesh`."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydantic import Field

from common.config import ConfigError, Followed, StrictModel, load_settings
from common.rollouts import FOLDER, Chosen, read_all
from flags.mesh.access import Access, found
from flags.mesh.files import EnvoyRoute, NginxRoute
from flags.mesh.kubernetes import KubernetesApi
from flags.mesh.objects import ObjectRoute
from flags.mesh.routes import EnvoyPart, NginxPart, Part, RoutedFile
from flags.settings import FlagsSettings

PROGRAM: Final = "mesh"
LEASE_NAME: Final = "canario-mesh"


class MeshSettings(FlagsSettings):
    """What the weights of one rollout follow."""

    canary_flag: str = Field("canary", min_length=1, description="flag whose share the weights follow")
    shadow_flag: str = Field("shadow", description="flag that says how many requests are copied")


class MeshJobSettings(StrictModel):
    """What is of the process that follows, and of no rollout."""

    rollouts: Path = Field(FOLDER, description="folder of rollouts, each NAME/rollout.yaml")
    mesh_metrics_bind: str = Field(
        "", pattern=r"^(.+:\d{1,5})?$", description="address and port of the job's own /metrics; none without"
    )
    mesh_namespace: str = Field(
        "", description="namespace of the leader's Lease; without it, the pod's or the kubeconfig's"
    )
    mesh_lease: str = Field(LEASE_NAME, min_length=1, description="name of the leader's Lease")
    kubernetes_url: str | None = Field(
        None,
        pattern=r"^https?://[^/]+$",
        description="the Kubernetes API; without it, that of the pod, or of KUBECONFIG",
    )
    kubernetes_token: Followed | None = Field(None, description="bearer token for it")
    kubernetes_ca: Path | None = Field(None, description="file of the authority that signed its certificate")

    def access(self, environment: Mapping[str, str] = os.environ) -> Access:
        """How to reach Kubernetes. Raises ConfigError."""
        return found(self.kubernetes_url, self.kubernetes_token, self.kubernetes_ca, environment)


@dataclass(frozen=True)
class Routed:
    """One rollout whose routes follow its flag."""

    name: str
    routes: tuple[Part, ...]
    settings: MeshSettings

    @property
    def shadow_flag(self) -> str | None:
        """The flag that says how many requests are copied; None where no route copies any."""
        return self.settings.shadow_flag if any(one.mirror for one in self.routes) else None

    @property
    def in_kubernetes(self) -> bool:
        """Whether a route of it is an object there."""
        return any(not isinstance(one, EnvoyPart | NginxPart) for one in self.routes)


def every(environment: Mapping[str, str] = os.environ) -> Iterator[tuple[str, Routed | ConfigError]]:
    """All that have routes, or what is wrong with one. Raises ConfigError: of the folder."""
    for name, chosen in read_all(RoutedFile, PROGRAM, environment):
        if isinstance(chosen, ConfigError):
            yield name, chosen
        elif chosen.file.routes:
            try:
                yield name, _routed(chosen)
            except ConfigError as error:
                yield name, error


def route_of(part: Part, api: KubernetesApi | None) -> ObjectRoute | EnvoyRoute | NginxRoute:
    """What reads and writes it; `api` where it lies in Kubernetes."""
    if isinstance(part, EnvoyPart):
        return EnvoyRoute(part)
    if isinstance(part, NginxPart):
        return NginxRoute(part)
    if api is None:
        raise ConfigError(f"{part.kind} {part.namespace}/{part.name}: there is no Kubernetes to be found")
    return ObjectRoute(part, api)


def _routed(chosen: Chosen[RoutedFile]) -> Routed:
    return Routed(chosen.name, chosen.file.routes, load_settings(MeshSettings, chosen.environment))
