"""The routes of the board: the list of rollouts, a page for each, their files, and the same as JSON."""

import gzip
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import orjson
from flask import Flask, Response, render_template, request

from board.access import Access
from board.actions import Action, NotAllowed, Permission, act
from board.assemble import assemble
from board.folder import Rollouts
from board.history import Span
from board.look import look, look_at_all
from board.manual import manual
from board.settings import BoardProcessSettings
from board.shown import every
from common.config import load_settings
from common.errors import CanarioError
from common.every_rollout import stamp_of
from common.terminal import printable

_log = logging.getLogger(__name__)

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


def create_app(environment: Mapping[str, str] = os.environ) -> Flask:
    """A board; nothing is asked before somebody looks.

    Raises:
        ConfigError: a setting does not fit, or the folder, or the file of no rollout does.
    """
    settings = load_settings(BoardProcessSettings, environment)
    rollouts = Rollouts(lambda: dict(every(environment)), stamp_of(settings.rollouts))
    access = Access(settings.board_token, secure=settings.is_https)
    app = Flask("board", root_path=str(Path(__file__).parent))
    app.config["MAX_CONTENT_LENGTH"] = 4096

    @app.get("/")
    def start() -> str:
        """The list, or the page of the only rollout. Without numbers: a page asks with its cookie."""
        return render_template("rollouts.html" if len(rollouts.now().rollouts) > 1 else "rollout.html")

    @app.get("/rollouts/<_name>")
    def page(_name: str) -> str:
        """The page of one; whether there is such a one is told to those who may read."""
        return render_template("rollout.html")

    @app.get("/api/rollouts")
    def listed() -> Response:
        if not access.allows(request):
            return _refused(has_token=access.token is not None)
        return _told(access, look_at_all(rollouts.now()))

    @app.get("/api/board")
    def board() -> Response:
        if not access.allows(request):
            return _refused(has_token=access.token is not None)
        span = Span.of(request.args.get("span", Span.HOUR.value))
        if span is None:
            return _json({"error": f"span is one of {', '.join(Span)}"}, 400)
        folder, name = rollouts.now(), request.args.get("rollout")
        names = list(folder.rollouts)
        if name is None and len(names) > 1:
            return _json({"error": f"name one by ?rollout=, of {', '.join(names)}", "rollouts": names}, 400)
        entry = folder.rollouts.get(name if name is not None else names[0])
        if entry is None:
            told = f"there is no rollout {name!r}; there are {', '.join(names)}"
            return _json({"error": told, "rollouts": names}, 404)
        if entry.shown is None:
            return _json({"error": entry.fault, "rollouts": names}, 409)
        return _told(access, assemble(look(entry, entry.shown, len(names), span)))

    @app.get("/docs/<name>")
    def documentation(name: str) -> Response | str:
        """A page of the documentation; it holds nothing of this rollout, so everybody may read it."""
        found = manual(name)
        if found is None:
            return _json({"error": f"there is no page {name!r} here: see docs/ of the repository"}, 404)
        title, body = found
        return render_template("manual.html", title=title, body=body)

    permission = Permission(settings.board_act_token, settings.board_identity_header)
    _add_orders(app, access, permission, rollouts)

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


def _add_orders(app: Flask, access: Access, permission: Permission, rollouts: Rollouts) -> None:
    """The routes of the buttons."""

    @app.get("/api/actions")
    def may() -> Response:
        """Whether there are buttons, and whether they need the second token."""
        named = permission.identity_header is not None and permission.identity_header in request.headers
        return _json({"on": permission.is_on, "needs_token": permission.is_on and not named})

    @app.post("/api/actions")
    def ordered() -> Response:
        """An order: `{"rollout": NAME, "action": "roll back"}`. By JSON and a header of its own only."""
        if not access.allows(request):
            return _refused(has_token=access.token is not None)
        try:
            who = permission.who(request)
        except NotAllowed as error:
            return _json({"error": str(error)}, 403)
        given = request.get_json(silent=True)
        asked = given if isinstance(given, dict) else {}
        entry = rollouts.now().rollouts.get(str(asked.get("rollout")))
        if entry is None or entry.shown is None or asked.get("action") not in {*Action}:
            return _json({"error": f"name a rollout and an action of {', '.join(Action)}"}, 400)
        try:
            done = act(entry.shown[0], Action(asked["action"]), who)
        except CanarioError as error:
            return _json({"error": str(error)}, 409)
        _log.info(
            "an order from the board",
            extra={"who": who, "rollout": asked["rollout"], "action": asked["action"]},
        )
        return _json({"done": done})


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


def _told(access: Access, document: object) -> Response:
    """To somebody who may read; a browser learns that somebody has logged in there."""
    answer = _json(document)
    if access.by_cookie(request):
        answer.headers["Canario-Login"] = "cookie"
    return answer


def _json(document: object, status: int = 200) -> Response:
    body = printable(orjson.dumps(document).decode()).encode()  # its escapes are JSON's
    response = Response(body, status, mimetype="application/json")
    if len(body) > WORTH_PACKING and request.accept_encodings["gzip"]:
        response.set_data(gzip.compress(body, 1))
        response.headers["Content-Encoding"] = "gzip"
    response.headers["Vary"] = "Accept-Encoding, Cookie, Authorization"
    response.headers["Cache-Control"] = "no-store"
    return response
