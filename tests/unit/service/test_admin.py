"""The admin routes before they reach Unleash: who may, and what may be asked. Unleash is down here."""

from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient
from pydantic import SecretStr

Start = Callable[..., FlaskClient]

BEARER = "a-token-of-this-test"
HEADERS = {"Authorization": f"Bearer {BEARER}"}
TOKENS = {"admin_token": SecretStr(BEARER), "unleash_admin_token": SecretStr("user:0123456789abcdef")}


@pytest.mark.parametrize("method", ["GET", "PUT", "POST"])
def test_without_a_token_in_the_settings_the_routes_are_off(start: Start, method: str) -> None:
    response = start().open("/admin/canary", method=method, headers=HEADERS, json={"percent": 5})
    assert response.status_code == 403
    assert "CANARIO_ADMIN_TOKEN" in response.get_json()["detail"]


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        f"Basic {BEARER}",
        f"Bearer {BEARER}x",
        f"Bearer {BEARER[:-1]}",
        "Bearer \xe6",
    ],
)
@pytest.mark.parametrize("method", ["GET", "PUT", "POST"])
def test_another_token_is_refused(start: Start, method: str, header: str | None) -> None:
    headers = {} if header is None else {"Authorization": header}
    response = start(**TOKENS).open("/admin/canary", method=method, headers=headers, json={"percent": 5})
    assert response.status_code == 401
    assert response.headers["WWW-Authenticate"].startswith("Bearer")
    assert BEARER not in response.text


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "percent"),
        ({"percent": -1}, "percent"),
        ({"percent": 101}, "percent"),
        ({"percent": "5"}, "percent"),
        ({"percent": 5.5}, "percent"),
        ({"percent": True}, "percent"),
        ({"percent": None}, "percent"),
        ({"percent": 5, "force": True}, "force"),
        ([5], "body"),
    ],
)
@pytest.mark.parametrize("method", ["PUT", "POST"])
def test_a_share_that_is_none_is_refused(start: Start, method: str, body: Any, field: str) -> None:
    response = start(**TOKENS).open("/admin/canary", method=method, headers=HEADERS, json=body)
    assert response.status_code == 422
    assert response.get_json()["errors"][0]["field"] == field


@pytest.mark.parametrize(
    ("method", "body"), [("GET", None), ("PUT", {"percent": 5}), ("POST", {"percent": 5})]
)
def test_an_unleash_that_is_down_is_said(start: Start, method: str, body: dict[str, int] | None) -> None:
    response = start(**TOKENS).open("/admin/canary", method=method, headers=HEADERS, json=body)
    assert response.status_code == 503
    assert response.content_type == "application/problem+json"
    assert "127.0.0.1:9" in response.get_json()["detail"]


def test_without_a_user_in_unleash_the_routes_say_what_is_missing(start: Start) -> None:
    response = start(admin_token=SecretStr(BEARER)).get("/admin/canary", headers=HEADERS)
    assert response.status_code == 403
    assert "CANARIO_UNLEASH_ADMIN_TOKEN" in response.get_json()["detail"]
