"""GET /assign: which model a user gets, for a proxy that asks before it routes."""

from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient

from service.settings import Settings
from tests.unit.service.conftest import flag, rollout

Start = Callable[..., FlaskClient]
NOT_ASKED = {"challenger": None}  # it is said who gets it, and nobody asks it
HEADER = "x-canario-model"
USERS = [f"user-{number}" for number in range(200)]
IN_NORWAY = {"contextName": "country", "operator": "NOT_IN", "values": ["NO"], "inverted": False}


def asked(client: FlaskClient, path: str = "/assign", method: str = "GET", **headers: str) -> str:
    answer = client.open(
        path, method=method, headers={name.replace("_", "-"): said for name, said in headers.items()}
    )
    assert answer.status_code == 200
    assert answer.data == b""
    return answer.headers[HEADER]


def test_it_is_what_the_flag_says_of_the_user(start: Start) -> None:
    client = start(flag(rollout(25)), **NOT_ASKED)
    found = {user: asked(client, x_user_id=user) for user in USERS}
    assigner = client.application.extensions["canario"].assigner
    assert found == {user: str(assigner.assign(user, {}).model) for user in USERS}
    assert {*found.values()} == {"champion", "challenger"}


@pytest.mark.parametrize("method", ["GET", "POST", "HEAD", "DELETE", "OPTIONS", "PROPFIND"])
@pytest.mark.parametrize(
    "path", ["/assign", "/assign/", "/assign/rank/7?a=b", "/assign//x/../y", "/assign/%2e%2e/%00"]
)
def test_whatever_the_client_asks_for(start: Start, path: str, method: str) -> None:
    if path == "/assign" and method not in {"GET", "HEAD"}:
        pytest.skip("a proxy always puts the client's path behind it")
    assert asked(start(flag(rollout(100)), **NOT_ASKED), path, method, x_user_id="ada") == "challenger"


@pytest.mark.parametrize("user", ["", "   ", "u" * 257])
def test_without_a_user_it_is_the_champion(start: Start, user: str) -> None:
    client = start(flag(rollout(100)), **NOT_ASKED)
    assert asked(client, x_user_id=user) == "champion"
    assert asked(client) == "champion"
    assert 'proxy_assignments_total{model="champion",reason="no_user"} 2.0' in client.get("/metrics").text


def test_what_a_client_claims_does_not_count(start: Start) -> None:
    assert asked(start(flag(rollout(0))), x_user_id="ada", x_canario_model="challenger") == "champion"


def test_a_users_id_is_utf_8_as_in_a_body(start: Start) -> None:
    client = start(flag(rollout(50)), **NOT_ASKED)
    assigner = client.application.extensions["canario"].assigner
    for number in range(20):
        user = f"čárka-{number}"
        wanted = str(assigner.assign(user, {}).model)
        assert asked(client, x_user_id=user.encode().decode("latin-1")) == wanted


def test_headers_are_fields_of_the_context(start: Start) -> None:
    client = start(
        flag(rollout(100, [IN_NORWAY])),
        **NOT_ASKED,
        assign_user_header="x-user",
        assign_context="country=x-country",
    )
    assert asked(client, x_user="ada", x_country="NO") == "champion"
    assert asked(client, x_user="ada", x_country="SE") == "challenger"


@pytest.mark.parametrize("text", ["country", "userId=x-user", "a b=c", "=x"])
def test_a_wrong_setting_is_said(settings: Settings, text: str) -> None:
    said: dict[str, Any] = dict(settings) | {"assign_context": text}
    with pytest.raises(ValueError, match="is no FIELD=HEADER"):
        Settings.model_validate(said)
