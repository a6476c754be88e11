"""A service whose spans are looked at, in a venv of its own: `traced_service.py CHAMPION CHALLENGER FOLDER`.

Prints a JSON document: of each request the answer, the spans that it made and what it passed on.
"""

import json
import os
import sys
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

from flask.testing import FlaskClient
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from service import parts
from service.app import close, create_app
from service.assignment.sdk import FlagCache
from service.challenger.client import Failure
from service.settings import Settings
from service.spans import Flag, OtelSpans, passed_on

champion, challenger, folder = map(Path, sys.argv[1:4])
NOBODY, TOKEN = "http://127.0.0.1:9", "default:production.test"
PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
UNSAMPLED = "00-1af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"
ROW = [0.5] * 30
BODY = {"user_id": "ada", "features": ROW}


def settings(name: str, share: int) -> Settings:
    """Of a service that gives `share` percent the challenger."""
    made = Settings.model_validate(
        {
            "champion": champion,
            "challenger": challenger,
            "unleash_url": NOBODY,
            "unleash_sdk_token": TOKEN,
            "state_dir": folder / name,
            "guest_deadline_seconds": 5,
            "log_flush_seconds": 0.01,
            "log_users": "plain",
        }
    )
    parameters = {"groupId": "canary", "rollout": str(share), "stickiness": "userId"}
    strategy = {"name": "flexibleRollout", "constraints": [], "parameters": parameters, "variants": []}
    flag = {"name": "canary", "type": "release", "project": "default", "enabled": True}
    cache = FlagCache(made.state_dir, NOBODY, TOKEN, lambda _: None)
    cache.path.parent.mkdir(parents=True, exist_ok=True)
    state = {"version": 2, "features": [flag | {"strategies": [strategy], "variants": []}]}
    cache.path.write_text(json.dumps(state), encoding="utf-8")
    return made


def span_of(span: Any) -> dict[str, Any]:
    """A span, as far as the test looks."""
    return {
        "name": span.name,
        "kind": span.kind.name,
        "trace": f"{span.context.trace_id:032x}",
        "id": f"{span.context.span_id:016x}",
        "parent": f"{span.parent.span_id:016x}" if span.parent else None,
        "status": span.status.status_code.name,
        "attributes": dict(span.attributes),
    }


def in_memory() -> dict[str, Any]:
    """Requests of several kinds, and their spans."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    parts.open_spans = partial(OtelSpans, provider)  # type: ignore[attr-defined]
    app = create_app(settings("memory", 100))
    client = app.test_client()
    made: parts.Parts = app.extensions["canario"]
    lineup = made.reloader.lineup
    assert lineup.challenger
    ask, passed = lineup.challenger.ask, []

    def asked(*args: Any) -> Any:
        passed.append(passed_on())
        return ask(*args)

    lineup.challenger.ask = asked  # type: ignore[method-assign, assignment]

    def look(answer: Any) -> dict[str, Any]:
        spans = [span_of(each) for each in exporter.get_finished_spans()]
        exporter.clear()
        found = {
            "answer": answer.get_json(silent=True),
            "spans": spans,
            "passed": passed[-1] if passed else None,
        }
        passed.clear()
        return found

    def post(**headers: str) -> dict[str, Any]:
        return look(client.post("/predict", json=BODY, headers=headers))

    said = {
        "child": post(traceparent=PARENT, tracestate="vendor=1"),
        "root": post(),
        "unsampled": post(traceparent=UNSAMPLED),
        "malformed": post(traceparent="x"),
    }
    lineup.challenger.ask = lambda *_: Failure("timeout")  # type: ignore[method-assign]
    said["failing"] = post()
    said["by a proxy"] = look(client.get("/assign", headers={"x-user-id": "ada"}))
    said["not found"] = look(client.get("/nowhere"))
    said["health"] = look(client.get("/healthz"))
    close(app)
    (log,) = (folder / "memory" / "log").glob("*.jsonl")
    said["log"] = {"traces": [json.loads(line).get("trace_id") for line in log.read_bytes().splitlines()]}
    return said


def by_variables() -> dict[str, Any]:
    """What a collector gets of a service that knows it by OTEL_EXPORTER_OTLP_ENDPOINT alone."""
    got: list[tuple[str, bytes]] = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append((self.path, self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Collector)
    Thread(target=server.serve_forever, daemon=True).start()
    os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"] = f"http://127.0.0.1:{server.server_port}"
    os.environ["OTEL_EXPORTER_OTLP_COMPRESSION"] = "none"
    app = create_app(settings("variables", 0))
    client: FlaskClient = app.test_client()
    client.post("/predict", json=BODY)
    close(app)
    names, services = [], set()
    for _, body in got:
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            services |= {
                each.value.string_value for each in resource.resource.attributes if each.key == "service.name"
            }
            names += [span.name for scope in resource.scope_spans for span in scope.spans]
    server.shutdown()
    return {"paths": sorted({path for path, _ in got}), "names": names, "services": sorted(services)}


def variants() -> dict[str, str]:
    """Which kind of spans each set of variables makes."""
    endpoint = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}
    cases = {
        "nothing": {},
        "empty": {"OTEL_EXPORTER_OTLP_ENDPOINT": ""},
        "endpoint": endpoint,
        "exporter": {"OTEL_TRACES_EXPORTER": "otlp"},
        "none": endpoint | {"OTEL_TRACES_EXPORTER": "none"},
        "disabled": endpoint | {"OTEL_SDK_DISABLED": "TRUE"},
        "unknown": {"OTEL_TRACES_EXPORTER": "zipkin"},
        "console": {"OTEL_TRACES_EXPORTER": "console"},
    }
    from service.spans import open_spans  # noqa: PLC0415 - the other is replaced

    return {name: type(open_spans(Flag("canary", "unleash"), each)).__name__ for name, each in cases.items()}


if __name__ == "__main__":
    kinds, really = variants(), by_variables()
    print(json.dumps({"variants": kinds, "variables": really, **in_memory()}))
