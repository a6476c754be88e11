"""Bytes to a server and what it answers, for what no client library would send."""

import socket

Address = tuple[str, int]
GET = b"GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


def say(address: Address, data: bytes) -> tuple[int, str, bytes]:
    """Status, content type and body of the answer."""
    with socket.create_connection(address, 5) as connection:
        connection.sendall(data)
        return answer(connection)


def answer(connection: socket.socket) -> tuple[int, str, bytes]:
    """All that comes until the server hangs up: status, content type and body."""
    read = b""
    while part := connection.recv(65_536):
        read += part
    head, _, body = read.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    kind = next(line.partition(":")[2].strip() for line in lines if line.lower().startswith("content-type"))
    return int(lines[0].split()[1]), kind, body


def is_up(address: Address) -> bool:
    """Whether the service answers."""
    try:
        return say(address, GET)[0] == 200
    except OSError:
        return False
