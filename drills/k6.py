"""Load by k6, from a process of its own: the generator's own work must not look like the service's."""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.errors import CanarioError

SCRIPT = Path(__file__).with_name("predict.js")
NOBODY = {"count": 0, "med": 0.0, "p(99)": 0.0, "max": 0.0}
BODY = Path(__file__).parents[1] / "docs" / "request.json"


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
    k6 = Path(sys.prefix) / "bin" / "k6"
    settings = {"URL": f"{service}/predict", "BODY": str(BODY), "DURATION": f"{seconds}s"}
    settings |= {"RATE": str(rate)} if rate else {"USERS": str(users)}
    command = [str(k6), "run", "--quiet", "--no-usage-report"]
    for name, value in settings.items():
        command += ["--env", f"{name}={value}"]
    try:
        done = subprocess.run(
            [*command, str(SCRIPT)], capture_output=True, text=True, check=True, timeout=seconds + 60
        )
    except FileNotFoundError:
        raise LoadError(f"{k6} is missing: `make up` installs it") from None
    except subprocess.TimeoutExpired:
        raise LoadError(f"k6 did not end {seconds + 60} s after its start") from None
    except subprocess.CalledProcessError as error:
        raise LoadError(f"k6 failed: {error.stderr[-500:]}") from error
    return _figures(json.loads(done.stdout))


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
