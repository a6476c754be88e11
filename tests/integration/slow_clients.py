"""Clients that send a byte now and then: half of them of a head, half of a body."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

_HEAD = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
_BEGINNINGS = (_HEAD, _HEAD + b"Content-Length: 900\r\n\r\n")


@contextmanager
def slow_clients(url: str, count: int) -> Iterator[None]:
    """`count` of them until the block ends; one that is hung up on comes again at once."""
    where, stop = urlsplit(url), threading.Event()
    address = (str(where.hostname), int(where.port or 80))
    clients = [
        threading.Thread(target=_drip, args=(address, _BEGINNINGS[number % 2], stop))
        for number in range(count)
    ]
    for client in clients:
        client.start()
    try:
        yield
    finally:
        stop.set()
        for client in clients:
            client.join(30)


def _drip(address: tuple[str, int], beginning: bytes, stop: threading.Event) -> None:
    while not stop.is_set():
        try:
            with socket.create_connection(address, 5) as connection:
                connection.sendall(beginning)
                while not stop.wait(1.0):
                    connection.sendall(b"x")
        except OSError:
            stop.wait(0.1)
