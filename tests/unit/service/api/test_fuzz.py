"""The API, fuzzed from its own OpenAPI document: what it says is true, and nothing makes it fail."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import schemathesis
from pydantic import SecretStr
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import from_schema
from schemathesis.engine.events import FatalError, NonFatalError, ScenarioFinished
from schemathesis.schemas import BaseSchema
from werkzeug.serving import WSGIRequestHandler, make_server

from common.names import Model
from service.app import close, create_app
from service.export import export
from service.settings import Settings
from tests.thorough import part
from tests.unit.flags.fake_unleash import FakeUnleash, gradual
from tests.unit.flags.server import serving
from tests.unit.service import own_models
from tests.unit.service.conftest import TOKEN

BEARER = "a-token-of-this-test"
CONFIG = {
    "seed": 1,
    "auth": {"openapi": {"admin": {"bearer": BEARER}}},
    "generation": {"deterministic": True, "max-examples": part(40), "no-shrink": True, "database": "none"},
    "phases": {"stateful": {"enabled": False}},  # no operation makes what another one takes
}
# Sizes that must fit each other, and rows of the model, are more than the schemas of these protocols say.
OF_PROTOCOLS = {
    "operations": [
        {"include-path": path, "checks": {"positive_data_acceptance": {"enabled": False}}}
        for path in (
            "/v2/models/{name}",
            "/v2/models/{name}/ready",
            "/v2/models/{name}/infer",
            "/invocations",
        )
    ]
}
# What an answer of depends on the model; the others are asked beside one kind of model only.
OF_MODELS = {"POST /predict", "GET /readyz", "GET /admin/models"}
OPERATIONS = {
    "POST /predict",
    "GET /v2",
    "GET /v2/health/live",
    "GET /v2/health/ready",
    "GET /v2/models/{name}",
    "GET /v2/models/{name}/ready",
    "POST /v2/models/{name}/infer",
    "POST /invocations",
    "GET /ping",
    "POST /feedback",
    "GET /healthz",
    "GET /readyz",
    "GET /admin/canary",
    "PUT /admin/canary",
    "POST /admin/canary",
    "GET /admin/models",
    "GET /admin/shadow",
    "PUT /admin/shadow",
    "POST /admin/shadow",
    "GET /admin/rollout",
}


class _Quiet(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"

    def log(self, *_: Any) -> None:
        pass


def _model(kind: str, models: dict[Model, Path], folder: Path) -> Path:
    if kind == "numbers":
        return models[Model.CHAMPION]
    pipeline, rows = own_models.churn() if kind == "strings" else own_models.diabetes()
    return export(pipeline, folder / kind, name=kind, version="1", rows=rows).folder


@pytest.fixture(params=["numbers", "strings", "value"])
def schema(
    request: pytest.FixtureRequest,
    models: dict[Model, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[BaseSchema]:
    """The document of an app that has such a model, with an Unleash behind the admin routes."""
    monkeypatch.setattr("service.api.access.WRONG_TOKENS_PER_MINUTE", 100_000)
    with serving() as server:
        unleash = FakeUnleash(server)
        unleash.add("canary", gradual(5))
        unleash.add("shadow", gradual(5))
        settings = {
            "champion": _model(request.param, models, tmp_path),
            "unleash_url": unleash.url,
            "unleash_sdk_token": TOKEN,
            "state_dir": tmp_path / "state",
            "admin_token": SecretStr(BEARER),
            "unleash_admin_token": SecretStr("user:flags"),
            "admin_calls_per_minute": 100_000,
            "threads": 64,  # an answer that was read keeps its place for a moment
        }
        app = create_app(Settings.model_validate(settings))
        config = SchemathesisConfig.from_dict(CONFIG | OF_PROTOCOLS if request.param == "numbers" else CONFIG)
        # A socket, because schemathesis 4.32 cannot run its check of tokens on a WSGI app.
        web = make_server("127.0.0.1", 0, app, threaded=True, request_handler=_Quiet)
        thread = Thread(target=web.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        document = schemathesis.openapi.from_url(
            f"http://127.0.0.1:{web.port}/docs/openapi.json", config=config
        )
        yield document if request.param == "numbers" else document.include(name=sorted(OF_MODELS))
        web.shutdown()
        thread.join()
        web.server_close()
        close(app)


def test_whatever_is_sent_the_document_tells_the_answer(
    schema: BaseSchema, request: pytest.FixtureRequest
) -> None:
    """All of schemathesis' checks.

    No 5xx; statuses, headers, content types and bodies as documented; what the schema allows is accepted,
    what it does not is refused; other methods are refused; tokens are needed.
    """
    failures: dict[str, str] = {}
    answers: Counter[tuple[str, int]] = Counter()
    for event in from_schema(schema).execute():
        if isinstance(event, FatalError):
            raise event.exception
        if isinstance(event, NonFatalError):
            raise event.value
        if isinstance(event, ScenarioFinished):
            recorder = event.recorder
            for interaction in recorder.interactions.values():
                assert interaction.response is not None
                answers[recorder.label, interaction.response.status_code] += 1
            for checks in recorder.checks.values():
                for check in checks:
                    if check.failure_info is not None:
                        failures[f"{recorder.label}: {check.name}"] = (
                            f"{check.failure_info.failure}\n{check.failure_info.code_sample}"
                        )
    asked = OPERATIONS if request.node.callspec.params["schema"] == "numbers" else OF_MODELS
    assert not failures, "\n\n".join(f"{what}\n{how}" for what, how in failures.items())
    assert {operation for operation, status in answers if status in (200, 202)} == asked
    assert answers["POST /predict", 200] >= part(20)
    assert answers["POST /predict", 422] >= part(20)
    assert not [status for _, status in answers if status >= 500]
