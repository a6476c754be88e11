"""What gunicorn itself refuses, before the app sees it, as problem documents too: it would answer in HTML."""

import json
import socket
import uuid

import gunicorn.util

from service.problems import CONTENT_TYPE


def answer_in_problems() -> None:
    """Make gunicorn's workers answer malformed HTTP with problem documents."""
    gunicorn.util.write_error = _write_problem


def _write_problem(sock: socket.socket, status: int, reason: str, message: str) -> None:
    problem = {
        "type": "about:blank",
        "title": reason,
        "status": status,
        "detail": message or reason,
        "request_id": uuid.uuid4().hex,
        "errors": [],
    }
    body = json.dumps(problem).encode()
    head = (
        f"HTTP/1.1 {status} {reason}\r\nConnection: close\r\nContent-Type: {CONTENT_TYPE}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    gunicorn.util.write_nonblock(sock, head.encode("latin-1") + body)
