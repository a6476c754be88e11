"""Malformed HTTP, sent to a real gunicorn: refused with a problem document, and the service goes on."""

import http.client
import json
import logging
from pathlib import Path

import pytest

from service.workers.whole_requests import NoPersons
from tests.unit.service.raw_http import is_up, say

POST = b"POST /predict HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (CHUNKED + (b"10000\r\n" + b" " * 65_536 + b"\r\n") * 2 + b"0\r\n\r\n", 413),
        (CHUNKED + b"2\r\n{}\r\n0\r\n\r\n", 422),
        (CHUNKED + b"zz\r\n{}\r\n", 400),
        (POST + b"Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n{}", 400),
        (POST + b"Content-Length: -1\r\n\r\n", 400),
        (POST + b"Content-Length: many\r\n\r\n", 400),
        (POST + b"Content-Length: 999999999999\r\n\r\n", 413),
        (b"GET /readyz HTTP/1.1\r\nHost: x\r\nBad Header\r\n\r\n", 400),
        (b"GET /readyz HTTP/1.1\r\nHost: x\r\nA: " + b"x" * 20_000 + b"\r\n\r\n", 431),
        (b"GET /" + b"x" * 9_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 414),
        (b"BREW /predict HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 405),
        (b"GET /admin/canary HTTP/1.1\r\nConnection: close\r\nAuthorization: \xff\xfe\r\n\r\n", 403),
        (b"nonsense\r\n\r\n", 400),
    ],
)
def test_it_is_refused_with_a_problem(address: tuple[str, int], data: bytes, status: int) -> None:
    found, kind, body = say(address, data)
    assert (found, kind) == (status, "application/problem+json")
    assert json.loads(body)["status"] == status
    assert is_up(address)


@pytest.mark.parametrize("size", [65_537, 200_000])
def test_after_a_body_that_is_too_large_the_client_knows_that_its_connection_ends(
    address: tuple[str, int], size: int
) -> None:
    connection = http.client.HTTPConnection(*address, timeout=5)
    headers = {"Content-Type": "application/json"}
    connection.request("POST", "/predict", b" " * size, headers)
    refused = connection.getresponse()
    assert (refused.status, refused.getheader("Connection")) == (413, "close")
    refused.read()
    connection.request("POST", "/predict", b" " * 60_000, headers)  # on a new connection, by itself
    again = connection.getresponse()
    assert (again.status, again.getheader("Connection")) == (400, "keep-alive")
    again.read()
    connection.close()


ALICE = b"alice@example.com"
NAMING_ALICE = [
    ALICE + b"\r\n\r\n",
    b"GET /" + ALICE + b"\x80 HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET / HTTP/1.1\r\n" + ALICE + b"\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\nAuthorization : Bearer " + ALICE + b"\r\n\r\n",
    b"GET / " + ALICE + b"\r\n\r\n",
    b"GET /" + ALICE + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
]


def test_the_log_has_json_lines_and_no_person(address: tuple[str, int], service_log: Path) -> None:
    for data in NAMING_ALICE:
        assert say(address, data)[0] in {400, 404}
    lines = [json.loads(line) for line in service_log.read_text(encoding="utf-8").splitlines()]
    refused = [each["message"] for each in lines if "malformed request" in each["message"]]
    assert len(refused) >= len(NAMING_ALICE) - 1
    assert "a malformed request was refused: Invalid HTTP Header" in refused
    assert not any("127.0.0.1" in message for message in refused)
    assert ALICE.decode() not in service_log.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("Invalid request from ip=10.0.0.1: Invalid HTTP Header: 'ALICE'", "Invalid HTTP Header"),
        ("Invalid request from ip=::1: 'Forbidden'", ""),
        ("Invalid request from ip=: limit request line", "limit request line"),
    ],
)
def test_a_refusal_is_logged_by_its_kind(text: str, kept: str) -> None:
    record = logging.makeLogRecord({"msg": text})
    assert NoPersons().filter(record)
    assert record.getMessage() == f"a malformed request was refused: {kept}"


def test_a_failure_is_logged_without_its_address() -> None:
    told = {"msg": "Error handling request %s %s", "args": ("GET", "/?user=alice")}
    record = logging.makeLogRecord(told)
    assert NoPersons().filter(record)
    assert record.getMessage() == "Error handling request"


def test_a_client_that_is_gone_is_logged_without_a_traceback() -> None:
    record = logging.makeLogRecord(
        {"msg": "Socket error processing request.", "exc_info": (TimeoutError, TimeoutError(), None)}
    )
    assert NoPersons().filter(record)
    assert record.exc_info is None
    assert "in time" in record.getMessage()
