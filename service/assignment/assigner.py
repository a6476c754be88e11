"""Which model should answer this user? Asks Unleash's SDK: the only module that imports its client.

The client is made in each worker, after the fork (one made before it never sees a change again), and reaches
Unleash from threads of its own, so that a server which hangs holds up neither the start nor a request.
"""

import logging
import os
import re
import socket
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, cast

import mmh3
import requests
from UnleashClient.clients import UnleashClient
from UnleashClient.constants import FEATURES_URL
from UnleashClient.utils import InstanceAllowType

from common.names import Model
from service.assignment.assignment import BUCKETS, Assignment, Reason
from service.assignment.schedule import EXECUTOR, MonotonicScheduler
from service.assignment.sdk import FlagCache, Flags, quieten_sdk
from service.settings import Settings

log = logging.getLogger(__name__)

REQUEST_TIMEOUT_SECONDS = 2
RETRY_SECONDS = 5
LOOK_EVERY_SECONDS = 1.0  # at a flag whose answer is the same for everybody
USAGE_INTERVAL_SECONDS = 30  # how often Unleash is told who got what, for its own metrics page


class Assigner:
    """Assigns users to models by the flag.

    Args:
        settings: where Unleash is.
        on_fetched: called with the time, by the monotonic clock, of each answer from Unleash, changed or not,
            as soon as what it says is followed.
        on_known: called with a flag and whether Unleash knows it, for each of the two, at each new state.
        on_share: called with the canary's switch and share, as a text, at each new state.

    Attributes:
        fetched_at: when Unleash last answered, by the monotonic clock; what it said is followed.
    """

    def __init__(
        self,
        settings: Settings,
        on_fetched: Callable[[float], None] = lambda _: None,
        on_known: Callable[[str, bool], None] = lambda _flag, _known: None,
        on_share: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.fetched_at: float = float("-inf")
        self._flag, self._shadow_flag = settings.canary_flag, settings.shadow_flag
        self._on_fetched, self._on_known, self._on_share = on_fetched, on_known, on_share
        # None: the flag decides; otherwise it cannot, for this reason, and everybody gets the champion.
        self._obstacle: Reason | None = Reason.UNLEASH_UNKNOWN
        # The flag's answer where it is the same for everybody; None: ask it.
        self._for_all: dict[str, bool | None] = {self._flag: False, self._shadow_flag: False}
        # Parameters groupId and stickiness of the canary's gradual rollout, by which its users are hashed.
        self._grouping = (self._flag, _BY_USER)
        self._look_at: dict[str, float] = {}
        self._followed: Flags | None = None
        self._explained: Reason | None = self._obstacle  # in the log
        self._last_status = 0
        self._this_thread = threading.local()  # `answered`: when Unleash answered the poll of this thread
        self._closed = threading.Event()
        quieten_sdk()
        token = settings.unleash_sdk_token.get_secret_value()
        self._cache = FlagCache(settings.state_dir, settings.unleash_url, token, self._tighten)
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
            cache=self._cache,
            scheduler=cast("Any", MonotonicScheduler(self._polled)),
            scheduler_executor=EXECUTOR,
            multiple_instance_mode=InstanceAllowType.SILENTLY_ALLOW,
        )
        self._follow_state()  # that from disk, which the client has just given its engine

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

    def bucket(self, user_id: str, context: Mapping[str, Any]) -> int:
        """From 1 to 100: where the canary's gradual rollout has the user, by the normalized hash of Unleash.

        Up to its share it gives them the challenger. Where the flag goes by something that the request does
        not have, the user's id is taken. Never raises, never waits.
        """
        group, stickiness = self._grouping
        by = user_id if stickiness == _BY_USER else context.get(stickiness, user_id)
        return int(mmh3.hash(f"{group}:{by}".encode("utf-8", "replace"), signed=False)) % BUCKETS + 1

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
        """Whether the SDK evaluates any state of flags, from Unleash or from disk."""
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
                self._polled()
            except Exception as error:  # the SDK stops following for good on what it did not expect
                log.error("Unleash cannot be followed, trying again: %s", error)
                self._closed.wait(RETRY_SECONDS)
        if self._closed.is_set():  # closed while it was being initialized
            self._client.destroy()

    def _heard(self, response: requests.Response, *_: Any, **__: Any) -> None:
        if not (response.request.path_url or "").partition("?")[0].endswith(FEATURES_URL):
            return
        if response.status_code in (200, 304):
            self._this_thread.answered = time.monotonic()
        elif response.status_code in (401, 403) and self._last_status != response.status_code:
            log.error(
                "Unleash refuses the service's token (HTTP %d): check CANARIO_UNLEASH_SDK_TOKEN",
                response.status_code,
            )
        self._last_status = response.status_code

    def _polled(self) -> None:
        """A job of the SDK is done in this thread. After a poll its engine has what Unleash answered."""
        answered = self._this_thread.__dict__.pop("answered", None)
        if answered is not None:
            self._follow_state()
            if self._cache.refused is None and self._followed is self._cache.flags:
                self.fetched_at = answered
                self._on_fetched(answered)

    def _tighten(self, flags: Flags) -> None:
        """Take back, before the SDK evaluates a new state, what that gives nobody.

        A flag without a strategy is no canary, although the SDK would say that it is on for everybody.
        """
        self._obstacle = _obstacle(flags.get(self._flag)) or self._obstacle
        for name in self._for_all:
            if _same_for_all(flags.get(name)) is False:
                self._for_all[name] = False

    def _follow_state(self) -> None:
        """Do what the newest state says, now that the SDK evaluates it."""
        flags = self._cache.flags
        if (
            flags is None
            or flags is self._followed
            or self._client.feature_definitions().keys() != flags.keys()
        ):
            return
        self._followed = flags
        self._grouping = _grouping(self._flag, flags.get(self._flag))
        before, self._obstacle = self._explained, _obstacle(flags.get(self._flag))
        self._for_all = {name: _same_for_all(flags.get(name)) for name in self._for_all}
        for name in self._for_all:
            self._on_known(name, name in flags)
        self._on_share(_switch_and_share(flags.get(self._flag)))
        if self._obstacle is not None and self._obstacle is not before:
            log.warning(_EXPLANATIONS[self._obstacle], self._flag, extra={"flag": self._flag})
        elif before is not None and self._obstacle is None:
            log.info("the flag %s decides who gets the challenger", self._flag, extra={"flag": self._flag})
        self._explained = self._obstacle


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
    """What `flag`, as the SDK's engine has it, answers for every user alike; None: the SDK must be asked.

    Only what Unleash writes in the one usual form is answered here: to read parameters a second time is to
    read them otherwise, and to give users what the engine does not. A flag without a strategy would be on
    for everybody, by accident (see `_obstacle`), and counts as off.
    """
    if flag is None or not flag["enabled"] or not flag.get("strategies"):
        return False
    strategies = flag["strategies"]
    # Constraints, segments and parent flags can only take users away: they do not matter at 0%.
    if all(_share(strategy) == "0" for strategy in strategies):
        return False
    # At 100% every user is in where users are told apart by what each request has: their id.
    for_all = not flag.get("dependencies") and all(_is_plain(strategy) for strategy in strategies)
    return True if for_all and any(_share(strategy) == "100" for strategy in strategies) else None


def _switch_and_share(flag: dict[str, Any] | None) -> str:
    """What people set; not its conditions, for a lease is one, and is renewed every few minutes."""
    if flag is None:
        return "missing"
    return f"{flag['enabled']} {[_share(strategy) for strategy in flag.get('strategies') or ()]}"


def _grouping(name: str, flag: dict[str, Any] | None) -> tuple[str, str]:
    """Parameters groupId and stickiness of the first gradual rollout of `flag`; by user where it has none."""
    for strategy in (flag or {}).get("strategies") or ():
        if _share(strategy) is not None:
            parameters = strategy["parameters"]
            stickiness = parameters.get("stickiness") or "default"
            by_user = stickiness in ("default", "random", _BY_USER)
            return parameters.get("groupId") or name, _BY_USER if by_user else stickiness
    return name, _BY_USER


def _share(strategy: dict[str, Any]) -> str | None:
    """Per cent of the users of a gradual rollout, as Unleash writes it; None for any other strategy."""
    is_rollout = strategy["name"] == "flexibleRollout"
    return (strategy.get("parameters") or {}).get("rollout") if is_rollout else None


def _is_plain(strategy: dict[str, Any]) -> bool:
    """Whether this is a gradual rollout by the user's id without conditions, in parameters of usual form."""
    parameters = strategy.get("parameters") or {}
    return (
        _share(strategy) in _SHARES
        and parameters.get("stickiness") == "userId"
        and _USUAL_GROUP.fullmatch(parameters.get("groupId", "")) is not None
        and not strategy.get("constraints")
        and not strategy.get("segments")
    )


_BY_USER = "userId"
_SHARES = frozenset(map(str, range(101)))
_USUAL_GROUP = re.compile(r"[A-Za-z0-9._~-]+")  # that of a flag's name; a quote in it turns the flag off
_EXPLANATIONS = {
    Reason.FLAG_MISSING: "Unleash does not know the flag %s (missing or archived): everybody gets the "
    "champion; make it with `./canario apply`",
    Reason.FLAG_WITHOUT_STRATEGY: "the flag %s is on but has no strategy left: everybody gets the champion; "
    "add a gradual rollout in Unleash or run `./canario apply`",
}
