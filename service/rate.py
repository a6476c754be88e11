"""How often one address may call the admin routes, and how often it may be wrong about the token.

Counted in memory, by each worker for itself: with two workers an address has up to twice as many calls.
Behind a proxy all callers are one address.
"""

import time

from limits import RateLimitItem, RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

from service.problems import RequestError

WRONG_TOKENS_PER_MINUTE = 10


class AdminRate:
    """The limits of one worker. Safe to use from several threads."""

    def __init__(self, calls_per_minute: int) -> None:
        self._limiter = MovingWindowRateLimiter(MemoryStorage())
        self._calls = RateLimitItemPerMinute(calls_per_minute, namespace="calls")
        self._wrong = RateLimitItemPerMinute(WRONG_TOKENS_PER_MINUTE, namespace="wrong")

    def admit(self, address: str) -> None:
        """Count a call from `address`.

        Raises:
            RequestError: 429 when it has called, or been wrong, too often in the last minute. The right token
                is then turned away too: otherwise the limit would not limit guessing.
        """
        if not self._limiter.test(self._wrong, address):
            raise self._too_many(self._wrong, address, "wrong tokens")
        if not self._limiter.hit(self._calls, address):
            raise self._too_many(self._calls, address, "calls")

    def wrong_token(self, address: str) -> None:
        """Count that `address` sent a wrong token, or none."""
        self._limiter.hit(self._wrong, address)

    def _too_many(self, limit: RateLimitItem, address: str, what: str) -> RequestError:
        reset = self._limiter.get_window_stats(limit, address).reset_time
        seconds = max(1, round(reset - time.time() + 0.5))
        return RequestError(
            429,
            "Too Many Requests",
            f"Too many {what} from this address: {limit.amount} a minute are allowed; wait {seconds} s.",
            headers={"Retry-After": str(seconds)},
        )
