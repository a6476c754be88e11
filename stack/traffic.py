"""`python -m stack.traffic`: a small, steady stream of predictions, so that there is something to measure.

Users come from a fixed pool and keep their country and plan, so that shares and constraints of the flag can
be seen to work. The service may go away and come back.
"""

import itertools
import logging
import random
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import click
import requests
from sklearn.datasets import load_breast_cancer

from common.logs import configure_logging

COUNTRIES = ("NO", "SE", "DK", "DE", "US")
PLANS = ("free", "pro")
REPORT_SECONDS = 60.0

_log = logging.getLogger(__name__)


def bodies(users: int, seed: int = 42) -> Iterator[dict[str, Any]]:
    """Requests for ever: a user of a pool of `users`, with one row of the breast cancer data."""
    rows = load_breast_cancer().data.tolist()
    choose = random.Random(seed)  # noqa: S311 - no secret depends on it
    while True:
        number = choose.randrange(users)
        yield {
            "user_id": f"user-{number:05}",
            "features": choose.choice(rows),
            "context": {
                "country": COUNTRIES[number % len(COUNTRIES)],
                "plan": PLANS[number // len(COUNTRIES) % len(PLANS)],
            },
        }


class Sender:
    """Sends requests one after the other, and counts what came of them."""

    def __init__(self, url: str, *, bought: float = 0.0) -> None:
        """`bought`: share of the answers after which the user buys, whatever the model said."""
        self._url = f"{url}/predict"
        self._feedback = f"{url}/feedback"
        self._bought = bought
        self._dice = random.Random(7)  # noqa: S311 - no secret depends on it
        self._session = requests.Session()
        self._session.trust_env = False
        self._failing = False
        self.counts: Counter[str] = Counter()

    def send(self, body: dict[str, Any]) -> None:
        """Never raises for what the service does: that is counted."""
        try:
            answer = self._session.post(self._url, json=body, timeout=(1, 5))
            outcome = str(answer.json()["model"]) if answer.ok else f"status {answer.status_code}"
            if answer.ok and self._dice.random() < self._bought:
                told = {"request_id": answer.json()["request_id"], "outcome": "bought"}
                self._session.post(self._feedback, json=told, timeout=(1, 5))
            reason = ""
        except (requests.RequestException, LookupError, TypeError) as error:
            outcome, reason = "no answer", str(error)
        self.counts[outcome] += 1
        if bool(reason) != self._failing:  # once when it goes away, once when it comes back
            self._failing = bool(reason)
            _log.log(logging.WARNING if reason else logging.INFO, reason or "the service answers again")

    def close(self) -> None:
        """Give up the connection."""
        self._session.close()

    def report(self) -> None:
        """Log the counts since the last report."""
        _log.info("sent", extra={"outcomes": dict(self.counts)})
        self.counts.clear()


@click.command()
@click.option("--url", envvar="CANARIO_SERVICE_URL", required=True, help="Where the service is.")
@click.option("--rate", default=10.0, show_default=True, help="Requests a second.")
@click.option("--users", default=2000, show_default=True, help="Size of the pool of users.")
@click.option("--bought", default=0.1, show_default=True, help="Share of answers after which a user buys.")
def main(url: str, rate: float, users: int, bought: float) -> None:
    """Send sample traffic until stopped."""
    configure_logging("traffic")
    sender = Sender(url, bought=bought)
    start = report = time.monotonic()
    for number, body in zip(itertools.count(), bodies(users), strict=False):
        now = time.monotonic()
        due = start + number / rate
        if due > now:
            time.sleep(due - now)
        elif now - due > 1:  # the service was slow or away: do not catch up all at once
            start = now - number / rate
        sender.send(body)
        if now - report >= REPORT_SECONDS:
            sender.report()
            report = now


if __name__ == "__main__":
    main()
