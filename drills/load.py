"""Open-loop load: requests leave at fixed times, whether or not the answers to earlier ones have come.

A closed loop would slow down with the service and so hide what users suffer. Latency is counted from the
moment at which a request was due, so that a late departure counts too (no coordinated omission).
"""

import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import count

import requests

TIMEOUT_SECONDS = 5.0
THREADS = 64  # enough for all requests that can be under way within the timeout at the rates of a drill


@dataclass(frozen=True)
class Sample:
    """One request and what came of it.

    Attributes:
        due: when it was to leave, seconds on the monotonic clock.
        seconds: from `due` to the end of the answer, or to the failure.
        status: HTTP status; None if no answer came.
        model, assigned, reason: as the answer says; None without an answer.
    """

    due: float
    user: str
    seconds: float
    status: int | None
    model: str | None = None
    assigned: str | None = None
    reason: str | None = None

    @property
    def failed(self) -> bool:
        """Whether the user got no prediction."""
        return self.status != 200

    @property
    def fell_back(self) -> bool:
        """Whether the champion answered because the challenger did not."""
        return (self.reason or "").startswith("fallback")


class Load:
    """Sends `rate` predictions a second, one user after the other, until it is stopped.

    Args:
        url: of the service.
        rows: feature rows, taken in turn.
        users: user ids, taken in turn.
    """

    def __init__(self, url: str, rows: Sequence[Sequence[float]], users: Sequence[str], rate: float) -> None:
        self._url = f"{url}/predict"
        self._rows, self._users, self._rate = rows, users, rate
        self._samples: list[Sample] = []
        self._stop = threading.Event()
        self._clock = threading.Thread(target=self._send_on_time, name="load", daemon=True)
        self._senders = ThreadPoolExecutor(THREADS, thread_name_prefix="sender")

    def __enter__(self) -> "Load":
        self._clock.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._clock.join()
        self._senders.shutdown(wait=True)

    @property
    def samples(self) -> list[Sample]:
        """All that are finished so far, in the order in which they finished."""
        return list(self._samples)

    def _send_on_time(self) -> None:
        begun = time.monotonic()
        for number in count():
            due = begun + number / self._rate
            if self._stop.wait(max(0.0, due - time.monotonic())):
                return
            user = self._users[number % len(self._users)]
            row = self._rows[number % len(self._rows)]
            self._senders.submit(self._send, due, user, row)

    def _send(self, due: float, user: str, row: Sequence[float]) -> None:
        try:
            # A connection for each request: a pooled one may be closed by the server in the very moment of
            # its reuse, and the drill would blame the rollout.
            response = requests.post(
                self._url, json={"user_id": user, "features": list(row)}, timeout=TIMEOUT_SECONDS
            )
            answer = response.json()
            sample = Sample(
                due,
                user,
                time.monotonic() - due,
                response.status_code,
                answer.get("model"),
                answer.get("assigned"),
                answer.get("reason"),
            )
        except (requests.RequestException, ValueError):
            sample = Sample(due, user, time.monotonic() - due, None)
        self._samples.append(sample)
