"""The way to Unleash over HTTP: timeouts, retries where repeating is harmless, and one typed error a status.

Every call names itself (`PATCH /api/...`) in its error; tokens, passwords and bodies never do.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeVar
from urllib.parse import quote

import requests
from pydantic import BaseModel, SecretStr, ValidationError
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase
from urllib3.util.retry import Retry

from common.config import ConfigError, dotted
from common.sessions import settled
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

MAX_DETAILS: Final = 300  # characters of Unleash's own words in an error

Model = TypeVar("Model", bound=BaseModel)
Json = Mapping[str, Any] | Sequence[Mapping[str, Any]]


class Timeouts(NamedTuple):
    """Seconds to wait for a connection, for each piece of an answer, and (doubled) before a second retry."""

    connect: float = 3.0
    read: float = 5.0
    backoff: float = 0.2


DEFAULT_TIMEOUTS: Final = Timeouts()


class TokenAuth(AuthBase):
    """Sends a token, the renewed one as soon as its file holds it (`common.config.FileSecret`).

    As an auth object it also keeps requests from putting a .netrc entry in its place.
    """

    def __init__(self, token: SecretStr | str) -> None:
        """Raises ConfigError: the token has characters that no token has."""
        checked_token(token)
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = checked_token(self._token)
        return request


class CookieAuth(AuthBase):
    """Sends the session's cookies alone."""

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        return request


class Transport:
    """Calls one Unleash server. May be shared by threads; make one in each process, after the fork.

    With the default timeouts a call of a dead server ends within 10 s (three attempts to connect), one that
    gets no answer within 10 s if it may be repeated (two attempts), else within 5 s.
    """

    def __init__(
        self, url: str, auth: AuthBase, *, refused: str, timeouts: Timeouts = DEFAULT_TIMEOUTS
    ) -> None:
        """`url` is where Unleash lies, without /api; `refused` says what to do when it answers 401."""
        self.url = url.rstrip("/")
        self._refused = refused
        self._timeouts = timeouts
        self._once = settled(_session(auth, timeouts.backoff, repeat=False), self.url)
        self._repeating = settled(_session(auth, timeouts.backoff, repeat=True), self.url)
        self._repeating.cookies = self._once.cookies

    def __repr__(self) -> str:
        return f"Transport({self.url!r})"

    def get(self, model: type[Model], path: str, params: Mapping[str, str] | None = None) -> Model:
        """GET an answer as `model`. Raises AdminError."""
        return self._parsed(model, self._answer("GET", path, params=params, repeatable=True))

    def post(self, model: type[Model], path: str, body: Json) -> Model:
        """POST once, never again: what it makes could come twice. Returns the answer as `model`.

        Raises AdminError.
        """
        return self._parsed(model, self._answer("POST", path, body=body, repeatable=False))

    def patch(self, model: type[Model], path: str, body: Json, *, repeatable: bool) -> Model:
        """PATCH, and return the answer as `model`. `repeatable` as for `send`. Raises AdminError."""
        return self._parsed(model, self._answer("PATCH", path, body=body, repeatable=repeatable))

    def send(self, method: str, path: str, body: Json | None = None, *, repeatable: bool) -> None:
        """Send a call whose answer says nothing. `repeatable`: sending it twice does what once does.

        Raises AdminError.
        """
        self._answer(method, path, body=body, repeatable=repeatable)

    def _answer(
        self,
        method: str,
        path: str,
        *,
        body: Json | None = None,
        params: Mapping[str, str] | None = None,
        repeatable: bool,
    ) -> requests.Response:
        session = self._repeating if repeatable else self._once
        try:
            answer = session.request(
                method,
                self.url + path,
                json=body,
                params=params,
                timeout=(self._timeouts.connect, self._timeouts.read),
                allow_redirects=False,  # a PATCH that follows a redirect becomes a GET, and looks done
            )
        except requests.RequestException as error:
            raise Unreachable(
                f"Unleash at {self.url} does not answer {method} {path} ({reason(error, self._timeouts)}):"
                " see whether it runs, and whether CANARIO_UNLEASH_URL is its address"
            ) from error
        if not 200 <= answer.status_code < 300:
            raise self._refusal(f"{method} {path}", answer)
        return answer

    def _parsed(self, model: type[Model], answer: requests.Response) -> Model:
        call = f"{answer.request.method} {answer.request.path_url.partition('?')[0]}"
        try:
            return model.model_validate(answer.json())
        except requests.JSONDecodeError:
            fault = f"no JSON but {answer.headers.get('Content-Type', 'something without a type')}"
        except ValidationError as error:  # its own text would show values, of which some are secrets
            faults = error.errors(include_input=False, include_url=False)[:3]
            fault = "; ".join(f"{dotted(fault['loc'])}: {fault['msg']}" for fault in faults)
        raise UnexpectedAnswer(
            f"{self.url} answered {call} otherwise than Unleash 7.6 and 8.2 do ({fault}):"
            " see whether CANARIO_UNLEASH_URL is its address, without /api, and which version it is",
            status=answer.status_code,
        )

    def _refusal(self, call: str, answer: requests.Response) -> AdminError:
        status, details = answer.status_code, words(answer)
        kind, advice = AdminError, ""
        if status == 401:
            kind, advice = Unauthorized, self._refused
        elif status == 403:
            kind, advice = Forbidden, "this user may not do it, see docs/decisions/0003-unleash-roles.md"
        elif status == 404 and details.startswith("The path you were looking for"):
            kind, advice = UnexpectedAnswer, "set CANARIO_UNLEASH_URL to Unleash's address, without /api"
        elif status == 404:
            kind = NotFound
        elif status == 429:
            kind, advice = Rejected, f"wait {answer.headers.get('Retry-After', '60')} s and try again"
        elif status >= 500:
            kind, advice = ServerFault, "see the log of Unleash"
        elif status >= 400:
            kind = Rejected
        else:
            target = answer.headers.get("Location", "nowhere")
            kind, advice = UnexpectedAnswer, f"it points to {target}: set CANARIO_UNLEASH_URL to that server"
        said = f"{self.url} answered {status} to {call}" + (f": {details}" if details else "")
        return kind(f"{said}; {advice}" if advice else said, status=status, details=details)


def _session(auth: AuthBase, backoff: float, *, repeat: bool) -> requests.Session:
    """A session that tries again to connect, when nothing was sent yet, and all else only with `repeat`."""
    retry = Retry(
        total=2,
        connect=2,
        read=int(repeat),
        status=2,
        redirect=0,
        other=0,
        backoff_factor=backoff,
        status_forcelist=(500, 502, 503, 504) if repeat else (),
        allowed_methods=None,
        raise_on_status=False,
        respect_retry_after_header=False,  # it may ask for a minute; a caller wants an answer
    )
    session = requests.Session()
    session.auth = auth
    session.headers["User-Agent"] = "canario"
    for scheme in ("http://", "https://"):
        session.mount(scheme, HTTPAdapter(max_retries=retry))
    return session


def words(answer: requests.Response) -> str:
    """What Unleash says about a refusal: its details where it gives them, else its message or plain text."""
    try:
        body = answer.json()
    except requests.JSONDecodeError:
        plain = answer.headers.get("Content-Type", "").startswith("text/") and "<" not in answer.text
        return _line(answer.text) if plain else ""
    if not isinstance(body, dict):
        return ""
    details = body.get("details")
    if isinstance(details, list):
        messages = [str(item["message"]) for item in details if isinstance(item, dict) and "message" in item]
        if messages:
            return _line("; ".join(messages))
    return _line(str(body.get("message", "")))


def _line(text: str) -> str:
    line = " ".join(text.split()).rstrip(".")
    return line if len(line) <= MAX_DETAILS else line[:MAX_DETAILS] + "..."


def reason(error: BaseException, timeouts: Timeouts) -> str:
    """The innermost cause of a failed call in a few words; urllib3 wraps it up to four times."""
    while True:
        last = error.args[-1] if error.args else None
        inner = getattr(error, "reason", None) or (
            last if isinstance(last, BaseException) else error.__cause__
        )
        if not isinstance(inner, BaseException):
            break
        error = inner
    name = type(error).__name__
    if name == "ConnectTimeoutError":
        return f"no connection within {timeouts.connect:g} s"
    if name in {"ReadTimeoutError", "TimeoutError"}:
        return f"no answer within {timeouts.read:g} s"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return _line(str(error)) or name


def quoted(part: str) -> str:
    """One segment of a path. Raises Rejected for a name that would lead to another address."""
    if not part.strip("."):
        raise Rejected(f"{part!r} is no name that Unleash can have", status=400)
    return quote(part, safe="")


def checked_token(token: SecretStr | str) -> str:
    """The token as text, fit for a header.

    Raises:
        ConfigError: it is empty or has characters that no token has.
    """
    text = token.get_secret_value() if isinstance(token, SecretStr) else token
    if not text or not text.isascii() or not text.isprintable() or " " in text:
        raise ConfigError(
            "CANARIO_UNLEASH_ADMIN_TOKEN: is empty or has spaces, line breaks or letters that no token has"
        )
    return text
