"""The admin routes before they reach Unleash: who may, and what may be asked. Unleash is down here."""

import time
from collections.abc import Callable
from typing import Any

import pytest
from flask import Request
from flask.testing import FlaskClient
from pydantic import SecretStr
from werkzeug.test import EnvironBuilder

from service.api.access import WRONG_TOKENS_PER_MINUTE, Access
from service.api.problems import RequestError

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


def test_wrong_tokens_are_limited_and_then_the_right_one_too(start: Start) -> None:
    client = start(**TOKENS)
    wrong = {"Authorization": "Bearer wrong"}
    statuses = [client.get("/admin/canary", headers=wrong).status_code for _ in range(12)]
    assert statuses == [401] * WRONG_TOKENS_PER_MINUTE + [429] * 2
    response = client.put("/admin/canary", headers=HEADERS, json={"percent": 5})
    assert response.status_code == 429
    assert response.content_type == "application/problem+json"
    assert 1 <= int(response.headers["Retry-After"]) <= 61
    elsewhere = client.get("/admin/canary", headers=HEADERS, environ_base={"REMOTE_ADDR": "192.0.2.7"})
    assert elsewhere.status_code == 503  # Unleash is down, but the caller is admitted


def test_calls_are_limited(start: Start) -> None:
    client = start(**TOKENS, admin_calls_per_minute=3)
    statuses = [client.get("/admin/canary", headers=HEADERS).status_code for _ in range(5)]
    assert statuses == [503] * 3 + [429] * 2
    assert client.get("/healthz").status_code == 200


def test_a_minute_later_it_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    access = Access(SecretStr(BEARER), 1)
    caller = {"REMOTE_ADDR": "192.0.2.7", "HTTP_AUTHORIZATION": f"Bearer {BEARER}"}
    request = Request(EnvironBuilder(environ_base=caller).get_environ())
    access.admit(request)
    with pytest.raises(RequestError, match="Too many calls from this address: 1 a minute"):
        access.admit(request)
    later = time.time() + 61
    monkeypatch.setattr("limits.storage.memory.time.time", lambda: later)
    access.admit(request)


@pytest.mark.parametrize(
    ("path", "method"),
    [("/admin/shadow", "GET"), ("/admin/shadow", "PUT"), ("/admin/rollout", "GET")],
)
def test_the_other_routes_ask_for_the_token_and_say_that_unleash_is_down(
    start: Start, path: str, method: str
) -> None:
    client = start(**TOKENS)
    assert client.open(path, method=method, json={"percent": 5}).status_code == 401
    told = client.open(path, method=method, headers=HEADERS, json={"percent": 5})
    assert told.status_code == 503
    assert "127.0.0.1:9" in told.get_json()["detail"]
    bare = start(admin_token=SecretStr(BEARER))
    assert bare.open(path, method=method, headers=HEADERS, json={"percent": 5}).status_code == 403


def test_an_override_needs_words(start: Start) -> None:
    for reason in ("", "x", 5):
        body = {"percent": 5, "override": reason}
        response = start(**TOKENS).put("/admin/canary", headers=HEADERS, json=body)
        assert response.status_code == 422
        assert response.get_json()["errors"][0]["field"] == "override"
