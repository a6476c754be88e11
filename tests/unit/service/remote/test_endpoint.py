"""Requests to an endpoint as they go over the wire."""

from typing import Any

import pytest

from service.remote import endpoint as module
from service.remote.endpoint import Endpoint
from tests.unit.service.remote.endpoint import FakeEndpoint

BODY = b'{"inputs": [{"name": "features", "shape": [1, 30], "datatype": "FP32", "data": [0]}]}'


def test_a_request_goes_out_in_one_piece(monkeypatch: pytest.MonkeyPatch, endpoint: FakeEndpoint) -> None:
    """Head and body in two packets would wake the server twice."""
    sent: list[bytes] = []
    sendall = module._Socket.sendall

    def noted(self: Any, data: bytes) -> None:
        sent.append(data)
        sendall(self, data)

    monkeypatch.setattr(module._Socket, "sendall", noted)
    asks = Endpoint(endpoint.url)
    for _ in range(2):
        assert asks.ask("POST", "/v2/models/fraud/infer", BODY, 5.0, 100_000).status == 200
    asks.close()
    assert [each.startswith(b"POST /v2") and each.endswith(b"\r\n\r\n" + BODY) for each in sent] == [
        True,
        True,
    ]
    assert endpoint.connections == 1
