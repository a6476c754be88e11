"""The trace that a request belongs to, and spans of it by OpenTelemetry: the one door to it.

By W3C Trace Context (https://www.w3.org/TR/trace-context/) the headers are noted, and passed on unchanged by
who makes no spans. Where some are made, the one that calls is the parent.

Spans are made where a variable of OpenTelemetry's asks for them and locks/otel.txt is installed; elsewhere
nothing is imported and nothing happens. A request is a span, and in it the evaluation of the flag and the
call of each model are spans of their own. Names and attributes are those of the semantic conventions, which
have the flag as an event (https://opentelemetry.io/docs/specs/semconv/feature-flags/feature-flags-events/):
it is a span with the same name and attributes here, so that its time is seen.
"""

import logging
import os
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

from flask import Flask, Response, g, has_request_context, request

from common.names import Model
from service.assignment.assignment import Assignment, Reason
from service.challenger.client import Failure

if TYPE_CHECKING:
    from service.models.lineup import Lineup

log = logging.getLogger(__name__)

ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
EXPORTER, ATTRIBUTES = "OTEL_TRACES_EXPORTER", "OTEL_RESOURCE_ATTRIBUTES"
SCOPE: Final = "canario"
# Asked every few seconds by who watches, and nobody's request.
NOT_TRACED: Final = ("/metrics", "/healthz", "/readyz", "/ping", "/v2/health/live", "/v2/health/ready")
CLOSE_SECONDS: Final = 2.0  # for spans that wait, when a worker ends
_PARENT = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-[\x20-\x7e]*)?"
)
_STATE = re.compile(r"[\x20-\x7e]{1,512}")  # so much everybody must be able to pass on

# feature_flag.result.reason, and error.type where that is "error"
_WHY: Final[dict[Reason, tuple[str, str | None]]] = {
    Reason.FLAG_ON: ("split", None),
    Reason.CANARY_PERCENT: ("split", None),
    Reason.FLAG_OFF: ("disabled", None),
    Reason.FLAG_WITHOUT_STRATEGY: ("default", None),
    Reason.FLAG_MISSING: ("error", "flag_not_found"),
    Reason.UNLEASH_UNKNOWN: ("error", "provider_not_ready"),
}


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


class Flag(NamedTuple):
    """What decides about users: the key of a flag, and whose it is."""

    key: str
    provider: str


Said = TypeVar("Said")
Assign = Callable[[str, Mapping[str, Any]], Assignment]
UserKey = Callable[[str], str | None]
Ask = Callable[..., Said]  # a lineup, and whatever follows


class Spans:
    """No spans. What `OtelSpans` makes of a request, in a service that nobody asked for any."""

    def watch(self, app: Flask) -> None:
        """Make a span of each request to `app`, and let its trace be that of the request."""

    def of_flag(self, assign: Assign, _user_key: UserKey, /) -> Assign:
        """`assign` with a span of each evaluation, which has the user's key in the log, if any."""
        return assign

    def of_model(self, _role: Model, ask: Ask[Said], /) -> Ask[Said]:
        """`ask` with a span of each call of the model, which has the reason where there is no answer."""
        return ask

    def close(self) -> None:
        """Send what waits, in bounded time."""


class OtelSpans(Spans):
    """Spans of one worker.

    Args:
        provider: of opentelemetry.sdk.trace; closed with this.
    """

    def __init__(self, provider: Any, flag: Flag) -> None:
        from opentelemetry import trace  # noqa: PLC0415 - an extra
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator  # noqa: PLC0415

        self._provider, self._flag, self._api = provider, flag, trace
        self._tracer = provider.get_tracer(SCOPE)
        self._propagator = TraceContextTextMapPropagator()

    def watch(self, app: Flask) -> None:
        """See `Spans.watch`."""
        app.before_request(self._begin)
        app.after_request(self._answered)
        app.teardown_request(self._end)

    def _begin(self) -> None:
        if request.path in NOT_TRACED:
            return
        told = {name: request.headers.get(name, "") for name in ("traceparent", "tracestate")}
        route = request.url_rule.rule if request.url_rule else None
        span = self._tracer.start_span(
            f"{request.method} {route}" if route else request.method,
            self._propagator.extract(told),
            kind=self._api.SpanKind.SERVER,
            attributes={
                "http.request.method": request.method,
                "url.path": request.path,
                "url.scheme": request.scheme,
                **({"http.route": route} if route else {}),
            },
        )
        g.span = span
        if span.get_span_context().trace_flags.sampled:  # nobody could look another one up
            g.trace_id = self._api.format_trace_id(span.get_span_context().trace_id)
        g.trace_headers = self._headers(span)

    def _answered(self, response: Response) -> Response:
        if span := g.get("span"):
            span.set_attribute("http.response.status_code", response.status_code)
            if response.status_code >= 500:
                self._fail(span, str(response.status_code))
        return response

    def _end(self, _error: BaseException | None) -> None:
        if span := g.pop("span", None):
            span.end()

    def of_flag(self, assign: Assign, user_key: UserKey, /) -> Assign:
        """See `Spans.of_flag`."""

        def traced(user_id: str, context: Mapping[str, Any]) -> Assignment:
            with self._child("feature_flag.evaluation") as span:
                span.set_attribute("feature_flag.key", self._flag.key)
                span.set_attribute("feature_flag.provider.name", self._flag.provider)
                found = assign(user_id, context)
                reason, error = _WHY[found.reason]
                span.set_attribute("feature_flag.result.variant", found.model.value)
                span.set_attribute("feature_flag.result.reason", reason)
                if (user := user_key(user_id)) is not None:
                    span.set_attribute("feature_flag.context.id", user)
                if error:
                    self._fail(span, error)
                return found

        return traced

    def of_model(self, role: Model, ask: Ask[Said], /) -> Ask[Said]:
        """See `Spans.of_model`."""

        def traced(lineup: "Lineup", *more: Any) -> Said:
            metadata = lineup.models.metadata[role]
            with self._child(role.value) as span:
                span.set_attribute("canario.model.name", metadata.name)
                span.set_attribute("canario.model.version", metadata.version)
                before, g.trace_headers = g.get("trace_headers"), self._headers(span)
                try:
                    said = ask(lineup, *more)
                except Exception as error:
                    self._fail(span, type(error).__name__)
                    raise
                finally:
                    g.trace_headers = before
                if isinstance(said, Failure):
                    self._fail(span, said.reason)
                return said

        return traced

    def _fail(self, span: Any, error: str) -> None:
        span.set_attribute("error.type", error)
        span.set_status(self._api.StatusCode.ERROR)

    @contextmanager
    def _child(self, name: str) -> Iterator[Any]:
        parent = g.get("span")
        span = self._tracer.start_span(name, self._api.set_span_in_context(parent) if parent else None)
        try:
            yield span
        finally:
            span.end()

    def _headers(self, span: Any) -> dict[str, str]:
        """What a request that is made in `span` passes on."""
        headers: dict[str, str] = {}
        self._propagator.inject(headers, self._api.set_span_in_context(span))
        return headers

    def close(self) -> None:
        """See `Spans.close`."""
        ending = threading.Thread(target=self._provider.shutdown, daemon=True)
        ending.start()
        ending.join(CLOSE_SECONDS)  # the SDK would wait for half a minute


def open_spans(flag: Flag, environment: Mapping[str, str] = os.environ) -> Spans:
    """What makes spans in this worker, by the variables of OpenTelemetry. Call it after the fork."""
    exporter = environment.get(EXPORTER, "").strip() or "otlp"
    asked = EXPORTER in environment or any(environment.get(name) for name in ENDPOINTS)
    if not asked or exporter == "none" or environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return Spans()
    try:
        from opentelemetry.sdk.resources import Resource  # noqa: PLC0415 - an extra
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
        from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter  # noqa: PLC0415

        if exporter == "otlp":
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415

            sends: Any = OTLPSpanExporter()
        elif exporter == "console":
            sends = ConsoleSpanExporter()
        else:
            log.warning("no spans are made: %s=%s is none of otlp, console and none", EXPORTER, exporter)
            return Spans()
        named = environment.get("OTEL_SERVICE_NAME") or "service.name=" in environment.get(ATTRIBUTES, "")
        resource = Resource.create({} if named else {"service.name": SCOPE})
        provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        provider.add_span_processor(BatchSpanProcessor(sends))
    except ImportError as error:
        log.warning(
            "no spans are made, though OTEL_... asks for them: %s; pip install -r locks/otel.txt", error
        )
        return Spans()
    except ValueError as error:  # a variable that does not fit
        log.warning("no spans are made: %s", error)
        return Spans()
    return OtelSpans(provider, flag)
