"""The routes of a rollout's file, whose weights follow its flag.

routes:
  - kind: VirtualService
    namespace: shop
    name: ranker
    champion: {host: ranker, subset: v1}
    challenger: {host: ranker, subset: v2}
"""

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from common.config import StrictModel
from common.rollouts import RolloutFile

NAME = r"^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$"

ObjectName = Annotated[str, Field(pattern=NAME)]
Namespace = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")]


class Edits(StrEnum):
    """What is done where somebody else has changed a weight."""

    RESTORE = "restore"
    """It is reported, and set again to what the flag says."""
    REPORT = "report"
    """It is reported, and stays until the flag changes. A flag that is off counts at once all the same."""


class Destination(StrictModel):
    """Where Istio sends requests."""

    host: ObjectName
    """A Service: `ranker`, `ranker.shop` or `ranker.shop.svc.cluster.local`."""
    subset: Annotated[str, Field(min_length=1)] | None = None
    """One of its subsets, as a DestinationRule names them."""

    def __str__(self) -> str:
        return f"{self.host}/{self.subset}" if self.subset else self.host

    def is_meant_by(self, said: Mapping[str, Any], namespace: str) -> bool:
        """Whether an object in this namespace says `said` and means this one, whatever the port."""
        same = full_host(str(said.get("host", "")), namespace) == full_host(self.host, namespace)
        return same and said.get("subset") == self.subset


class Backend(StrictModel):
    """Where the Gateway API sends requests: a Service."""

    name: ObjectName
    namespace: Namespace | None = None
    port: Annotated[int, Field(ge=1, le=65535)] | None = None

    def __str__(self) -> str:
        return self.name

    def is_meant_by(self, said: Mapping[str, Any], namespace: str) -> bool:
        """Whether an object in this namespace says `said` and means this one."""
        return (
            said.get("kind", "Service") == "Service"
            and said.get("name") == self.name
            and said.get("namespace", namespace) == (self.namespace or namespace)
            and (self.port is None or said.get("port") == self.port)
        )


def full_host(host: str, namespace: str) -> str:
    """A Service's host as `name.namespace`; any other as it is."""
    parts = host.split(".")
    if len(parts) == 1:
        return f"{host}.{namespace}"
    is_service = len(parts) == 2 or (len(parts) > 2 and parts[2] == "svc")
    return ".".join(parts[:2]) if is_service else host


def _host(given: object) -> object:
    return {"host": given} if isinstance(given, str) else given


def _backend(given: object) -> object:
    return {"name": given} if isinstance(given, str) else given


AnyDestination = Annotated[Destination, BeforeValidator(_host)]
AnyBackend = Annotated[Backend, BeforeValidator(_backend)]


class VirtualServicePart(StrictModel):
    """A VirtualService of Istio."""

    kind: Literal["VirtualService"]
    namespace: Namespace
    name: ObjectName
    champion: AnyDestination
    challenger: AnyDestination
    mirror: AnyDestination | None = None
    """Where copies of requests go, as many per cent of them as the flag `shadow` says; none: nowhere."""
    rules: tuple[str, ...] = ()
    """Names of the `http` rules that follow; without them, each that has both arms."""
    edits: Edits = Edits.RESTORE


class HttpRoutePart(StrictModel):
    """An HTTPRoute of the Gateway API."""

    kind: Literal["HTTPRoute"]
    namespace: Namespace
    name: ObjectName
    champion: AnyBackend
    challenger: AnyBackend
    mirror: AnyBackend | None = None
    """Where copies of requests go, as many per cent of them as the flag `shadow` says; none: nowhere."""
    rules: tuple[str, ...] = ()
    """Names of the rules that follow; without them, each that has both arms."""
    edits: Edits = Edits.RESTORE


class EnvoyPart(StrictModel):
    """A file of routes that an Envoy without a mesh follows, as JSON (docs/mesh.md#envoy)."""

    kind: Literal["envoy"]
    file: Path
    champion: Annotated[str, Field(min_length=1)]
    """A cluster."""
    challenger: Annotated[str, Field(min_length=1)]
    mirror: Annotated[str, Field(min_length=1)] | None = None
    """The cluster that gets copies of requests, as many per cent of them as the flag `shadow` says."""
    admin: Annotated[str, Field(pattern=r"^https?://[^/]+$")] | None = None
    """Envoy's admin address, to see that it took the weights."""
    edits: Edits = Edits.RESTORE


class NginxPart(StrictModel):
    """A file that an nginx includes: `split_clients` on the user's id (docs/mesh.md#nginx)."""

    kind: Literal["nginx"]
    file: Path
    variable: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
    """The variable that names the arm, without `$`."""
    user: Annotated[str, Field(pattern=r"^\$[a-z][a-z0-9_]*$")] = "$http_x_user_id"
    """The variable that holds the user's id. Who has none gets the champion."""
    champion: Annotated[str, Field(pattern=r"^[\w.-]+$")]
    """What the variable says, as the name of an upstream."""
    challenger: Annotated[str, Field(pattern=r"^[\w.-]+$")]
    mirror: Annotated[str, Field(pattern=r"^[\w.-]+$")] | None = None
    """What the variable with `_mirror` behind its name says for requests to copy; it is empty for others."""
    pid: Path
    """nginx' file of its process id, by which it is told to read the file."""


Part = Annotated[VirtualServicePart | HttpRoutePart | EnvoyPart | NginxPart, Field(discriminator="kind")]


class RoutedFile(RolloutFile):
    """A rollout's file with its routes."""

    routes: tuple[Part, ...] = ()
    """Routes whose weights follow the flag."""

    @model_validator(mode="after")
    def _knows_how_many(self) -> Self:
        if self.flag.shadow is None and any(one.mirror for one in self.routes):
            raise ValueError(
                "routes: mirror: how many requests are copied, a flag says: name it as flag.shadow"
            )
        return self
