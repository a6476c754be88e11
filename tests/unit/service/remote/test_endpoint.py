"""Requests to an endpoint as they go over the wire."""

import json
from typing import Any

import numpy as np
import pytest

from service.models.artifact import Metadata
from service.remote import endpoint as module
from service.remote.description import Remote
from service.remote.endpoint import AnswerError, Endpoint
from service.remote.tensors import request_of
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


LENGTH = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n"


@pytest.mark.parametrize(
    ("raw", "mode", "connections"),
    [
        (LENGTH + b"\r\nbody", "raw", 1),
        (b"HTTP/1.1 200\r\nserver: x\r\ncontent-length:4 \r\n\r\nbody", "raw", 1),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: Chunked\r\n\r\n2\r\nbo\r\n2\r\ndy\r\n0\r\n\r\n", "raw", 1),
        (b"HTTP/1.1 100 Continue\r\nX: y\r\n\r\n" + LENGTH + b"\r\nbody", "raw", 1),
        (b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 4\r\n\r\nbody", "raw", 1),
        (LENGTH + b"Connection: Close\r\n\r\nbody", "raw", 2),
        (b"HTTP/1.0 200 OK\r\n\r\nbody", "raw and end", 2),
        (LENGTH.replace(b"1.1", b"1.0") + b"\r\nbody", "raw", 2),
    ],
)
def test_answers_are_read_and_connections_kept_as_http_has_it(
    endpoint: FakeEndpoint, raw: bytes, mode: str, connections: int
) -> None:
    endpoint.mode, endpoint.raw = mode, raw
    asks = Endpoint(endpoint.url)
    for _ in range(2):
        assert asks.ask("POST", "/v2/models/fraud/infer", BODY, 5.0, 100_000) == (200, b"body")
    asks.close()
    assert endpoint.connections == connections


@pytest.mark.parametrize(
    ("raw", "error", "told"),
    [
        (b"SSH-2.0-OpenSSH\r\n\r\n", AnswerError, "no HTTP: BadStatusLine"),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 20_000, AnswerError, "no HTTP: LineTooLong"),
        (b"HTTP/1.1 200 OK\r\nContent-Le", ConnectionError, "in the middle of its answer"),
        (LENGTH + b"\r\nbo", ConnectionError, "in the middle of its answer"),
    ],
)
def test_what_is_no_answer_is_told(
    endpoint: FakeEndpoint, raw: bytes, error: type[Exception], told: str
) -> None:
    endpoint.mode, endpoint.raw = "raw and end", raw
    asks = Endpoint(endpoint.url)
    with pytest.raises(error, match=told):
        asks.ask("POST", "/v2/models/fraud/infer", BODY, 5.0, 100_000)
    asks.close()


def test_numbers_of_32_bits_have_the_digits_that_they_need() -> None:
    metadata = Metadata.model_validate(
        {
            **{"format": 2, "name": "m", "version": "1", "task": "regression", "tolerance": {}},
            "features": [{"name": name, "type": "number", "example": 1.5} for name in "ab"],
            "sha256": "0" * 64,
        }
    )
    row = np.array([[17.99, 0.1]], dtype=np.float32)
    for whole, data in (("x", [[17.99, 0.1]]), (None, [[17.99], [0.1]])):
        remote = Remote(url="http://h", model="m", value="y", input=whole)
        assert [each["data"] for each in json.loads(request_of(row, metadata, remote))["inputs"]] == data
