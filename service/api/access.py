"""Who may use the admin routes, and how often: whoever has the bearer token, so many times a minute.

Calls are counted in memory, by each worker for itself: with two workers an address has up to twice as many.
Behind a proxy all callers are one address.
"""

import hmac
import time

from flask import Request
from limits import RateLimitItem, RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter
from pydantic import SecretStr

from service.api.problems import RequestError

WRONG_TOKENS_PER_MINUTE = 10


class Access:
    """The door to the admin routes of one worker. Safe to use from several threads."""

    def __init__(self, token: SecretStr | None, calls_per_minute: int) -> None:
        self._token = token
        self._limiter = MovingWindowRateLimiter(MemoryStorage())
        self._calls = RateLimitItemPerMinute(calls_per_minute, namespace="calls")
        self._wrong = RateLimitItemPerMinute(WRONG_TOKENS_PER_MINUTE, namespace="wrong")

    def admit(self, request: Request) -> None:
        """Let the caller of an admin route through who has the token, and does not call too often.

        Raises:
            RequestError: 429 when the address has called, or been wrong, too often in the last minute. The
                right token is then turned away too: otherwise the limit would not limit guessing. 403 when
                no token is set, 401 when the request bears none or another.
        """
        caller = request.remote_addr or ""
        if not self._limiter.test(self._wrong, caller):
            raise self._too_many(self._wrong, caller, "wrong tokens")
        if not self._limiter.hit(self._calls, caller):
            raise self._too_many(self._calls, caller, "calls")
        if self._token is None:
            raise RequestError(
                403, "Forbidden", "The admin routes are off: start the service with CANARIO_ADMIN_TOKEN."
            )
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        # The comparison takes the same time wherever they differ.
        same = hmac.compare_digest(given.strip().encode(), self._token.get_secret_value().encode())
        if scheme.lower() != "bearer" or not same:
            self._limiter.hit(self._wrong, caller)
            raise RequestError(
                401,
                "Unauthorized",
                "Send the admin token as `Authorization: Bearer <token>`.",
                headers={"WWW-Authenticate": 'Bearer realm="canario-admin"'},
            )

    def _too_many(self, limit: RateLimitItem, address: str, what: str) -> RequestError:
        reset = self._limiter.get_window_stats(limit, address).reset_time
        seconds = max(1, round(reset - time.time() + 0.5))
        return RequestError(
            429,
            "Too Many Requests",
            f"Too many {what} from this address: {limit.amount} a minute are allowed; wait {seconds} s.",
            headers={"Retry-After": str(seconds)},
        )
