"""Who may use the admin routes: whoever has the bearer token."""

import hmac

from flask import Request
from pydantic import SecretStr

from service.problems import RequestError


def require_token(request: Request, token: SecretStr | None) -> None:
    """Let the request through if it bears `token`; the comparison takes the same time wherever they differ.

    Raises:
        RequestError: 403 when no token is set, 401 when the request bears none or another.
    """
    if token is None:
        raise RequestError(
            403, "Forbidden", "The admin routes are off: start the service with CANARIO_ADMIN_TOKEN."
        )
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    same = hmac.compare_digest(given.strip().encode(), token.get_secret_value().encode())
    if scheme.lower() != "bearer" or not same:
        raise RequestError(
            401,
            "Unauthorized",
            "Send the admin token as `Authorization: Bearer <token>`.",
            headers={"WWW-Authenticate": 'Bearer realm="canario-admin"'},
        )
