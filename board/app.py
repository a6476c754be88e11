"""The routes of the board: one page, its files, and one answer as JSON."""

import gzip
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import orjson
from flask import Flask, Response, request

from board.access import Access
from board.assemble import assemble
from board.facts import Facts
from board.history import Span
from board.settings import BoardSettings
from board.sources import Sources
from common.terminal import printable
from rollback.guardrails import load_policy

STATIC: Final = Path(__file__).with_name("static")
HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}
WORTH_PACKING: Final = 1000  # bytes


def create_app(settings: BoardSettings) -> Flask:
    """A board; nothing is asked before somebody looks. Raises ConfigError: a file or setting does not fit."""
    sources, policy = Sources(settings), load_policy(settings.guardrails)
    access = Access(settings.board_token, secure=settings.is_https)
    unleash = settings.unleash_public_url or settings.unleash_url
    flag_page = f"{unleash}/projects/{settings.unleash_project}/features/{settings.canary_flag}"
    app = Flask("board", static_folder=str(STATIC), static_url_path="/static")
    app.config["MAX_CONTENT_LENGTH"] = 4096

    @app.get("/")
    def page() -> Response:
        """The page without any numbers: it asks for them itself, with the cookie."""
        return app.send_static_file("index.html")

    @app.get("/api/board")
    def board() -> Response:
        if not access.allows(request):
            return _refused(has_token=access.token is not None)
        span = Span.of(request.args.get("span", Span.HOUR.value))
        if span is None:
            return _json({"error": f"span is one of {', '.join(Span)}"}, 400)
        for source in (sources.unleash, sources.numbers, sources.history[span], sources.decisions):
            source.look()  # all at once: the slowest is waited for, not one after the other
        facts = Facts(
            unleash=sources.unleash.latest(),
            numbers=sources.numbers.latest(),
            history=sources.history[span].latest(),
            decision=sources.decisions.latest(),
            now=datetime.now(UTC),
            plan=sources.plan,
            policy=policy,
            flag=settings.canary_flag,
            environment=settings.unleash_environment,
            flag_page=flag_page,
        )
        answer = _json(assemble(facts))
        if access.by_cookie(request):
            answer.headers["Canario-Login"] = "cookie"
        return answer

    @app.post("/login")
    def login() -> Response:
        """By JSON only: a form of another site cannot send that."""
        given = request.get_json(silent=True)
        token = given.get("token") if isinstance(given, dict) else None
        if not isinstance(token, str) or not access.is_token(token.strip()):
            return _json({"error": "that is not the token"}, 401)
        return access.let_in(_json({"ok": True}))

    @app.post("/logout")
    def logout() -> Response:
        return access.let_out(_json({"ok": True}))

    @app.get("/healthz")
    def healthz() -> Response:
        return _json({"ok": True})

    @app.after_request
    def protect(response: Response) -> Response:
        response.headers.update(HEADERS)
        return response

    return app


def _refused(*, has_token: bool) -> Response:
    if has_token:
        refusal = _json(
            {"error": "send the token, as `Authorization: Bearer <token>` or by the page's form"}, 401
        )
        refusal.headers["WWW-Authenticate"] = 'Bearer realm="canario-board"'
        return refusal
    return _json(
        {"error": "there is no CANARIO_BOARD_TOKEN, so only 127.0.0.1 and localhost are served"}, 403
    )


def _json(document: object, status: int = 200) -> Response:
    body = printable(orjson.dumps(document).decode()).encode()  # its escapes are JSON's
    response = Response(body, status, mimetype="application/json")
    if len(body) > WORTH_PACKING and request.accept_encodings["gzip"]:
        response.set_data(gzip.compress(body, 1))
        response.headers["Content-Encoding"] = "gzip"
    response.headers["Vary"] = "Accept-Encoding, Cookie, Authorization"
    response.headers["Cache-Control"] = "no-store"
    return response
