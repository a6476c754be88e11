"""The API, fuzzed from its own OpenAPI document: what it says is true, and nothing makes it fail."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from flask import Flask
from hypothesis import HealthCheck, settings
from pydantic import SecretStr

from common.names import Model
from service.app import close, create_app
from service.export import export
from service.settings import Settings
from tests.unit.flags.server import serving
from tests.unit.flags.unleash import FakeUnleash, gradual
from tests.unit.service import own_models
from tests.unit.service.conftest import NOBODY, TOKEN

BEARER = "a-token-of-this-test"
BOUNDED = settings(
    max_examples=60, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)


@pytest.fixture(scope="module", params=["numbers", "strings", "value"])
def api(
    request: pytest.FixtureRequest, models: dict[Model, Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Any]:
    folder = tmp_path_factory.mktemp("fuzz")
    with serving() as server:
        unleash = FakeUnleash(server)
        unleash.add("canary", gradual(5))
        app = create_app(
            Settings.model_validate(
                {
                    "champion": _model(request.param, models, folder),
                    "unleash_url": NOBODY,
                    "unleash_sdk_token": TOKEN,
                    "state_dir": folder / "state",
                    "admin_token": SecretStr(BEARER),
                    "unleash_admin_token": SecretStr("user:flags"),
                    "admin_calls_per_minute": 100_000,
                }
            )
        )
        object.__setattr__(app.extensions["canario"].admin, "_url", unleash.url)
        yield schemathesis.openapi.from_wsgi("/docs/openapi.json", app)
        close(app)


schema = schemathesis.pytest.from_fixture("api")


@schema.parametrize()
@BOUNDED
def test_whatever_is_sent_the_document_tells_the_answer(case: Any) -> None:
    if case.path.startswith("/admin"):
        case.headers = {**(case.headers or {}), "Authorization": f"Bearer {BEARER}"}
    case.call_and_validate()


def _model(kind: str, models: dict[Model, Path], folder: Path) -> Path:
    if kind == "numbers":
        return models[Model.CHAMPION]
    pipeline, rows = own_models.churn() if kind == "strings" else own_models.diabetes()
    return export(pipeline, folder / kind, name=kind, version="1", rows=rows).folder
