"""/admin/canary: the challenger's share in Unleash, through the same functions as the flags CLI."""

import logging
from collections.abc import Callable
from datetime import datetime
from typing import Annotated

from flask import Blueprint, Request, g, request
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from spectree import SpecTree

from flags.admin import AdminError, UnleashAdmin, Unreachable
from flags.canary import CanaryState, read_state, set_share
from flags.errors import FlagError, FlagMissing, NotVerified, Rejected
from service.bearer import require_token
from service.body import read_body, whole
from service.container import Parts
from service.problems import RequestError
from service.rate import AdminRate
from service.routes.spec import ADMIN, responses
from service.settings import Settings

log = logging.getLogger(__name__)


class ShareRequest(BaseModel):
    """The share that the challenger is to have."""

    model_config = ConfigDict(extra="forbid", strict=True, json_schema_extra={"examples": [{"percent": 5}]})

    percent: Annotated[int, Field(ge=0, le=100), BeforeValidator(whole)] = Field(
        description="Per cent of the users, 0 to 100."
    )


class Canary(BaseModel):
    """What Unleash says about the canary now."""

    model_config = ConfigDict(from_attributes=True)

    flag: str
    environment: str
    exists: bool
    archived: bool
    enabled: bool = Field(description="The environment's switch; off means the champion for everybody.")
    percent: int | None = Field(description="Share of the gradual rollout; null where there is no one share.")
    exposed: bool = Field(description="Whether some user may get the challenger.")
    constraints: list[str] = Field(description="Conditions that narrow the share.")
    trouble: str | None = Field(description="Why the share does not mean what it says, and what to do.")
    changed_by: str | None = Field(description="Who last changed share, strategies or switch.")
    changed_at: datetime | None
    change: str | None = Field(description="What kind of change that was.")


def blueprint(parts: Parts, spec: SpecTree) -> Blueprint:
    """The admin routes on `parts`."""
    routes = Blueprint("admin", __name__)
    settings, rate = parts.settings, parts.admin_rate

    @routes.get("/admin/canary")
    @spec.validate(
        resp=responses(Canary, 401, 403, 409, 429, 502, 503),
        security=ADMIN,
        tags=["admin"],
        skip_validation=True,
    )
    def get_canary() -> Canary:
        """Read the challenger's share, and who changed it last."""
        admin = _admitted(request, settings, parts.admin, rate)
        return _answer(lambda: read_state(admin, settings.canary_flag))

    @routes.route("/admin/canary", methods=["PUT", "POST"])
    @spec.validate(
        json=ShareRequest,
        resp=responses(Canary, 400, 401, 403, 404, 409, 413, 415, 422, 429, 502, 503),
        security=ADMIN,
        tags=["admin"],
        skip_validation=True,
    )
    def set_canary() -> Canary:
        """Set the challenger's share.

        A share over 0 turns the flag on as well. The answer is what Unleash says afterwards.
        """
        admin = _admitted(request, settings, parts.admin, rate)
        percent = read_body(request, ShareRequest).percent
        answer = _answer(lambda: set_share(admin, settings.canary_flag, percent))
        log.info(
            "the challenger's share was set",
            extra={"percent": percent, "caller": request.remote_addr, "request_id": g.request_id},
        )
        return answer

    return routes


def admitted(request: Request, settings: Settings, rate: AdminRate) -> None:
    """Let the caller of an admin route through who has the token, and does not call too often.

    Raises:
        RequestError: 401, 403 or 429.
    """
    caller = request.remote_addr or ""
    rate.admit(caller)
    try:
        require_token(request, settings.admin_token)
    except RequestError as error:
        if error.status == 401:
            rate.wrong_token(caller)
        raise


def _admitted(
    request: Request, settings: Settings, admin: UnleashAdmin | None, rate: AdminRate
) -> UnleashAdmin:
    admitted(request, settings, rate)
    if admin is None:
        raise RequestError(
            403,
            "Forbidden",
            "The service cannot change flags: start it with CANARIO_UNLEASH_ADMIN_TOKEN, the personal access "
            "token of its user in Unleash.",
        )
    return admin


def _answer(operation: Callable[[], CanaryState]) -> Canary:
    """What `operation` returns, its errors as problems: ours are 5xx, those of the flag 4xx."""
    try:
        return Canary.model_validate(operation())
    except FlagMissing as error:
        raise RequestError(404, "Not Found", str(error)) from error
    except NotVerified as error:
        raise RequestError(502, "Bad Gateway", str(error)) from error
    except (FlagError, Rejected) as error:
        raise RequestError(409, "Conflict", str(error)) from error
    except Unreachable as error:
        raise RequestError(503, "Service Unavailable", str(error)) from error
    except AdminError as error:
        raise RequestError(502, "Bad Gateway", str(error)) from error
