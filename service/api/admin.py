"""/admin/canary and /admin/shadow: shares in Unleash, through the same functions as the flags CLI."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from typing import Annotated, Any, NamedTuple

from flask import Blueprint, Request, g, request
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from spectree import SpecTree

from common.config import ConfigError
from common.release import ReleaseError
from flags.canary.marks import label
from flags.canary.share import read_state, set_share
from flags.canary.state import CanaryState
from flags.unleash.admin import UnleashAdmin
from flags.unleash.errors import AdminError, FlagError, FlagMissing, NotVerified, Rejected, Unreachable
from service.api.openapi import ADMIN, responses
from service.api.problems import RequestError
from service.api.request import read_body
from service.parts import Parts

log = logging.getLogger(__name__)


def whole(value: Any) -> Any:
    """5 for 5.0: JSON has one kind of number, and JSON Schema calls both an integer."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


class ShareRequest(BaseModel):
    """The share that the challenger is to have."""

    model_config = ConfigDict(extra="forbid", strict=True, json_schema_extra={"examples": [{"percent": 5}]})

    percent: Annotated[int, Field(ge=0, le=100), BeforeValidator(whole)] = Field(
        description="Per cent of the users, 0 to 100."
    )
    override: Annotated[str, Field(min_length=2, max_length=200, pattern=r"\S\s*\S")] | None = Field(
        None,
        description="Why a version that was rolled back is given to more users all the same.",
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
    lease_until: datetime | None = Field(
        description="When users lose the challenger unless the rollback job puts that off."
    )
    quarantined: list[str] = Field(description="Versions of the challenger that were rolled back.")


class Share(NamedTuple):
    """A share that callers read and change.

    Attributes:
        name: the last part of its address.
        reads, changes: what the API's documents say of the routes.
    """

    name: str
    flag: str
    reads: str
    changes: str


def blueprint(parts: Parts, spec: SpecTree) -> Blueprint:
    """The admin routes on `parts`."""
    routes = Blueprint("admin", __name__)
    canary = Share(
        "canary",
        parts.settings.canary_flag,
        reads="Read the challenger's share, and who changed it last.",
        changes="""Set the challenger's share.

        A share over 0 turns the flag on as well. The answer is what Unleash says afterwards. A version that
        was rolled back gets no more users without an `override`.
        """,
    )
    shadow = Share(
        "shadow",
        parts.settings.shadow_flag,
        reads="Read the share of the users whose requests the challenger gets a copy of.",
        changes="Set the share of the users whose requests the challenger gets a copy of.",
    )
    for share in (canary, shadow):
        _add_routes(routes, parts, spec, share)
    return routes


def _add_routes(routes: Blueprint, parts: Parts, spec: SpecTree, share: Share) -> None:
    def get_share() -> Canary:
        return _answer(lambda: read_state(admitted_admin(request, parts), share.flag))

    def put_share() -> Canary:
        return _set(parts, share.flag)

    get_share.__doc__, put_share.__doc__ = share.reads, share.changes
    documented = partial(spec.validate, security=ADMIN, tags=["admin"], skip_validation=True)
    reading = documented(resp=responses(Canary, 401, 403, 409, 429, 502, 503))
    setting = documented(
        json=ShareRequest,
        resp=responses(Canary, 400, 401, 403, 404, 409, 413, 415, 422, 429, 502, 503),
    )
    routes.add_url_rule(f"/admin/{share.name}", f"get_{share.name}", reading(get_share))
    routes.add_url_rule(
        f"/admin/{share.name}", f"set_{share.name}", setting(put_share), methods=["PUT", "POST"]
    )


def admitted_admin(request: Request, parts: Parts) -> UnleashAdmin:
    """Unleash's admin API, for a caller that `parts.access` admits. Raises RequestError."""
    parts.access.admit(request)
    if parts.admin is None:
        raise RequestError(
            403,
            "Forbidden",
            "The service cannot change flags: start it with CANARIO_UNLEASH_ADMIN_TOKEN, the personal access "
            "token of its user in Unleash.",
        )
    return parts.admin


def _set(parts: Parts, flag: str) -> Canary:
    admin = admitted_admin(request, parts)
    asked = read_body(request, ShareRequest)
    challenger = parts.reloader.lineup.models.challenger
    version = label(challenger.metadata.version, challenger.metadata.sha256) if challenger else None
    answer = _answer(lambda: set_share(admin, flag, asked.percent, version=version, override=asked.override))
    log.info(
        "a share was set",
        extra={
            "flag": flag,
            "percent": asked.percent,
            "override": asked.override,
            "caller": request.remote_addr,
            "request_id": g.request_id,
        },
    )
    return answer


def _answer(operation: Callable[[], CanaryState]) -> Canary:
    with problems():
        return Canary.model_validate(operation())


@contextmanager
def problems() -> Iterator[None]:
    """Errors of Unleash and of the flag as problems: ours are 5xx, those of the flag 4xx."""
    try:
        yield
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
    except (ConfigError, ReleaseError) as error:  # of a file: the models folder, a report
        raise RequestError(409, "Conflict", str(error)) from error
