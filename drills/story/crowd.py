"""Simulated visitors who ask the service, and tell what came of it."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from common.errors import CanarioError
from common.names import Model
from drills.story.shop import Visitor

BOUGHT, LEFT = "bought", "left"  # outcomes
FAILED = "failed"
THREADS = 8
MOST_FAILED = 0.02  # share of requests
TIMEOUT_SECONDS = (2.0, 10.0)


class CrowdError(CanarioError):
    """The service does not answer the simulated users."""


class Crowd:
    """Sends visitors to the service at a steady rate, or as fast as it answers if that is less.

    Args:
        url: of the service.
        rate: visitors a second.
    """

    def __init__(self, url: str, rate: float) -> None:
        self._url, self._rate = url, rate
        self._local = threading.local()

    def send(
        self,
        users: Iterable[Visitor],
        *,
        shopping: bool = False,
        enough: Callable[[Counter[str]], bool] = lambda _: False,
        rate: float | None = None,
    ) -> Counter[str]:
        """Let each of `users` ask once.

        Args:
            shopping: they also tell whether they bought after the answer.
            enough: called after each answer with the answers so far by arm; True ends it.
            rate: users a second, instead of the crowd's.

        Returns:
            Answers by arm, and FAILED.

        Raises:
            CrowdError: more than a few get no answer.
        """
        counts: Counter[str] = Counter()
        with ThreadPoolExecutor(THREADS, thread_name_prefix="crowd") as pool:
            on_time, done = _paced(users, rate or self._rate), threading.Event()
            next_user, counting = threading.Lock(), threading.Lock()

            def work() -> None:
                while not done.is_set():
                    with next_user:  # whoever takes the next user also waits for its time
                        user = next(on_time, None)
                    if user is None:
                        return
                    arm = self._visit(user, shopping)
                    with counting:
                        counts[arm or FAILED] += 1
                        if enough(counts) or _broken(counts):
                            done.set()

            try:
                for future in [pool.submit(work) for _ in range(THREADS)]:
                    future.result()
            finally:
                done.set()
        if _broken(counts):
            raise CrowdError(
                f"{counts[FAILED]} of {counts.total()} simulated users got no answer from {self._url}: see"
                " `./canario logs service`"
            )
        return counts

    def _visit(self, user: Visitor, shopping: bool) -> Model | None:
        """The arm that the user was given; None without an answer."""
        context = {"country": user.country, "device": user.device}
        body = {"user_id": user.id, "features": user.features, "context": context}
        try:
            answer = self._post("predict", body)
            arm = Model(answer["assigned"])
            if shopping:
                outcome = BOUGHT if user.buys(answer["class_name"]) else LEFT
                self._post("feedback", {"request_id": answer["request_id"], "outcome": outcome})
        except (requests.RequestException, LookupError, ValueError):
            return None
        return arm

    def _post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        response = self._session.post(f"{self._url}/{path}", json=body, timeout=TIMEOUT_SECONDS)
        response.raise_for_status()
        answer: dict[str, Any] = response.json()
        return answer

    @property
    def _session(self) -> requests.Session:
        """One a thread. A kept connection may end in the moment of its reuse; to ask again harms nothing."""
        if not hasattr(self._local, "session"):
            session = requests.Session()
            session.trust_env = False
            session.mount("http://", HTTPAdapter(max_retries=Retry(2, status=0, allowed_methods=None)))
            self._local.session = session
        kept: requests.Session = self._local.session
        return kept


def challenged(counts: Counter[str]) -> float:
    """Share of the users whom the flag gave the challenger."""
    return counts[Model.CHALLENGER] / max(counts.total(), 1)


def _broken(counts: Counter[str]) -> bool:
    return counts[FAILED] > max(10, MOST_FAILED * counts.total())


def _paced(users: Iterable[Visitor], rate: float) -> Iterator[Visitor]:
    """The same users, each not before its time; a delay is not made up for."""
    due = time.monotonic()
    for user in users:
        due = max(due + 1 / rate, time.monotonic() - 0.1)
        time.sleep(max(0.0, due - time.monotonic()))
        yield user
