"""Which model should answer this user? Asks Unleash's SDK: the only module that imports its client.

The client is made in each worker, after the fork (one made before it never sees a change again), and reaches
Unleash from a thread of its own, so that a server which hangs holds up neither the start nor a request.
"""

import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any, NamedTuple

import requests
from UnleashClient.clients import UnleashClient
from UnleashClient.constants import FEATURES_URL
from UnleashClient.utils import InstanceAllowType

from common.names import Model
from service.flag_cache import FlagCache, Flags
from service.sdk_log import quieten_sdk
from service.settings import Settings

log = logging.getLogger(__name__)

REQUEST_TIMEOUT_SECONDS = 2
RETRY_SECONDS = 5
LOOK_EVERY_SECONDS = 1.0  # at a flag whose answer is the same for everybody
USAGE_INTERVAL_SECONDS = 30  # how often Unleash is told who got what, for its own metrics page


class Reason(StrEnum):
    """Why the flag wants this model."""

    FLAG_ON = "flag_on"
    FLAG_OFF = "flag_off"
    FLAG_MISSING = "flag_missing"  # Unleash has no such flag, or it is archived
    FLAG_WITHOUT_STRATEGY = "flag_without_strategy"  # on, but for everybody: nobody chose a share
    UNLEASH_UNKNOWN = "unleash_unknown"  # never heard from Unleash, and nothing on disk


class Assignment(NamedTuple):
    """The model that the flag wants, and why."""

    model: Model
    reason: Reason


class Assigner:
    """Assigns users to models by the flag.

    Args:
        settings: where Unleash is.
        on_fetched: called with the Unix time of each answer from Unleash, changed or not.
        on_known: called with a flag and whether Unleash knows it, for each of the two, at each new state.
    """

    def __init__(
        self,
        settings: Settings,
        on_fetched: Callable[[float], None] = lambda _: None,
        on_known: Callable[[str, bool], None] = lambda _flag, _known: None,
    ) -> None:
        self._flag, self._shadow_flag = settings.canary_flag, settings.shadow_flag
        self._on_fetched, self._on_known = on_fetched, on_known
        # None: the flag decides; otherwise it cannot, for this reason, and everybody gets the champion.
        self._obstacle: Reason | None = Reason.UNLEASH_UNKNOWN
        # The flag's answer where it is the same for everybody; None: ask it.
        self._for_all: dict[str, bool | None] = {self._flag: None, self._shadow_flag: False}
        self._look_at: dict[str, float] = {}
        self._last_status = 0
        self._closed = threading.Event()
        quieten_sdk()
        token = settings.unleash_sdk_token.get_secret_value()
        self._client = UnleashClient(
            url=f"{settings.unleash_url}/api",
            app_name="canario",
            instance_id=f"{socket.gethostname()}-{os.getpid()}",  # each worker is an instance of its own
            refresh_interval=settings.refresh_seconds,
            metrics_interval=USAGE_INTERVAL_SECONDS,
            request_timeout=REQUEST_TIMEOUT_SECONDS,
            request_retries=0,  # the next poll is the retry
            custom_headers={"Authorization": token},
            custom_options={"hooks": {"response": self._heard}},
            cache=FlagCache(settings.state_dir, settings.unleash_url, token, self._inspect),
            multiple_instance_mode=InstanceAllowType.SILENTLY_ALLOW,
        )

    def start(self) -> None:
        """Begin to follow Unleash. Returns at once."""
        threading.Thread(target=self._follow, name="unleash-start", daemon=True).start()

    def assign(self, user_id: str, context: Mapping[str, Any]) -> Assignment:
        """The model for `user_id`. Never raises, never waits; what is not known means the champion."""
        if self._obstacle is not None:
            return Assignment(Model.CHAMPION, self._obstacle)
        if self._is_on(self._flag, user_id, context):
            return Assignment(Model.CHALLENGER, Reason.FLAG_ON)
        return Assignment(Model.CHAMPION, Reason.FLAG_OFF)

    def shadowed(self, user_id: str, context: Mapping[str, Any]) -> bool:
        """Whether the challenger should see the requests of `user_id` too. Never raises, never waits."""
        return self._is_on(self._shadow_flag, user_id, context)

    def _is_on(self, flag: str, user_id: str, context: Mapping[str, Any]) -> bool:
        """What `flag` says.

        Where the answer is the same for everybody the flag is asked once a second only, so that Unleash still
        sees it used: an evaluation costs as much as three calls of a model.
        """
        for_all = self._for_all[flag]
        if for_all is not None:
            now = time.monotonic()
            if now < self._look_at.get(flag, 0.0):
                return for_all
            self._look_at[flag] = now + LOOK_EVERY_SECONDS
        asked: bool = self._client.is_enabled(flag, {**context, "userId": user_id})
        return asked if for_all is None else for_all

    @property
    def knows_flags(self) -> bool:
        """Whether there is any state of flags, from Unleash or from disk."""
        return self._obstacle is not Reason.UNLEASH_UNKNOWN

    def close(self) -> None:
        """Stop following Unleash and send it the last usage counts."""
        self._closed.set()
        if self._client.is_initialized:
            self._client.destroy()

    def _follow(self) -> None:
        while not self._closed.is_set() and not self._client.is_initialized:
            try:
                self._client.initialize_client()
            except Exception as error:  # the SDK stops following for good on what it did not expect
                log.error("Unleash cannot be followed, trying again: %s", error)
                self._closed.wait(RETRY_SECONDS)
        if self._closed.is_set():  # closed while it was being initialized
            self._client.destroy()

    def _heard(self, response: requests.Response, *_: Any, **__: Any) -> None:
        if not (response.request.path_url or "").partition("?")[0].endswith(FEATURES_URL):
            return
        if response.status_code in (200, 304):
            self._on_fetched(time.time())
        elif response.status_code in (401, 403) and self._last_status != response.status_code:
            log.error(
                "Unleash refuses the service's token (HTTP %d): check CANARIO_UNLEASH_SDK_TOKEN",
                response.status_code,
            )
        self._last_status = response.status_code

    def _inspect(self, flags: Flags) -> None:
        """Look at a new state before the SDK evaluates it: a flag that nobody limits is no canary."""
        flag = flags.get(self._flag)
        before, self._obstacle = self._obstacle, _obstacle(flag)
        names = (self._flag, self._shadow_flag)
        self._for_all = {name: _same_for_all(flags.get(name)) for name in names}
        for name in names:
            self._on_known(name, name in flags)
        if self._obstacle is not None and self._obstacle is not before:
            log.warning(_EXPLANATIONS[self._obstacle], self._flag, extra={"flag": self._flag})
        elif before is not None and self._obstacle is None:
            log.info("the flag %s decides who gets the challenger", self._flag, extra={"flag": self._flag})


def _obstacle(flag: dict[str, Any] | None) -> Reason | None:
    """Why `flag`, as Unleash sends it to SDKs, cannot decide; None if it can."""
    if flag is None:
        return Reason.FLAG_MISSING
    # Without a strategy Unleash means "on for everybody", which is what remains when someone deletes the
    # gradual rollout: 100% of the users, by accident.
    if flag.get("enabled") and not flag.get("strategies"):
        return Reason.FLAG_WITHOUT_STRATEGY
    return None


def _same_for_all(flag: dict[str, Any] | None) -> bool | None:
    """What `flag`, as Unleash sends it to SDKs, answers for every user alike; None if it depends on the user.

    A flag without a strategy would be on for everybody, by accident (see `_obstacle`): nobody chose a share,
    so it counts as off.
    """
    if flag is None or not flag.get("enabled") or not flag.get("strategies"):
        return False
    shares = [_share(strategy) for strategy in flag["strategies"]]
    # Constraints, segments and parent flags can only take users away: they do not matter at 0%.
    if all(share == 0 for share in shares):
        return False
    narrowed = bool(flag.get("dependencies")) or all(
        share != 100 or strategy.get("constraints") or strategy.get("segments")
        for share, strategy in zip(shares, flag["strategies"], strict=True)
    )
    return None if narrowed else True


def _share(strategy: dict[str, Any]) -> int | None:
    """Per cent of the users of a gradual rollout; None for any other strategy.

    At 100% every user is in, but only where users are told apart by what each request has: their id.
    """
    parameters = strategy.get("parameters") or {}
    if strategy.get("name") != "flexibleRollout":
        return None
    try:
        share = int(parameters["rollout"])
    except (KeyError, TypeError, ValueError):
        return None
    return None if share == 100 and parameters.get("stickiness") != "userId" else share


_EXPLANATIONS = {
    Reason.FLAG_MISSING: "Unleash does not know the flag %s (missing or archived): everybody gets the "
    "champion; make it with `python -m flags apply`",
    Reason.FLAG_WITHOUT_STRATEGY: "the flag %s is on but has no strategy left: everybody gets the champion; "
    "add a gradual rollout in Unleash or run `python -m flags apply`",
}
