"""What gunicorn itself refuses, before the app sees it: as problem documents too, and logged without persons.

It would answer in HTML, and log the sender's address with whatever stood in the request.
"""

import json
import logging
import re
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


class NoPersons(logging.Filter):
    """Keeps what kind of fault a request had, and drops who sent it and what was in it."""

    _REFUSED = re.compile(r"Invalid request from ip=\S*: (?P<kind>[A-Za-z ]*)")

    def filter(self, record: logging.LogRecord) -> bool:
        message = record.getMessage()
        if found := self._REFUSED.match(message):
            record.msg, record.args = "a malformed request was refused: %s", (found["kind"].strip(),)
        elif message.startswith("Error handling request"):  # and then its method and address
            record.msg, record.args = "Error handling request", ()
        elif message == "Socket error processing request.":  # and then a traceback, as often as clients like
            record.msg, record.exc_info = "a client is gone, or did not take its answer in time", None
        return True
