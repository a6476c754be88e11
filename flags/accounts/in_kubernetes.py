"""Tokens as Secrets of Kubernetes: `./canario bootstrap --kubernetes RELEASE`, in the chart's Job.

The Secrets are there already, made empty by the chart. The Job's ServiceAccount may read and change them by
their names, and nothing else. The Secret of `canario-rollback` is `RELEASE-rollback-token`, with the files
of the vault.
"""

import base64
import binascii
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import requests

from common.config import ConfigError
from common.files import replace_whole
from flags.accounts.users import USERS
from flags.accounts.vault import LABEL, Vault
from flags.mesh.access import POD, in_pod

ATTEMPTS: Final = 5
TIMEOUT_SECONDS: Final = 10.0

Object = dict[str, Any]


class TokenSecrets:
    """The Secrets of one release, as this pod's ServiceAccount."""

    def __init__(self, release: str, folder: Path = POD, environment: Mapping[str, str] = os.environ) -> None:
        """Nothing is asked yet. Raises ConfigError: this is no pod, or one without a token."""
        access = in_pod(folder, environment)
        if access is None or access.token is None:
            raise ConfigError("--kubernetes is for a pod: KUBERNETES_SERVICE_HOST is not set")
        self._release = release
        self._url = f"{access.url}/api/v1/namespaces/{access.namespace}/secrets"
        self._where = f"namespace {access.namespace}"
        self._session = requests.Session()
        self._session.trust_env = False  # a proxy or .netrc is none of the cluster's
        self._session.verify = str(access.ca)
        self._session.headers["Authorization"] = f"Bearer {access.token.get_secret_value()}"

    def load(self, vault: Vault) -> None:
        """Put what the Secrets hold into the vault, so that tokens that work are kept.

        Raises:
            ConfigError: a Secret cannot be read, or the vault not be written.
        """
        for user, secret in self._there():
            for key, path in _files(vault, user):
                try:
                    text = base64.b64decode(secret["data"][key], validate=True).decode("utf-8")
                except (KeyError, TypeError, binascii.Error, UnicodeDecodeError):
                    continue  # as if there were none: bootstrap makes a new one
                try:
                    replace_whole(path, text)
                except OSError as error:
                    raise ConfigError(f"{path}: cannot be written: {error.strerror}") from error

    def save(self, vault: Vault) -> Iterator[str]:
        """Write each token that differs into its Secret; the names of those that were written.

        Raises:
            ConfigError: a Secret cannot be written.
        """
        for user, secret in self._there():
            data = {
                key: base64.b64encode(path.read_bytes()).decode("ascii")
                for key, path in _files(vault, user)
                if path.is_file()
            }
            if self._written(self.name(user), secret, data):
                yield self.name(user)

    def name(self, user: str) -> str:
        """Of the Secret of this user of Unleash."""
        return f"{self._release}-{user.removeprefix('canario-')}-token"

    def _written(self, name: str, secret: Object | None, data: Mapping[str, str]) -> bool:
        """Whether there was anything to write. Others may write to it in this moment: 409, and again."""
        for _ in range(ATTEMPTS):
            if secret is None:
                return False
            held = secret.get("data") or {}
            if data.items() <= held.items():
                return False
            if self._said("PUT", name, {**secret, "data": {**held, **data}}) is not None:
                return True
            secret = self._said("GET", name)
        raise ConfigError(f"the Secret {name} in {self._where} is changed by somebody else again and again")

    def _there(self) -> Iterator[tuple[str, Object]]:
        """Users whose Secret is there: the chart makes none for a part that is off."""
        for user in USERS:
            if (found := self._said("GET", self.name(user.username))) is not None:
                yield user.username, found

    def _said(self, method: str, name: str, body: Object | None = None) -> Object | None:
        """The Secret; None where there is none to read, or it was changed before it was written."""
        try:
            answer = self._session.request(
                method,
                f"{self._url}/{name}",
                json=body,
                params={"fieldManager": "canario-provision"} if body else {},
                timeout=TIMEOUT_SECONDS,
            )
            found: Object = answer.json()
        except (requests.RequestException, ValueError, OSError) as error:
            raise ConfigError(f"the Kubernetes API does not answer: {error}") from error
        if answer.ok:
            return found
        if answer.status_code == (404 if method == "GET" else 409):
            return None
        verb = "get" if method == "GET" else "update"
        raise ConfigError(
            f"the Kubernetes API does not let this process {verb} the Secret {name} in {self._where}"
            f" ({answer.status_code}): its ServiceAccount needs the verb {verb} on it;"
            f" {found.get('message', 'it says no more')}"
        )


def _files(vault: Vault, user: str) -> tuple[tuple[str, Path], ...]:
    """Key and file; the label first, as the vault writes them."""
    token = vault.path(user)
    return ("unleash.json", token.with_suffix(LABEL)), ("unleash.token", token)
