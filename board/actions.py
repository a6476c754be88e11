"""What a person may do from the board: roll back now, pause, resume, approve. Off unless a setting allows it.

Who pressed a button stands in Unleash's log: as the user of the token, and by name in the reason of the mark.
Against a page of somebody else: the order is JSON with a header of its own, which no form can send and no
other origin may, and its `Origin`, where there is one, must be this address.
"""

import hmac
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final
from urllib.parse import unquote, urlsplit

from flask import Request
from pydantic import SecretStr

from board.shown import Shown
from common.errors import CanarioError
from flags.canary import marks, share
from flags.rollout.controller import look_and_decide
from flags.rollout.decide import StepKind
from flags.rollout.situation import Rollout
from flags.unleash.admin import admin_from
from flags.unleash.errors import FlagError

HEADER: Final = "Canario-Act"
"""Holds the second token; with an identity header of a proxy its presence is enough."""
LONGEST_NAME: Final = 24  # characters: Unleash keeps 50 of a reason


class Action(StrEnum):
    """A button."""

    ROLL_BACK = "roll back"
    PAUSE = "pause"
    RESUME = "resume"
    APPROVE = "approve"


class NotAllowed(CanarioError):  # noqa: N818 - says what is the matter
    """This request may not act; the text says why."""


@dataclass(frozen=True)
class Permission:
    """Who may act.

    Attributes:
        token: the second token, which whoever presses a button knows.
        identity_header: set by a proxy that has logged people in, as X-Forwarded-User; it must remove what a
            client sends under that name.
    """

    token: SecretStr | None
    identity_header: str | None

    @property
    def is_on(self) -> bool:
        """Whether there are buttons at all."""
        return self.token is not None or self.identity_header is not None

    def who(self, request: Request) -> str:
        """Who acts, as the log will name him. Raises NotAllowed."""
        if not self.is_on:
            raise NotAllowed("this board only shows: CANARIO_BOARD_ACT_TOKEN would allow buttons")
        given, origin = request.headers.get(HEADER), request.headers.get("Origin")
        if given is None or not request.is_json:
            raise NotAllowed(f"an order is JSON, with the header {HEADER}")
        if origin is not None and urlsplit(origin).netloc != request.host:
            raise NotAllowed(f"an order comes from a page of this board, not of {origin}")
        if self.identity_header and (name := request.headers.get(self.identity_header, "").strip()):
            return name[:LONGEST_NAME]
        if self.token and hmac.compare_digest(
            unquote(given).encode(), self.token.get_secret_value().encode()
        ):
            return "somebody"
        raise NotAllowed("that is not the token for orders")


def act(shown: Shown, action: Action, who: str) -> str:
    """Do it, and say what was done.

    Raises:
        CanarioError: it was not done; the text says why and what to do.
    """
    rollout = _rollout(shown)
    flag, reason = rollout.flag, f"by {who}, on the board"
    if action is Action.ROLL_BACK:
        share.turn_off(rollout.admin, flag)
        marks.pause(rollout.admin, flag, f"rolled back {reason}")
        return f"{flag} is off: every user gets the champion. The plan is paused."
    if action is Action.PAUSE:
        marks.pause(rollout.admin, flag, f"paused {reason}")
        return "The plan is paused: the share stays as it is. The rollback job goes on guarding."
    if action is Action.RESUME:
        for each in [flag] + ([rollout.shadow_flag] if rollout.plan.shadow else []):
            marks.unpause(rollout.admin, each)
            marks.resume(rollout.admin, each, f"resumed {reason}")
        return "The plan goes on."
    return _approve(rollout)


def _approve(rollout: Rollout) -> str:
    """Approve what the plan waits for: its start with this version, or its next stage."""
    found = look_and_decide(rollout)
    if found.step.kind is StepKind.REFUSE:
        raise FlagError(found.step.sentence)
    version = found.seen.version
    if version is None:
        raise FlagError("which challenger is deployed is not known: set CANARIO_MODELS")
    if version not in found.seen.begun:
        marks.approve_start(rollout.admin, rollout.flag, version)
        return f"The plan starts with {marks.named(version)}."
    following = found.step.position.following
    if following is None or not following.approval:
        raise FlagError("the plan waits for no approval now")
    marks.approve(rollout.admin, rollout.flag, following.name)
    return f"{following.name} is approved, and comes when its other conditions are met."


def _rollout(shown: Shown) -> Rollout:
    """The rollout with the token that may change it. Raises ConfigError."""
    rollout = shown.planned.rollout()
    token = shown.settings.board_unleash_token
    if token is None:
        raise FlagError("the board has no token to change flags: set CANARIO_BOARD_UNLEASH_TOKEN_FILE")
    settings = shown.settings.model_copy(update={"unleash_admin_token": token})
    return replace(rollout, admin=admin_from(settings, stickiness=shown.settings.stickiness))
