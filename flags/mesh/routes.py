"""The routes of a rollout's file, whose weights follow its flag.

routes:
  - kind: VirtualService
    namespace: shop
    name: ranker
    champion: {host: ranker, subset: v1}
    challenger: {host: ranker, subset: v2}
"""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

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


class Backend(StrictModel):
    """Where the Gateway API sends requests: a Service."""

    name: ObjectName
    namespace: Namespace | None = None
    port: Annotated[int, Field(ge=1, le=65535)] | None = None

    def __str__(self) -> str:
        return self.name


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
    pid: Path
    """nginx' file of its process id, by which it is told to read the file."""


Part = Annotated[VirtualServicePart | HttpRoutePart | EnvoyPart | NginxPart, Field(discriminator="kind")]


class RoutedFile(RolloutFile):
    """A rollout's file with its routes."""

    routes: tuple[Part, ...] = ()
    """Routes whose weights follow the flag."""
