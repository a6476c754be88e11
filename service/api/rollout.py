"""GET /admin/rollout: where the rollout plan stands, as `./canario rollout status` tells it."""

import threading
import time
from collections.abc import Callable
from datetime import datetime
from typing import Generic, TypeVar, cast

from flask import Blueprint, request
from pydantic import BaseModel, Field
from spectree import SpecTree

from common.arms import Arms
from common.prometheus import Prometheus
from flags.rollout.controller import look_and_decide
from flags.rollout.evidence import EvidenceCache
from flags.rollout.report import fields
from flags.rollout.schema import DEFAULT_FILE, load_plan
from flags.rollout.situation import Rollout
from flags.unleash.admin import UnleashAdmin
from service.api.admin import admitted_admin, problems
from service.api.openapi import ADMIN, responses
from service.parts import Parts

KEPT_SECONDS = 1.0  # of what was found; who asks meanwhile is told the same
PROMETHEUS_SECONDS = 2.0  # for each answer: somebody waits

Answer = TypeVar("Answer")


class StageNow(BaseModel):
    """Where the rollout stands."""

    name: str
    share: int = Field(description="Per cent of the users that may get the challenger.")
    rules: str | None = Field(description="The planned stage whose rules hold; null before the first.")
    planned: bool = Field(description="False for a share that only a person can have set.")
    began: datetime | None
    stages: list[str] = Field(description="Those of the plan.")


class NextStep(BaseModel):
    """What `advance` would do now."""

    kind: str = Field(description="refuse, wait, advance, promote or finished.")
    to: str | None
    sentence: str
    until: datetime | None = Field(description="When the last shut gate opens, as far as one can tell.")


class GateNow(BaseModel):
    """One condition of the next stage."""

    name: str
    holds: bool
    sentence: str
    until: datetime | None


class LeaseNow(BaseModel):
    """When users lose the challenger unless the rollback job puts that off."""

    until: datetime
    seconds_left: float


class HoldNow(BaseModel):
    """A share that a person lowered."""

    limit: int
    who: str
    at: datetime


class ChangeNow(BaseModel):
    """A line of Unleash's event log."""

    at: datetime
    who: str
    automation: bool
    what: str
    users_before: int
    users_after: int


class RollbackThen(ChangeNow):
    """A rollback by the rollback job."""

    reason: str | None = Field(
        description="The guardrail that was breached, with its value and limit; null where no mark tells it."
    )


class RolloutNow(BaseModel):
    """All of it."""

    flag: str
    environment: str
    now: datetime
    stage: StageNow
    step: NextStep
    gates: list[GateNow]
    challenger: str | None
    challenger_trouble: str | None = Field(
        description="Why it does not run in some worker of this service, though it is wanted."
    )
    lease: LeaseNow | None
    quarantine: list[str]
    hold: HoldNow | None
    paused: list[str]
    trouble: str | None
    last_rollback: RollbackThen | None = Field(description="The rollback job's last decision against it.")
    changes: list[ChangeNow] = Field(description="The last ones, the latest first.")


def blueprint(parts: Parts, spec: SpecTree) -> Blueprint:
    """The route on `parts`.

    Raises:
        ConfigError: the plan does not fit.
    """
    routes = Blueprint("rollout", __name__)
    settings = parts.settings
    plan = load_plan(settings.rollout_plan or DEFAULT_FILE)
    url = settings.prometheus_url
    prometheus = Prometheus(url.get_secret_value(), connect=1.0, read=PROMETHEUS_SECONDS) if url else None

    cache = EvidenceCache()

    def look() -> RolloutNow:
        admin = cast("UnleashAdmin", parts.admin)  # nobody is admitted without it
        arms = Arms(settings.canary_flag, settings.unleash_environment, settings.selector)
        asked = Rollout(plan, admin, arms, settings.shadow_flag, prometheus, settings.models, cache)
        found = look_and_decide(asked)
        troubles = (each.challenger_trouble for each in parts.reports.all())
        trouble = next((each for each in troubles if each is not None), None)
        return RolloutNow.model_validate(fields(plan, found) | {"challenger_trouble": trouble})

    shared = Shared(look, KEPT_SECONDS)

    @routes.get("/admin/rollout")
    @spec.validate(
        resp=responses(RolloutNow, 401, 403, 404, 409, 429, 502, 503),
        security=ADMIN,
        tags=["admin"],
        skip_validation=True,
    )
    def get_rollout() -> RolloutNow:
        """Read the stage, what comes next and when, gates, lease, quarantine, and who changed what.

        Changes nothing. What was found is told for a second to all who ask. Without CANARIO_PROMETHEUS_URL
        every gate that counts or measures is shut.
        """
        admitted_admin(request, parts)
        with problems():
            return shared.get()

    return routes


class Shared(Generic[Answer]):
    """What `ask` answered at most `seconds` ago; of callers at the same time, one asks for all."""

    def __init__(
        self, ask: Callable[[], Answer], seconds: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._ask, self._seconds, self._clock = ask, seconds, clock
        self._lock = threading.Lock()
        self._asked: tuple[float, Answer | Exception] | None = None

    def get(self) -> Answer:
        """The answer, or what `ask` raised."""
        with self._lock:
            if self._asked is None or self._clock() - self._asked[0] > self._seconds:
                found: Answer | Exception
                try:
                    found = self._ask()
                except Exception as error:
                    found = error
                self._asked = (self._clock(), found)
            answer = self._asked[1]
        if isinstance(answer, Exception):
            raise answer.with_traceback(None)  # each raise would add to it
        return answer
