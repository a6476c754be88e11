"""Tokens as Secrets of Kubernetes: `./canario bootstrap --kubernetes RELEASE`, in the chart's Job.

The Secrets are there already, made empty by the chart. The Job's ServiceAccount may read and change them by
their names, and nothing else. The Secret of `canario-rollback` is `RELEASE-rollback-token`, with the files
of the vault.
"""

import base64
import binascii
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from common.config import ConfigError
from common.files import replace_whole
from flags.accounts.users import USERS
from flags.accounts.vault import LABEL, Vault
from flags.mesh.access import POD, in_pod
from flags.mesh.errors import Conflict, Missing
from flags.mesh.kubernetes import SECRETS, KubernetesApi, Object

ATTEMPTS: Final = 5


def api_of_pod(folder: Path = POD, environment: Mapping[str, str] = os.environ) -> KubernetesApi:
    """The API as this pod's ServiceAccount. Raises ConfigError: this is no pod, or one without a token."""
    access = in_pod(folder, environment)
    if access is None:
        raise ConfigError("--kubernetes is for a pod: KUBERNETES_SERVICE_HOST is not set")
    return KubernetesApi(access, "canario-provision")


class TokenSecrets:
    """The Secrets of one release, in the namespace of `api`."""

    def __init__(self, release: str, api: KubernetesApi) -> None:
        """Nothing is asked yet."""
        self._release, self._api, self._namespace = release, api, api.access.namespace

    def load(self, vault: Vault) -> None:
        """Put what the Secrets hold into the vault, so that tokens that work are kept.

        Raises:
            KubernetesError: a Secret cannot be read.
            ConfigError: the vault cannot be written.
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
            KubernetesError: a Secret cannot be written.
        """
        for user, secret in self._there():
            data = {
                key: base64.b64encode(path.read_bytes()).decode("ascii")
                for key, path in _files(vault, user)
                if path.is_file()
            }
            if self._written(secret, data):
                yield self.name(user)

    def name(self, user: str) -> str:
        """Of the Secret of this user of Unleash."""
        return f"{self._release}-{user.removeprefix('canario-')}-token"

    def _written(self, secret: Object, data: Mapping[str, str]) -> bool:
        """Whether there was anything to write. Others may write to it in this moment: 409, and again."""
        name = secret["metadata"]["name"]
        for _ in range(ATTEMPTS):
            held = secret.get("data") or {}
            if data.items() <= held.items():
                return False
            with suppress(Conflict):
                self._api.replace(SECRETS, self._namespace, name, {**secret, "data": {**held, **data}})
                return True
            secret = self._api.get(SECRETS, self._namespace, name)
        raise Conflict(
            f"the Secret {name} in namespace {self._namespace} is changed by somebody else again and again"
        )

    def _there(self) -> Iterator[tuple[str, Object]]:
        """Users whose Secret is there: the chart makes none for a part that is off."""
        for user in USERS:
            with suppress(Missing):
                yield user.username, self._api.get(SECRETS, self._namespace, self.name(user.username))


def _files(vault: Vault, user: str) -> tuple[tuple[str, Path], ...]:
    """Key and file; the label first, as the vault writes them."""
    token = vault.path(user)
    return ("unleash.json", token.with_suffix(LABEL)), ("unleash.token", token)
