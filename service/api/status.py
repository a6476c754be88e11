"""GET /healthz, /readyz and /admin/models: whether the worker lives, whether it answers, what is served."""

from datetime import datetime
from typing import Literal

from flask import Blueprint, request
from pydantic import BaseModel, Field
from spectree import SpecTree

from common.errors import CanarioError
from common.model_store import ModelStore
from common.names import Model
from service.api.openapi import ADMIN, responses
from service.models.lineup import Lineup
from service.models.reports import ServedModel, WorkerReport, served
from service.parts import Parts


class Health(BaseModel):
    """The process is alive."""

    status: str = "alive"


class Readiness(BaseModel):
    """The service answers predictions."""

    status: str = "ready"
    models: dict[Model, ServedModel]
    challenger: Literal["runs", "starting", "down", "none"] = Field(
        description="runs: and is warm. starting: it loads or warms up, and the champion answers. down: it "
        "is wanted and does not run, so the champion answers; /admin/models says why."
    )
    flags_known: bool = Field(
        description="False as long as neither Unleash nor the disk told the flags; the champion answers."
    )


class WantedModels(BaseModel):
    """What `roles.json` says."""

    revision: int
    champion: str
    challenger: str | None
    previous: str | None = Field(description="The champion before the last promotion: the way back.")
    change: str = Field(description="What the last change was.")
    by: str
    at: datetime
    reason: str


class ServingModels(BaseModel):
    """What is to be served, and what is."""

    wanted: WantedModels | None = Field(description="null without CANARIO_MODELS, or where it is unreadable.")
    trouble: str | None = Field(description="Why `roles.json` cannot be read.")
    expected_workers: int
    workers: list[WorkerReport]


def blueprint(parts: Parts, spec: SpecTree) -> Blueprint:
    """The routes on `parts`."""
    routes = Blueprint("status", __name__)
    settings = parts.settings

    @routes.get("/healthz")
    @spec.validate(resp=responses(Health), tags=["health"], skip_validation=True)
    def healthz() -> Health:
        """Is the process alive?"""
        return Health()

    @routes.get("/readyz")
    @spec.validate(resp=responses(Readiness), tags=["health"], skip_validation=True)
    def readyz() -> Readiness:
        """Can it answer predictions? Yes once the champion is loaded; Unleash is not needed for that."""
        lineup = parts.reloader.lineup
        return Readiness(
            models=served(lineup.models.metadata),
            challenger=_challenger(lineup),
            flags_known=parts.assigner.knows_flags,
        )

    @routes.get("/admin/models")
    @spec.validate(
        resp=responses(ServingModels, 401, 403, 429), security=ADMIN, tags=["admin"], skip_validation=True
    )
    def get_models() -> ServingModels:
        """Read which models are wanted, and which each worker of this service serves.

        After a promotion the workers agree within a second or so; one that refuses says why.
        """
        parts.access.admit(request)
        wanted, trouble = _wanted(ModelStore(settings.models)) if settings.models else (None, None)
        return ServingModels(
            wanted=wanted,
            trouble=trouble,
            expected_workers=settings.workers,
            workers=parts.reports.all(),
        )

    return routes


def _challenger(lineup: Lineup) -> Literal["runs", "starting", "down", "none"]:
    if lineup.challenger and lineup.challenger.worker.is_starting:
        return "starting"
    return "down" if lineup.challenger_trouble else "runs" if lineup.challenger else "none"


def _wanted(store: ModelStore) -> tuple[WantedModels | None, str | None]:
    try:
        release = store.read()
    except CanarioError as error:
        return None, str(error)
    roles, last = release.roles, release.last
    told = WantedModels(
        revision=release.revision,
        champion=str(roles.champion),
        challenger=str(roles.challenger) if roles.challenger else None,
        previous=str(roles.previous) if roles.previous else None,
        change=last.kind,
        by=last.by,
        at=last.time,
        reason=last.reason,
    )
    return told, None
