"""The trace that a request belongs to, by W3C Trace Context: noted, and passed on as it came.

Who makes no spans passes the headers on unchanged (https://www.w3.org/TR/trace-context/). Where service.spans
makes some, the one that calls is the parent.
"""

import re
from collections.abc import Mapping
from typing import Any

from flask import g, has_request_context, request

_PARENT = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-[\x20-\x7e]*)?"
)
_STATE = re.compile(r"[\x20-\x7e]{1,512}")  # so much everybody must be able to pass on


def trace_id(environ: Mapping[str, Any]) -> str | None:
    """The id of the trace, 32 hexadecimal digits; None where the request names none, or a malformed one."""
    told = environ.get("HTTP_TRACEPARENT")
    found = _PARENT.fullmatch(told) if told else None
    return found[1] if found else None


def passed_on() -> dict[str, str]:
    """The headers for a request that is made for the one of this thread, if there is any."""
    if not has_request_context():
        return {}
    if of_span := g.get("trace_headers"):
        return dict(of_span)
    if trace_id(request.environ) is None:
        return {}
    headers = {"traceparent": request.environ["HTTP_TRACEPARENT"]}
    state = request.environ.get("HTTP_TRACESTATE", "")
    if _STATE.fullmatch(state):
        headers["tracestate"] = state
    return headers
