"""The addresses of servers, as every room's settings take them."""

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, SecretStr


def _checked(url: str) -> str:
    """The address of a server, without a slash at its end. Values are not told: one may hold a password."""
    parts = urlsplit(url.strip())
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.port == 0:
        raise ValueError("is no address like http://127.0.0.1:4242")
    if parts.username or parts.password:
        raise ValueError("holds a user name: give the address alone, and the token by its own setting")
    if parts.query or parts.fragment:
        raise ValueError("ends in ? or #: give the address alone")
    if parts.path.rstrip("/").endswith("/api"):
        raise ValueError("ends in /api: give the address of the server, as in http://127.0.0.1:4242")
    return url.strip().rstrip("/")


UnleashUrl = Annotated[str, AfterValidator(_checked)]


def _check_prometheus(url: SecretStr) -> SecretStr:
    """An address, perhaps with user and password or a path prefix. Its value is never told."""
    text = url.get_secret_value().strip().rstrip("/")
    parts = urlsplit(text)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("is no address like http://127.0.0.1:9090")
    if parts.query or parts.fragment:
        raise ValueError("ends in ? or #")
    if parts.path.endswith("/api/v1"):
        raise ValueError("ends in /api/v1: give the address of the server, as in http://127.0.0.1:9090")
    return SecretStr(text)


PrometheusUrl = Annotated[SecretStr, AfterValidator(_check_prometheus)]
