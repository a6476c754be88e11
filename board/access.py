"""Who may read the board: whoever has the token, by header or by cookie; without a token, this machine.

The cookie holds no token: an end and its proof, made with the token. So it needs no store, outlives restarts,
and is void as soon as the token is another one.
"""

import hashlib
import hmac
import time
from dataclasses import dataclass
from typing import Final

from flask import Request, Response
from pydantic import SecretStr

COOKIE: Final = "canario-board"
LASTS_SECONDS: Final = 30 * 86_400
LOCAL_NAMES: Final = frozenset({"127.0.0.1", "localhost", "[::1]"})


@dataclass(frozen=True)
class Access:
    """The rule.

    Attributes:
        token: None where the board listens on this machine alone.
        secure: whether the cookie may go by https only.
    """

    token: SecretStr | None
    secure: bool = False

    def allows(self, request: Request) -> bool:
        """Whether this request may read."""
        if self.token is None:
            return self._is_local_name(request.host)
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            return self.is_token(given.strip())
        return self.by_cookie(request)

    def by_cookie(self, request: Request) -> bool:
        """Whether it comes from a browser in which somebody has logged in, and may log out."""
        return self.token is not None and self._is_proof(request.cookies.get(self._cookie, ""))

    def is_token(self, given: str) -> bool:
        """Whether that is the token; takes the same time wherever they differ."""
        if self.token is None:
            return False
        return hmac.compare_digest(given.encode(), self.token.get_secret_value().encode())

    def let_in(self, response: Response) -> Response:
        """Give the browser its cookie."""
        end = str(int(time.time()) + LASTS_SECONDS)
        response.set_cookie(
            self._cookie,
            f"{end}.{self._proof(end)}",
            max_age=LASTS_SECONDS,
            httponly=True,
            samesite="Strict",
            secure=self.secure,
        )
        return response

    def let_out(self, response: Response) -> Response:
        """Take it away."""
        response.delete_cookie(self._cookie, httponly=True, samesite="Strict", secure=self.secure)
        return response

    @property
    def _cookie(self) -> str:
        return f"__Host-{COOKIE}" if self.secure else COOKIE

    def _is_proof(self, cookie: str) -> bool:
        end, _, proof = cookie.partition(".")
        if not hmac.compare_digest(proof.encode(), self._proof(end).encode()):
            return False
        return int(end) > time.time()  # ours, or the proof would not be

    def _proof(self, end: str) -> str:
        key = self.token.get_secret_value() if self.token else ""
        return hmac.new(key.encode(), f"canario board until {end}".encode(), hashlib.sha256).hexdigest()

    @staticmethod
    def _is_local_name(host: str) -> bool:
        """A page elsewhere whose name was made to point at this machine must not read it (DNS rebinding)."""
        name = host if host.endswith("]") else host.rpartition(":")[0] or host
        return name.lower() in LOCAL_NAMES
