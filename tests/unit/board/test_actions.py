"""The buttons: off by default, for who may, never from another page, and with a name in Unleash's log."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from board.app import create_app
from tests.unit.flags.fake_unleash import FakeUnleash, gradual
from tests.unit.flags.server import serving

ACT = "a second token of more than twenty characters"
LOCAL = "http://127.0.0.1:8100"
ORDER = {"rollout": "breast-cancer", "action": "roll back"}


@pytest.fixture
def unleash() -> Iterator[FakeUnleash]:
    with serving() as server:
        fake = FakeUnleash(server)
        for flag in ("canary", "shadow"):
            fake.add(flag, gradual(25))
        yield fake


@pytest.fixture
def variables(unleash: FakeUnleash, tmp_path: Path) -> dict[str, str]:
    token = tmp_path / "flags.token"
    token.write_text("user:flags", encoding="utf-8")
    return {
        "CANARIO_UNLEASH_URL": unleash.url,
        "CANARIO_UNLEASH_ADMIN_TOKEN": "user:board",
        "CANARIO_PROMETHEUS_URL": "http://127.0.0.1:1",
        "CANARIO_BOARD_UNLEASH_TOKEN_FILE": str(token),
    }


def client(variables: dict[str, str], **more: str) -> FlaskClient:
    return create_app({**variables, **more}).test_client()


def press(board: FlaskClient, order: Any = ORDER, base: str = LOCAL, **headers: str) -> int:
    sent = {name.replace("_", "-"): text for name, text in headers.items()}
    return board.post("/api/actions", json=order, headers=sent, base_url=base).status_code


def test_without_a_setting_there_are_none(unleash: FakeUnleash, variables: dict[str, str]) -> None:
    board = client(variables)
    assert board.get("/api/actions", base_url=LOCAL).get_json() == {"on": False, "needs_token": False}
    assert press(board, Canario_Act=ACT) == 403
    assert unleash.here("canary")["enabled"]


def test_roll_back_turns_the_flag_off_and_pauses_the_plan(
    unleash: FakeUnleash, variables: dict[str, str]
) -> None:
    board = client(variables, CANARIO_BOARD_ACT_TOKEN=ACT)
    assert board.get("/api/actions", base_url=LOCAL).get_json() == {"on": True, "needs_token": True}
    before = len(unleash.events)
    assert press(board, Canario_Act=ACT) == 200
    assert not unleash.here("canary")["enabled"]
    assert {"type": "canario-pause", "value": "rolled back by somebody, on the board"} in unleash.tags[
        "canary"
    ]
    assert {event["createdBy"] for event in unleash.events[before:]} == {"canario-flags"}


def test_the_name_that_a_proxy_knows_is_in_the_log(unleash: FakeUnleash, variables: dict[str, str]) -> None:
    board = client(variables, CANARIO_BOARD_IDENTITY_HEADER="X-Forwarded-User")
    order = {**ORDER, "action": "pause"}
    assert press(board, order, Canario_Act="yes") == 403, "nobody has logged in at the proxy"
    assert press(board, order, Canario_Act="yes", X_Forwarded_User="ada") == 200
    assert unleash.tags["canary"][-1]["value"] == "paused by ada, on the board"
    assert press(board, {**ORDER, "action": "resume"}, Canario_Act="yes", X_Forwarded_User="ada") == 200
    assert "canario-pause" not in {tag["type"] for tag in unleash.tags["canary"]}


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Canario_Act": "wrong"},
        {"Canario_Act": ACT, "Origin": "https://evil.example"},
        {"Canario_Act": ACT, "Origin": "null"},
    ],
)
def test_who_may_not_act_and_pages_of_others_are_refused(
    unleash: FakeUnleash, variables: dict[str, str], headers: dict[str, str]
) -> None:
    board = client(variables, CANARIO_BOARD_ACT_TOKEN=ACT)
    assert press(board, **headers) == 403
    assert unleash.here("canary")["enabled"]


def test_a_form_cannot_send_an_order(unleash: FakeUnleash, variables: dict[str, str]) -> None:
    board = client(variables, CANARIO_BOARD_ACT_TOKEN=ACT)
    body = '{"rollout": "breast-cancer", "action": "roll back"}'
    sent = board.post("/api/actions", data=body, content_type="text/plain", base_url=LOCAL)
    assert sent.status_code == 403
    assert unleash.here("canary")["enabled"]


def test_a_name_that_points_here_cannot_act(unleash: FakeUnleash, variables: dict[str, str]) -> None:
    board = client(variables, CANARIO_BOARD_ACT_TOKEN=ACT)
    assert press(board, base="http://evil.example", Canario_Act=ACT) == 403
    assert unleash.here("canary")["enabled"]


@pytest.mark.parametrize(
    "order", [{}, [], "x", {"rollout": "nope", "action": "pause"}, {**ORDER, "action": "eat"}]
)
def test_what_is_no_order_is_refused(variables: dict[str, str], order: Any) -> None:
    assert press(client(variables, CANARIO_BOARD_ACT_TOKEN=ACT), order, Canario_Act=ACT) == 400


def test_what_cannot_be_done_is_told(unleash: FakeUnleash, variables: dict[str, str]) -> None:
    board = client(variables, CANARIO_BOARD_ACT_TOKEN=ACT, CANARIO_BOARD_UNLEASH_TOKEN_FILE="")
    answer = board.post("/api/actions", json=ORDER, headers={"Canario-Act": ACT}, base_url=LOCAL)
    assert answer.status_code == 409
    assert "CANARIO_BOARD_UNLEASH_TOKEN_FILE" in answer.get_json()["error"]
    assert unleash.here("canary")["enabled"]
