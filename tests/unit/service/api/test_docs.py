"""The OpenAPI document and its page, and health."""

import re
from collections.abc import Callable

import pytest
from flask.testing import FlaskClient

from tests.unit.service.conftest import flag, rollout

Start = Callable[..., FlaskClient]


def test_every_route_is_documented_with_its_problems(start: Start) -> None:
    document = start().get("/openapi.json", follow_redirects=True).get_json()
    assert document["openapi"].startswith("3.1")
    operations = {
        (path, method): operation
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }
    assert set(operations) == {
        ("/predict", "post"),
        ("/v2", "get"),
        ("/v2/health/live", "get"),
        ("/v2/health/ready", "get"),
        ("/v2/models/{name}", "get"),
        ("/v2/models/{name}/ready", "get"),
        ("/v2/models/{name}/infer", "post"),
        ("/invocations", "post"),
        ("/ping", "get"),
        ("/feedback", "post"),
        ("/healthz", "get"),
        ("/readyz", "get"),
        ("/admin/canary", "get"),
        ("/admin/canary", "put"),
        ("/admin/canary", "post"),
        ("/admin/shadow", "get"),
        ("/admin/shadow", "put"),
        ("/admin/shadow", "post"),
        ("/admin/models", "get"),
        ("/admin/rollout", "get"),
    }
    for (path, _), operation in operations.items():
        for status, response in operation["responses"].items():
            kind = "application/json" if status.startswith("2") else "application/problem+json"
            assert kind in response["content"], (path, status)
    assert operations["/admin/canary", "put"]["security"] == [{"admin": []}]
    assert {"400", "413", "415", "422"} <= set(operations["/predict", "post"]["responses"])


def test_the_page_needs_no_other_host(start: Start) -> None:
    page = start().get("/docs", follow_redirects=True)
    assert page.status_code == 200
    assert re.findall(r'(?:src|href)="?(https?:)?//', page.text) == []


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_health_does_not_need_unleash(start: Start, path: str) -> None:
    assert start().get(path).status_code == 200


def test_readiness_tells_models_and_whether_flags_are_known(start: Start) -> None:
    ready = start(flag(rollout(5))).get("/readyz").get_json()
    assert ready["models"]["champion"]["name"] == "breast-cancer-logistic-regression"
    assert ready["models"]["challenger"]["version"] == "1"
    assert ready["flags_known"] is True


def test_readiness_without_unleash_and_without_memory_tells_so(start: Start) -> None:
    ready = start().get("/readyz").get_json()
    assert ready["flags_known"] is False
    assert list(ready["models"]) == ["champion"]
