"""The example of a service that is not ours, examples/fastapi, as a process; and users who ask it."""

import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import requests

from common.errors import CanarioError
from drills.load import TIMEOUT_SECONDS, OpenLoop
from stack.api import Stack
from stack.paths import REPOSITORY
from stack.ports import HOST, free_port
from stack.processes.environment import basic

FOLDER: Final = REPOSITORY / "examples" / "fastapi"
ROLLOUTS: Final = FOLDER / "rollouts"
FLAG: Final = "ranker-v2"
JOB: Final = "shop"
CHALLENGER: Final = "ranker-v2"
START_SECONDS: Final = 30.0
END_SECONDS: Final = 10.0


class ShopError(CanarioError):
    """The example's service does not run, or does not answer."""


@dataclass(frozen=True)
class Shop:
    """The running service."""

    url: str

    def break_challenger(self, fault: str) -> None:
        """`slow`, `error` or `none`. Raises ShopError."""
        try:
            requests.put(f"{self.url}/fault/{fault}", timeout=TIMEOUT_SECONDS).raise_for_status()
        except requests.RequestException as error:
            raise ShopError(f"the shop at {self.url} takes no fault: {error}") from error


@contextmanager
def shop(stack: Stack, log: Path) -> Iterator[Shop]:
    """Runs until the block ends, or this process; Prometheus of the stack scrapes it meanwhile.

    Raises:
        ShopError: it does not start; the text says where its log is.
    """
    address = f"{HOST}:{free_port()}"
    environment = {
        **basic(),
        "UNLEASH_URL": f"{stack.addresses.unleash}/api",
        "UNLEASH_TOKEN": stack.secret("unleash-sdk.token"),
        "SHOP_FAULTS": "on",
    }
    command = [sys.executable, "-m", "uvicorn", "shop:app", "--app-dir", str(FOLDER), "--no-access-log"]
    tied = ["setpriv", "--pdeathsig", "KILL", "--"]
    with log.open("ab") as out:
        process = subprocess.Popen(
            [*tied, *command, "--port", address.rpartition(":")[2]],
            cwd=FOLDER,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
        )
    try:
        found = Shop(f"http://{address}")
        _wait_until_ready(found, process, log)
        stack.scrape(JOB, address)
        yield found
    finally:
        stack.scrape(JOB)
        process.terminate()
        try:
            process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_until_ready(found: Shop, process: "subprocess.Popen[bytes]", log: Path) -> None:
    end = time.monotonic() + START_SECONDS
    while True:
        try:
            requests.get(f"{found.url}/metrics", timeout=1).raise_for_status()
        except requests.RequestException:
            if process.poll() is not None or time.monotonic() > end:
                raise ShopError(f"the shop does not start: see {log}") from None
            time.sleep(0.1)
        else:
            return


@dataclass(frozen=True)
class Visit:
    """A user's request. `due`: when it was to leave, by the monotonic clock; no variant: no answer."""

    due: float
    user: str
    status: int | None
    variant: str | None = None


class Visitors(OpenLoop):
    """Users who ask the shop for its products, `rate` requests a second; some of them buy."""

    def __init__(self, shop: Shop, rate: float, users: int = 1000) -> None:
        super().__init__(self._visit, rate)
        self._url, self._users = shop.url, users
        self._visits: list[Visit] = []

    @property
    def visits(self) -> list[Visit]:
        """Those that are over."""
        return list(self._visits)

    def counted(self, since: float = 0.0) -> Counter[str | None]:
        """Visits by the variant that answered, of those that were due since then."""
        return Counter(visit.variant for visit in self.visits if visit.due >= since)

    def _visit(self, number: int, due: float) -> None:
        user = f"visitor-{number % self._users}"
        try:
            answer = requests.get(f"{self._url}/products", {"user": user}, timeout=TIMEOUT_SECONDS)
            variant = answer.json().get("variant") if answer.ok else None
            self._visits.append(Visit(due, user, answer.status_code, variant))
            if number % 10 == 0:
                requests.post(f"{self._url}/orders", params={"user": user}, timeout=TIMEOUT_SECONDS)
        except (requests.RequestException, ValueError):
            self._visits.append(Visit(due, user, None))
