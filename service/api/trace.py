"""The trace that a request belongs to, by W3C Trace Context: noted, and passed on as it came.

This service makes no spans of its own, and who makes none passes the headers on unchanged
(https://www.w3.org/TR/trace-context/).
"""

import re
from collections.abc import Mapping
from typing import Any

from flask import has_request_context, request

_PARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-.*)?")
_STATE = re.compile(r"[\x20-\x7e]{1,512}")  # so much everybody must be able to pass on


def trace_id(environ: Mapping[str, Any]) -> str | None:
    """The id of the trace, 32 hexadecimal digits; None where the request names none, or a malformed one."""
    told = environ.get("HTTP_TRACEPARENT")
    found = _PARENT.fullmatch(told) if told else None
    return found[1] if found else None


def passed_on() -> dict[str, str]:
    """The headers for a request that is made for the one of this thread, if there is any."""
    if not has_request_context() or trace_id(request.environ) is None:
        return {}
    headers = {"traceparent": request.environ["HTTP_TRACEPARENT"]}
    state = request.environ.get("HTTP_TRACESTATE", "")
    if _STATE.fullmatch(state):
        headers["tracestate"] = state
    return headers
