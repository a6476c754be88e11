"""Asks services which models their workers serve: the only module that knows `GET /admin/models`.

Replicas that share a name (of a Compose service, or a headless one of Kubernetes) must all be asked, and not
whichever of them answers: `dns+http://service:8000` means every address behind that name.
"""

import socket
from collections.abc import Callable, Sequence
from typing import Final
from urllib.parse import urlsplit

import requests
from pydantic import BaseModel, SecretStr, ValidationError

from common.release import ReleaseError

TIMEOUT_SECONDS: Final = 5.0
EVERY_ADDRESS: Final = "dns+"


class FleetError(ReleaseError):
    """A service does not tell what it serves."""


class Refusal(BaseModel):
    """A revision that a worker does not take; None where it could not even read it."""

    revision: int | None
    reason: str


class Worker(BaseModel):
    """One process of a service, and the revision of `roles.json` that it serves."""

    pid: int
    revision: int | None
    refused: Refusal | None


class Crew(BaseModel):
    """The workers of one service. While one starts there are fewer than expected."""

    expected_workers: int
    workers: list[Worker]

    def serves(self, revision: int) -> bool:
        """Whether every worker serves it, and none is missing."""
        return len(self.workers) >= self.expected_workers and all(
            worker.revision == revision for worker in self.workers
        )


Fleet = Callable[[], Sequence[Crew]]


def fleet(urls: Sequence[str] | str, token: SecretStr) -> Fleet:
    """What asks the services at `urls` (as text with commas between), with the token of their admin routes.

    Names are looked up anew each time: replicas come and go.
    """

    each = [one.strip() for one in urls.split(",") if one.strip()] if isinstance(urls, str) else urls

    def ask() -> list[Crew]:
        return [_ask(address, token) for url in each for address in _addresses(url.rstrip("/"))]

    return ask


def _addresses(url: str) -> list[str]:
    if not url.startswith(EVERY_ADDRESS):
        return [url]
    parts = urlsplit(url.removeprefix(EVERY_ADDRESS))
    if parts.scheme != "http" or not parts.hostname:
        raise FleetError(f"{url}: is no address like dns+http://service:8000")
    try:
        found = socket.getaddrinfo(parts.hostname, parts.port or 80, type=socket.SOCK_STREAM)
    except OSError as error:
        raise FleetError(f"{url}: the name has no address ({error})") from error
    hosts = {str(at[0]) for *_, at in found}
    told = (f"[{host}]" if ":" in host else host for host in hosts)
    return sorted(f"http://{host}:{parts.port or 80}{parts.path}" for host in told)


def _ask(url: str, token: SecretStr) -> Crew:
    address = f"{url}/admin/models"
    try:
        response = requests.get(
            address,
            headers={"Authorization": f"Bearer {token.get_secret_value()}"},
            timeout=TIMEOUT_SECONDS,
            allow_redirects=False,
        )
    except requests.RequestException as error:
        raise FleetError(f"{address}: the service does not answer ({type(error).__name__})") from error
    if response.status_code != 200:
        advice = "; check CANARIO_ADMIN_TOKEN" if response.status_code in (401, 403) else ""
        raise FleetError(f"{address}: the service answers {response.status_code}{advice}")
    try:
        return Crew.model_validate_json(response.content)
    except ValidationError as error:
        raise FleetError(f"{address}: this is no answer of Canario's service") from error
