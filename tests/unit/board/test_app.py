"""Who may read, what a browser is told, and that nothing of it can be used to write."""

import time
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from board import access
from board.app import HEADERS, create_app

TOKEN = "a token of more than twenty characters"
LOCAL = "http://127.0.0.1:8100"


def environment(**fields: str) -> dict[str, str]:
    """Of a board whose Unleash and Prometheus refuse connections at once."""
    told = {
        "unleash_url": "http://127.0.0.1:1",
        "unleash_admin_token": "user:x",
        "prometheus_url": "http://127.0.0.1:1",
    }
    return {f"CANARIO_{name.upper()}": value for name, value in (told | fields).items()}


@pytest.fixture(scope="module")
def guarded_app() -> Flask:
    return create_app(environment(board_token=TOKEN, board_bind="0.0.0.0:8100"))


@pytest.fixture
def guarded(guarded_app: Flask) -> FlaskClient:
    return guarded_app.test_client()


@pytest.fixture(scope="module")
def local() -> FlaskClient:
    return create_app(environment()).test_client()


def test_all_sources_down_is_an_answer(local: FlaskClient) -> None:
    answer = local.get("/api/board", base_url=LOCAL)
    assert answer.status_code == 200
    assert answer.headers["Cache-Control"] == "no-store"
    board = answer.get_json()
    assert board["answer"]["now"] == "Unleash does not answer: who has the challenger is not known."
    assert [(one["name"], one["ok"]) for one in board["sources"]] == [
        ("Unleash", False),
        ("Prometheus", False),
        ("decisions log", True),
    ]


@pytest.mark.parametrize(
    ("header", "status"),
    [
        (None, 401),
        (f"Bearer {TOKEN}", 200),
        (f"bearer  {TOKEN}", 200),
        (f"Basic {TOKEN}", 401),
        ("Bearer", 401),
        ("Bearer wrong", 401),
        (f"Bearer {TOKEN}x", 401),
        ("Bearer ü", 401),
    ],
)
def test_the_token_in_the_header(guarded: FlaskClient, header: str | None, status: int) -> None:
    headers = {"Authorization": header.encode().decode("latin-1")} if header else {}
    assert guarded.get("/api/board?span=15m", headers=headers).status_code == status


def test_the_form_gives_a_cookie_that_holds_no_token(guarded: FlaskClient) -> None:
    assert guarded.post("/login", json={"token": "wrong"}).status_code == 401
    assert guarded.get("/api/board").status_code == 401
    answer = guarded.post("/login", json={"token": f" {TOKEN}\n"})
    cookie = answer.headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert "Secure" not in cookie
    assert TOKEN not in cookie
    assert guarded.get("/api/board").status_code == 200
    guarded.post("/logout")
    assert guarded.get("/api/board").status_code == 401


def test_behind_https_the_cookie_goes_no_other_way() -> None:
    app = create_app(environment(board_token=TOKEN, board_url="https://board.example/"))
    cookie = app.test_client().post("/login", json={"token": TOKEN}).headers["Set-Cookie"]
    assert cookie.startswith("__Host-canario-board=")
    assert "Secure" in cookie
    assert "Path=/" in cookie


@pytest.mark.parametrize("body", [{}, [], "x", None, {"token": 1}, {"token": None}, {"token": ""}])
def test_what_is_no_token_is_refused(guarded: FlaskClient, body: Any) -> None:
    assert guarded.post("/login", json=body).status_code == 401


def test_a_form_of_another_site_cannot_log_in(guarded: FlaskClient) -> None:
    assert guarded.post("/login", data={"token": TOKEN}).status_code == 401
    assert (
        guarded.post("/login", data=f'{{"token": "{TOKEN}"}}', content_type="text/plain").status_code == 401
    )


@pytest.mark.parametrize(
    "cookie", ["", ".", "x.y", "99999999999.", "99999999999.abc", "ü.ü", "1." + "0" * 64]
)
def test_a_made_up_cookie_is_refused(guarded: FlaskClient, cookie: str) -> None:
    guarded.set_cookie(access.COOKIE, cookie)
    assert guarded.get("/api/board").status_code == 401


def test_a_cookie_ends(guarded: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    guarded.post("/login", json={"token": TOKEN})
    later = time.time() + access.LASTS_SECONDS + 1
    monkeypatch.setattr(time, "time", lambda: later)
    assert guarded.get("/api/board").status_code == 401


def test_another_token_ends_all_cookies(guarded: FlaskClient) -> None:
    given = (
        guarded.post("/login", json={"token": TOKEN}).headers["Set-Cookie"].split(";")[0].partition("=")[2]
    )
    other = create_app(environment(board_token=TOKEN + "2")).test_client()
    other.set_cookie(access.COOKIE, given)
    assert other.get("/api/board").status_code == 401


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:8100", 200),
        ("localhost", 200),
        ("[::1]:8100", 200),
        ("LOCALHOST:1", 200),
        ("evil.example", 403),
        ("evil.example:8100", 403),
        ("127.0.0.1.evil.example", 403),
        ("10.0.0.1", 403),
    ],
)
def test_without_a_token_only_names_of_this_machine_are_served(
    local: FlaskClient, host: str, status: int
) -> None:
    assert local.get("/api/board", base_url=f"http://{host}").status_code == status


@pytest.mark.parametrize(
    "path", ["/", "/healthz", "/api/board", "/static/js/main.js", "/nothing", "/static/../app.py"]
)
def test_every_answer_is_protected(guarded: FlaskClient, path: str) -> None:
    answer = guarded.get(path)
    assert {name: answer.headers[name] for name in HEADERS} == HEADERS
    assert "unsafe" not in answer.headers["Content-Security-Policy"]
    answer.close()


def test_the_page_itself_tells_nothing_and_needs_no_token(guarded: FlaskClient) -> None:
    answer = guarded.get("/")
    assert answer.status_code == 200
    assert b"<script>" not in answer.data
    assert b"style=" not in answer.data
    assert b"http" not in answer.data.replace(b"http-equiv", b"")  # nothing from elsewhere
    answer.close()


def test_files_name_no_other_host() -> None:
    static = Path(__file__).parents[3] / "board" / "static"
    for file in [*static.glob("*.css"), *static.glob("js/*.js"), *static.glob("*.html")]:
        text = file.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
        assert "//cdn" not in text
        assert "https://" not in text
        assert "innerHTML" not in text
    assert (static / "vendor" / "uplot-1.6.32" / "LICENSE").read_text().startswith("The MIT License")


def test_a_span_that_is_none_is_said(local: FlaskClient) -> None:
    answer = local.get("/api/board?span=1y", base_url=LOCAL)
    assert (answer.status_code, answer.get_json()) == (400, {"error": "span is one of 15m, 1h, 6h, 1d, 7d"})


def test_what_is_large_is_packed(local: FlaskClient) -> None:
    answer = local.get("/api/board", base_url=LOCAL, headers={"Accept-Encoding": "gzip"})
    assert answer.headers["Content-Encoding"] == "gzip"


@pytest.mark.parametrize("method", ["post", "put", "patch", "delete"])
def test_nothing_can_be_written(guarded: FlaskClient, method: str) -> None:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    assert getattr(guarded, method)("/api/board", headers=headers).status_code == 405
