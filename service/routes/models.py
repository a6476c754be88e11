"""GET /admin/models: what each worker serves."""

from datetime import datetime

from flask import Blueprint, request
from pydantic import BaseModel, Field
from spectree import SpecTree

from common.errors import CanarioError
from common.model_store import ModelStore
from service.container import Parts
from service.reports import WorkerReport
from service.routes.admin import admitted
from service.routes.spec import ADMIN, responses


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
    """The route on `parts`."""
    routes = Blueprint("models", __name__)
    settings, rate = parts.settings, parts.admin_rate

    @routes.get("/admin/models")
    @spec.validate(
        resp=responses(ServingModels, 401, 403, 429), security=ADMIN, tags=["admin"], skip_validation=True
    )
    def get_models() -> ServingModels:
        """Read which models are wanted, and which each worker of this service serves.

        After a promotion the workers agree within a second or so; one that refuses says why.
        """
        admitted(request, settings, rate)
        wanted, trouble = _wanted(ModelStore(settings.models)) if settings.models else (None, None)
        return ServingModels(
            wanted=wanted,
            trouble=trouble,
            expected_workers=settings.workers,
            workers=parts.reports.all(),
        )

    return routes


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
