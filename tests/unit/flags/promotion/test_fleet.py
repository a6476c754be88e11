"""Which services are asked: those named, or every address behind a name."""

import socket
from typing import Any

import pytest
from pydantic import SecretStr

from flags.promotion import fleet as module
from flags.promotion.fleet import Crew, FleetError, fleet

TOKEN = SecretStr("token")


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The addresses that were asked, instead of asking them."""
    found: list[str] = []

    def ask(url: str, _token: SecretStr) -> Crew:
        found.append(url)
        return Crew(expected_workers=1, workers=[])

    monkeypatch.setattr(module, "_ask", ask)
    return found


def resolve(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> None:
    def looked_up(_host: str, port: int, **_: Any) -> list[Any]:
        return [
            (socket.AF_INET6, socket.SOCK_STREAM, 6, "", (each, port, 0, 0))
            if ":" in each
            else (socket.AF_INET, socket.SOCK_STREAM, 6, "", (each, port))
            for each in addresses
        ]

    monkeypatch.setattr(socket, "getaddrinfo", looked_up)


def test_addresses_are_asked_as_they_are(asked: list[str]) -> None:
    assert len(fleet(["http://a:8000/", "https://b"], TOKEN)()) == 2
    assert asked == ["http://a:8000", "https://b"]


def test_every_replica_behind_a_name_is_asked_and_each_once(
    asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ask = fleet(["dns+http://service:8000"], TOKEN)
    resolve(monkeypatch, "10.0.0.3", "10.0.0.2", "10.0.0.3", "fd00::1")
    assert len(ask()) == 3
    assert asked == ["http://10.0.0.2:8000", "http://10.0.0.3:8000", "http://[fd00::1]:8000"]
    resolve(monkeypatch, "10.0.0.9")  # replicas come and go
    ask()
    assert asked[3:] == ["http://10.0.0.9:8000"]


def test_a_name_without_address_is_an_error_and_no_empty_fleet() -> None:
    with pytest.raises(FleetError, match="the name has no address"):
        fleet(["dns+http://no-such-service.invalid:8000"], TOKEN)()


@pytest.mark.parametrize("url", ["dns+https://service:8000", "dns+service:8000", "dns+"])
def test_what_cannot_be_expanded_is_told(url: str) -> None:
    with pytest.raises(FleetError, match=r"dns\+http://service:8000"):
        fleet([url], TOKEN)()
