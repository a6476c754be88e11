"""Clients that are slow, or send half a request: they wait by themselves, and nobody waits for them."""

import json
import re
import selectors
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any
from unittest.mock import Mock

import pytest
from gunicorn.config import Config

from service.workers.whole_requests import (
    HEAD_BYTES,
    REQUEST_SECONDS,
    Connection,
    WholeRequests,
    answer_in_problems,
)
from tests.unit.service.raw_http import Address, answer, is_up, say

HEAD = b"POST /predict HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\n"
WITH_BODY = HEAD + b"Content-Length: 2\r\n\r\n{}"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
SLOW = [
    b"",
    b"P",
    HEAD,
    HEAD + b"Content-Length: 900\r\n\r\n",
    HEAD + b"Content-Length: 900\r\n\r\n{",
    CHUNKED,
    CHUNKED + b"10\r\n{",
    CHUNKED + b"4\r\n\r\n\r\n\r\n",
    CHUNKED + b"5\r\n0\r\n\r\n\r\n",
    CHUNKED + b"0000000010\r\n{",
    b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\nGET /healthz HTTP/1.1\r\nHost:",
]


@pytest.mark.parametrize("start", SLOW)
def test_others_are_answered_while_many_send_half_a_request(address: Address, start: bytes) -> None:
    with ExitStack() as open_ones:
        for _ in range(32):
            slow = open_ones.enter_context(socket.create_connection(address, 5))
            slow.sendall(start)
        time.sleep(0.1)  # the server takes them in: nothing tells when it has
        assert is_up(address)
    assert is_up(address)


def test_others_are_answered_while_many_do_not_hang_up(address: Address) -> None:
    began = time.monotonic()
    with ExitStack() as open_ones:
        for _ in range(8):
            done = open_ones.enter_context(socket.create_connection(address, 5))
            done.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            assert done.recv(4096).startswith(b"HTTP/1.1 200")
        assert is_up(address)
        assert time.monotonic() - began < 8  # gunicorn waits 2 s for each of the eight


@pytest.mark.parametrize("piece", [1, 7, 1000])
@pytest.mark.parametrize(
    "data",
    [
        WITH_BODY,
        CHUNKED + b"1\r\n{\r\n1;name=value\r\n}\r\n0\r\n\r\n",
        CHUNKED + b"02\r\n{}\r\n0\r\nA: x\r\n\r\n",
    ],
)
def test_a_request_in_pieces_is_answered(address: Address, data: bytes, piece: int) -> None:
    with socket.create_connection(address, 5) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for at in range(0, len(data), piece):
            connection.sendall(data[at : at + piece])
        status, _, body = answer(connection)
    assert status == 422
    assert {each["field"] for each in json.loads(body)["errors"]} == {"user_id"}


def test_requests_sent_at_once_on_one_connection_are_answered_in_order(address: Address) -> None:
    keep = WITH_BODY.replace(b"Connection: close\r\n", b"")
    with socket.create_connection(address, 5) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n" + keep + keep[:40])
        time.sleep(0.1)  # the server reads the first part alone: nothing tells when it has
        connection.sendall(keep[40:] + b"GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        read = b""
        while part := connection.recv(65_536):
            read += part
    assert re.findall(rb"HTTP/1.1 (\d+)", read) == [b"200", b"422", b"422", b"200"]


def test_who_asks_whether_to_send_the_body_is_told_so(address: Address) -> None:
    with socket.create_connection(address, 5) as connection:
        connection.sendall(HEAD + b"Expect: 100-continue\r\nContent-Length: 2\r\n\r\n")
        assert connection.recv(4096).startswith(b"HTTP/1.1 100 Continue\r\n")
        connection.sendall(b"{}")
        read = b""
        while part := connection.recv(65_536):
            read += part
    assert b"HTTP/1.1 422 " in read


def test_a_body_that_ends_early_is_answered(address: Address) -> None:
    with socket.create_connection(address, 5) as connection:
        connection.sendall(HEAD + b"Content-Length: 9\r\n\r\n{")
        connection.shutdown(socket.SHUT_WR)
        assert answer(connection)[0] == 400


@pytest.mark.parametrize("header", [b"SCRIPT_NAME: /x", b"PATH_INFO: /admin/canary", b"Script-Name: /x"])
def test_no_header_says_which_route_is_meant(address: Address, header: bytes) -> None:
    """A proxy on this host is no reason to believe what a stranger sends through it."""
    request = b"GET /x/admin/canary HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" + header + b"\r\n\r\n"
    assert say(address, request)[0] == 404


@pytest.fixture
def worker() -> Iterator[WholeRequests]:
    answer_in_problems()
    made = WholeRequests(0, 0, [], Mock(), 30, Config(), Mock())
    made.poller, made.tpool = selectors.DefaultSelector(), Mock()
    yield made
    made.poller.close()
    made.tmp.close()


@pytest.fixture
def client(worker: WholeRequests) -> Iterator[socket.socket]:
    """A client of `worker` that has just connected."""
    ours, theirs = socket.socketpair()
    ours.settimeout(5)
    listener = Mock(accept=lambda: (theirs, ("10.0.0.1", 4711)), getsockname=lambda: ("10.0.0.2", 80))
    worker.accept(listener)
    yield ours
    ours.close()
    theirs.close()


def spin(worker: WholeRequests) -> None:
    worker.wait_for_and_dispatch_events(0)


def time_is_up(worker: WholeRequests) -> None:
    for conn in worker.pending_conns:
        assert 0 < conn.timeout - time.monotonic() <= REQUEST_SECONDS
        conn.timeout = 0
    worker.murder_pending()


def test_half_a_request_ends_with_a_problem(worker: WholeRequests, client: socket.socket) -> None:
    client.sendall(HEAD)
    spin(worker)
    time_is_up(worker)
    status, kind, body = answer(client)
    assert (status, kind) == (408, "application/problem+json")
    assert json.loads(body)["detail"] == "No whole request in 10 s."
    client.close()
    spin(worker)
    assert worker.nr_conns == 0


def test_sending_on_gives_no_more_time(worker: WholeRequests, client: socket.socket) -> None:
    (conn,) = worker.pending_conns
    ends = conn.timeout
    client.sendall(HEAD)
    spin(worker)
    assert worker.pending_conns == {conn}
    assert conn.timeout == ends


def test_a_silent_connection_is_closed(worker: WholeRequests, client: socket.socket) -> None:
    time_is_up(worker)
    assert client.recv(100) == b""
    assert worker.nr_conns == 0


def test_a_head_without_an_end_is_refused(worker: WholeRequests, client: socket.socket) -> None:
    client.sendall(HEAD + b"A: " + b"x" * HEAD_BYTES)
    while worker.pending_conns:
        spin(worker)
    assert answer(client)[0] == 431


def test_who_does_not_hang_up_is_hung_up_on(worker: WholeRequests, client: socket.socket) -> None:
    (conn,) = worker.pending_conns
    time_is_up(worker)
    conn.sock, other = socket.socketpair()
    conn.close(graceful=True)
    assert worker.nr_conns == 1
    conn.timeout = 0
    worker.murder_pending()
    assert worker.nr_conns == 0
    other.close()


def test_a_thread_does_not_wait_for_ever(worker: WholeRequests, client: socket.socket) -> None:
    """Neither for more than was guessed, nor for a client that does not read its answer."""
    (conn,) = worker.pending_conns
    client.sendall(WITH_BODY)
    spin(worker)
    conn.init()
    assert conn.sock.gettimeout() == REQUEST_SECONDS
    assert conn.parser.unreader.take_buffered() == WITH_BODY


def connection(data: bytes, **changes: Any) -> Connection:
    made = Connection(Config(), Mock(), ("", 0), ("", 0), largest_body=65_536, linger=Mock())
    made.begin()
    made.received += data
    return made


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        WITH_BODY,
        HEAD + b"CONTENT-LENGTH:\t12  \r\n\r\n0123456789\r\n",
        CHUNKED + b"2\r\n{}\r\n0\r\n\r\n",
        CHUNKED + b"0000000002 ;a=b\r\n{}\r\nA\r\n0\r\n\r\n\r\n567\r\n0\r\nA: b\r\n\r\n",
    ],
)
def test_a_request_is_whole_with_its_last_byte(data: bytes) -> None:
    assert not any(connection(data[:cut]).is_whole() for cut in range(len(data)))
    assert connection(data).is_whole()
    slowly = connection(b"")
    for byte in data:
        assert not slowly.is_whole()
        slowly.received.append(byte)
    assert slowly.is_whole()


@pytest.mark.parametrize(
    "data",
    [
        HEAD + b"Content-Length: 65537\r\n\r\n",
        HEAD + b"Content-Length: -1\r\n\r\n",
        HEAD + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n",
        CHUNKED + b"-5\r\n{}\r\n",
        CHUNKED + b"5_0\r\n{}\r\n",
        CHUNKED + b"\r\n",
        CHUNKED + b"1\r\nx\r\n" * 30_000,
        CHUNKED + b"fffffff\r\n" + b"x" * 131_100,
    ],
)
def test_what_is_refused_anyhow_does_not_wait(data: bytes) -> None:
    assert connection(data).is_whole()
