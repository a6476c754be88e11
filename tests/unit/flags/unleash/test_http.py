"""The transport: what is repeated, how long it waits, which error a fault becomes, and that secrets stay."""

import socket
import time
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, SecretStr

from common.config import ConfigError
from flags.unleash.errors import (
    AdminError,
    Forbidden,
    NotFound,
    Rejected,
    ServerFault,
    Unauthorized,
    UnexpectedAnswer,
    Unreachable,
)
from flags.unleash.http import Timeouts, TokenAuth, Transport, checked_token, quoted
from tests.unit.flags.server import Answer, Server

SECRET = "user:5c67d0ceb8c4"


class Thing(BaseModel):
    name: str
    secret: str = ""


OK = Answer({"name": "a"})
DETAILS = {"name": "BadDataError", "message": "short", "details": [{"message": "long."}, {"message": "more"}]}


def transport(url: str, read: float = 0.5) -> Transport:
    return Transport(
        url, TokenAuth(SECRET), refused="set THE_TOKEN", timeouts=Timeouts(0.5, read, backoff=0.01)
    )


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, Rejected),
        (401, Unauthorized),
        (403, Forbidden),
        (404, NotFound),
        (409, Rejected),
        (415, Rejected),
        (429, Rejected),
        (500, ServerFault),
        (503, ServerFault),
        (302, UnexpectedAnswer),
    ],
)
def test_each_status_is_an_error_of_its_kind_with_the_words_of_unleash(
    server: Server, status: int, kind: type[AdminError]
) -> None:
    server.script(Answer(DETAILS, status))
    with pytest.raises(kind) as caught:
        transport(server.url).post(Thing, "/api/x", {})
    assert type(caught.value) is kind
    assert (caught.value.status, caught.value.details) == (status, "long.; more")
    assert f"{server.url} answered {status} to POST /api/x: long.; more" in str(caught.value)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (Answer({"message": "said so"}, 400), "said so"),
        (Answer("plain words", 400, {"Content-Type": "text/plain"}), "plain words"),
        (Answer("<html>a proxy</html>", 502, {"Content-Type": "text/html"}), ""),
        (Answer(["a", "list"], 400), ""),
        (Answer({"details": ["no message"], "message": "m"}, 400), "m"),
        (Answer(None, 400), ""),
        (Answer({"message": "x" * 5000}, 400), "x" * 300 + "..."),
        (Answer({"message": "two\n   lines."}, 400), "two lines"),
    ],
)
def test_the_words_of_a_refusal_are_one_short_line(server: Server, answer: Answer, words: str) -> None:
    server.script(answer)
    with pytest.raises(AdminError) as caught:
        transport(server.url).post(Thing, "/x", {})
    assert caught.value.details == words
    assert "\n" not in str(caught.value)
    assert "<" not in str(caught.value)


def test_what_to_do_is_told(server: Server) -> None:
    def advice(answer: Answer) -> str:
        server.script(answer)
        with pytest.raises(AdminError) as caught:
            transport(server.url).post(Thing, "/x", {})
        return str(caught.value)

    assert advice(Answer(None, 401)).endswith("; set THE_TOKEN")
    assert "wait 59 s" in advice(Answer("Too many requests", 429, {"Retry-After": "59"}))
    assert "it points to https://b/x" in advice(Answer(None, 308, {"Location": "https://b/x"}))
    missing_address = Answer({"message": "The path you were looking for (/api/api/x) is not available."}, 404)
    assert "without /api" in advice(missing_address)


@pytest.mark.parametrize("fault", [Answer(None, 500), Answer(None, 503), Answer(cut=True)], ids=str)
def test_a_call_that_may_be_repeated_is(server: Server, fault: Answer) -> None:
    server.script(fault, OK)
    assert transport(server.url).get(Thing, "/x") == Thing(name="a")
    assert [call.method for call in server.calls] == ["GET", "GET"]


@pytest.mark.parametrize("fault", [Answer(None, 500), Answer(cut=True), Answer(delay=0.4)], ids=str)
def test_a_call_that_makes_something_is_sent_once(server: Server, fault: Answer) -> None:
    server.script(fault, OK)
    with pytest.raises((ServerFault, Unreachable)):
        transport(server.url, read=0.1).post(Thing, "/x", {})
    assert len(server.calls) == 1


def test_repeating_ends_with_the_fault(server: Server) -> None:
    server.script(Answer({"message": "no database"}, 500))
    with pytest.raises(ServerFault, match="no database"):
        transport(server.url).send("PATCH", "/x", [], repeatable=True)
    assert len(server.calls) == 3


def test_a_refusal_is_not_repeated(server: Server) -> None:
    server.script(Answer(None, 429, {"Retry-After": "60"}))
    began = time.monotonic()
    with pytest.raises(Rejected):
        transport(server.url).get(Thing, "/x")
    assert len(server.calls) == 1
    assert time.monotonic() - began < 10


def test_an_answer_that_does_not_come_is_waited_for_twice_and_told(server: Server) -> None:
    server.script(Answer(delay=0.4))
    with pytest.raises(Unreachable, match=r"does not answer GET /x \(no answer within 0\.1 s\)"):
        transport(server.url, read=0.1).get(Thing, "/x")
    assert len(server.calls) == 2


def test_a_port_where_nothing_listens_is_told() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and never listened on: refused for sure
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(Unreachable, match=r"\(Connection refused\).*CANARIO_UNLEASH_URL"):
            transport(url).send("POST", "/x", repeatable=False)


def test_a_server_that_speaks_no_tls_is_told(server: Server) -> None:
    with pytest.raises(Unreachable, match="SSL"):
        transport(server.url.replace("http:", "https:")).get(Thing, "/x")


def test_a_connection_cut_for_good_is_told(server: Server) -> None:
    server.script(Answer(cut=True))
    with pytest.raises(Unreachable, match="Remote end closed connection"):
        transport(server.url).get(Thing, "/x")


def test_a_redirect_is_not_followed(server: Server) -> None:
    server.script(Answer(None, 302, {"Location": f"{server.url}/elsewhere"}), OK)
    with pytest.raises(UnexpectedAnswer):
        transport(server.url).send("PATCH", "/x", [], repeatable=True)
    assert len(server.calls) == 1


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ("<html>", "no JSON but text/html"),
        (None, "no JSON but something without a type"),
        ({"secret": SECRET}, "name: Field required"),
        ({"name": 5, "secret": SECRET}, "name: Input should be a valid string"),
        ([SECRET], "document: Input should be a valid dictionary"),
    ],
)
def test_another_answer_than_expected_is_told_without_its_values(
    server: Server, body: Any, fault: str
) -> None:
    server.script(Answer(body, headers={"Content-Type": "text/html"} if body == "<html>" else {}))
    with pytest.raises(UnexpectedAnswer) as caught:
        transport(server.url).get(Thing, "/x?a=b")
    assert fault in str(caught.value)
    assert "answered GET /x otherwise" in str(caught.value)
    assert SECRET not in str(caught.value)
    assert caught.value.__context__ is None  # pydantic's own error would show them in a traceback


def test_the_token_is_sent_whatever_netrc_says(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login eve password pw\n")
    monkeypatch.setenv("NETRC", str(netrc))
    server.script(OK)
    transport(server.url).get(Thing, "/x")
    assert server.calls[0].headers["Authorization"] == SECRET


def test_objects_do_not_show_the_token(server: Server) -> None:
    subject = transport(server.url)
    assert repr(subject) == f"Transport('{server.url}')"
    assert SECRET not in repr(TokenAuth(SECRET)) + str(TokenAuth(SECRET))


@pytest.mark.parametrize("token", ["", "two words", "line\nbreak", "tab\t", "ünleash", "nul\x00"])
def test_text_that_no_token_can_be_is_refused_untold(token: str) -> None:
    with pytest.raises(ConfigError) as caught:
        checked_token(SecretStr(token))
    assert not token or token not in str(caught.value)


def test_a_token_is_taken_as_text_or_secret() -> None:
    assert checked_token(SECRET) == checked_token(SecretStr(SECRET)) == SECRET


@pytest.mark.parametrize(
    ("part", "path"), [("a b", "a%20b"), ("a/../b", "a%2F..%2Fb"), ("a?b#c", "a%3Fb%23c")]
)
def test_a_part_of_a_path_stays_one_part(part: str, path: str) -> None:
    assert quoted(part) == path


@pytest.mark.parametrize("part", ["", ".", ".."])
def test_a_name_that_leads_elsewhere_is_refused(part: str) -> None:
    with pytest.raises(Rejected):
        quoted(part)
