"""Load: by `Load` with a sample of each request, or by k6 (`predict`) with figures of all.

`Load` is an open loop: requests leave at fixed times, whether or not the answers to earlier ones have come. A
closed loop would slow down with the service and so hide how long users wait. Latency is counted from the
moment at which a request was due, so that a late departure counts too (no coordinated omission). k6 runs in a
process of its own, for measurements: the generator's own work must not look like the service's.
"""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, Self

import requests

from common.errors import CanarioError

TIMEOUT_SECONDS = 5.0
THREADS = 64  # enough for all requests that can be under way within the timeout at the rates of a drill
SCRIPT = Path(__file__).with_name("predict.js")
NOBODY = {"count": 0, "med": 0.0, "p(99)": 0.0, "max": 0.0}
BODY = Path(__file__).parents[1] / "docs" / "request.json"


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


class OpenLoop:
    """Calls `send(number, due)` for each request, `rate` a second and at its time, until it is stopped."""

    def __init__(self, send: Callable[[int, float], object], rate: float) -> None:
        self._send, self._rate = send, rate
        self._stop = threading.Event()
        self._clock = threading.Thread(target=self._send_on_time, name="load", daemon=True)
        self._senders = ThreadPoolExecutor(THREADS, thread_name_prefix="sender")

    def __enter__(self) -> Self:
        self._clock.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._clock.join()
        self._senders.shutdown(wait=True)

    def _send_on_time(self) -> None:
        begun = time.monotonic()
        for number in count():
            due = begun + number / self._rate
            if self._stop.wait(max(0.0, due - time.monotonic())):
                return
            self._senders.submit(self._send, number, due)


class Load(OpenLoop):
    """Sends `rate` predictions a second, one user after the other, until it is stopped.

    Args:
        url: of the service.
        rows: feature rows, taken in turn.
        users: user ids, taken in turn.
    """

    def __init__(self, url: str, rows: Sequence[Sequence[float]], users: Sequence[str], rate: float) -> None:
        super().__init__(self._predict, rate)
        self._url = f"{url}/predict"
        self._rows, self._users = rows, users
        self._samples: list[Sample] = []

    @property
    def samples(self) -> list[Sample]:
        """All that are finished so far, in the order in which they finished."""
        return list(self._samples)

    def _predict(self, number: int, due: float) -> None:
        user, row = self._users[number % len(self._users)], self._rows[number % len(self._rows)]
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


class LoadError(CanarioError):
    """k6 could not be run."""


@dataclass(frozen=True)
class Latency:
    """Durations of the answered requests of some users, seconds; zeros without any."""

    requests: int
    median: float
    p99: float
    slowest: float


@dataclass(frozen=True)
class Figures:
    """What k6 saw.

    Attributes:
        outside, inside: users whom the flag gives the champion, and the challenger.
        failed: requests without a prediction, of whomever.
        fell_back: requests that the champion answered because the challenger did not.
        rate: requests a second, answered or not.
        dropped: requests that the open loop could not send on time; above 0 the figures are not worth much.
    """

    outside: Latency
    inside: Latency
    failed: int
    fell_back: int
    rate: float
    dropped: int


def predict(service: str, *, seconds: int, rate: int | None = None, users: int | None = None) -> Figures:
    """Ask `service` for predictions: `rate` a second, or as fast as `users` get their answers.

    Raises:
        LoadError: k6 is missing or failed.
    """
    how = {"RATE": str(rate)} if rate else {"USERS": str(users)}
    return _figures(k6(SCRIPT, {"URL": f"{service}/predict", "BODY": str(BODY)} | how, seconds))


def k6(script: Path, settings: Mapping[str, str], seconds: int) -> dict[str, Any]:
    """The metrics that `script` tells at its end, by name; it gets `settings`, and `seconds` as DURATION.

    Raises:
        LoadError: k6 is missing or failed.
    """
    program = Path(sys.prefix) / "bin" / "k6"
    command = [str(program), "run", "--quiet", "--no-usage-report"]
    for name, value in {**settings, "DURATION": f"{seconds}s"}.items():
        command += ["--env", f"{name}={value}"]
    try:
        done = subprocess.run(
            [*command, str(script)], capture_output=True, text=True, check=True, timeout=seconds + 60
        )
    except FileNotFoundError:
        raise LoadError(f"{program} is missing: `./canario up` installs it") from None
    except subprocess.TimeoutExpired:
        raise LoadError(f"k6 did not end {seconds + 60} s after its start") from None
    except subprocess.CalledProcessError as error:
        raise LoadError(f"k6 failed: {error.stderr[-500:]}") from error
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def _figures(metrics: dict[str, Any]) -> Figures:
    def count(name: str) -> int:
        return int(metrics[name]["values"]["count"]) if name in metrics else 0

    def latency(name: str) -> Latency:
        values = metrics[name]["values"] if name in metrics else NOBODY
        return Latency(
            int(values["count"]), values["med"] / 1000, values["p(99)"] / 1000, values["max"] / 1000
        )

    return Figures(
        outside=latency("outside"),
        inside=latency("inside"),
        failed=count("failed"),
        fell_back=count("fell_back"),
        rate=float(metrics["http_reqs"]["values"]["rate"]),
        dropped=count("dropped_iterations"),
    )
