"""GET /healthz and /readyz."""

from typing import Literal

from flask import Blueprint
from pydantic import BaseModel, Field
from spectree import SpecTree

from common.names import Model
from service.container import Parts
from service.reports import ServedModel, served
from service.routes.spec import responses


class Health(BaseModel):
    """The process is alive."""

    status: str = "alive"


class Readiness(BaseModel):
    """The service answers predictions."""

    status: str = "ready"
    models: dict[Model, ServedModel]
    challenger: Literal["runs", "down", "none"] = Field(
        description="down: it is wanted and does not run, so the champion answers; /admin/models says why."
    )
    flags_known: bool = Field(
        description="False as long as neither Unleash nor the disk told the flags; the champion answers."
    )


def blueprint(parts: Parts, spec: SpecTree) -> Blueprint:
    """Liveness and readiness."""
    routes = Blueprint("health", __name__)

    @routes.get("/healthz")
    @spec.validate(resp=responses(Health), tags=["health"], skip_validation=True)
    def healthz() -> Health:
        """Is the process alive?"""
        return Health()

    @routes.get("/readyz")
    @spec.validate(resp=responses(Readiness), tags=["health"], skip_validation=True)
    def readyz() -> Readiness:
        """Can it answer predictions? Yes once the champion is loaded; Unleash is not needed for that."""
        lineup = parts.line.lineup
        challenger = "down" if lineup.challenger_trouble else "runs" if lineup.guest else "none"
        return Readiness(
            models=served(lineup.models.metadata),
            challenger=challenger,
            flags_known=parts.assigner.knows_flags,
        )

    return routes
