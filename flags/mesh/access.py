"""Where the Kubernetes API is and how to be let in: by settings, in a pod, or by a kubeconfig."""

import base64
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml
from pydantic import SecretStr

from common.config import ConfigError, FileSecret

POD: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")


@dataclass(frozen=True)
class Access:
    """How to reach the Kubernetes API.

    Attributes:
        url: its address.
        token: bearer token, read again where its file changes; None: by certificate, or nothing.
        ca: file of the authority that signed its certificate; None: those that the machine trusts.
        certificate: files of a client's certificate and its key.
        namespace: the one to act in where nothing else is said.
    """

    url: str
    token: SecretStr | None = None
    ca: Path | None = None
    certificate: tuple[str, str] | None = field(default=None, repr=False)
    namespace: str = "default"


def in_pod(folder: Path, environment: Mapping[str, str]) -> Access | None:
    """As the pod's ServiceAccount; None outside of pods. Raises ConfigError: its token cannot be read."""
    host, port = environment.get("KUBERNETES_SERVICE_HOST"), environment.get("KUBERNETES_SERVICE_PORT", "443")
    if not host:
        return None
    token = folder / "token"
    try:
        text = token.read_text(encoding="utf-8").strip()
        namespace = (folder / "namespace").read_text(encoding="utf-8").strip()
    except OSError as error:
        raise ConfigError(
            f"{token} cannot be read, although this is a pod ({error}): set automountServiceAccountToken"
        ) from error
    address = f"[{host}]" if ":" in host else host
    return Access(f"https://{address}:{port}", FileSecret(text, token), folder / "ca.crt", None, namespace)


def by_kubeconfig(path: Path) -> Access:
    """As the current context of a kubeconfig.

    Raises:
        ConfigError: it cannot be read, or its user logs in by a program, which is not done here.
    """
    try:
        said = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
        context = _named(said, "contexts", said.get("current-context", ""))["context"]
        cluster = _named(said, "clusters", context["cluster"])["cluster"]
        user = _named(said, "users", context.get("user", "")).get("user") or {}
        url = str(cluster["server"]).rstrip("/")
    except (OSError, yaml.YAMLError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(f"{path}: is no kubeconfig with a current context: {error}") from error
    if "exec" in user or "auth-provider" in user:
        raise ConfigError(
            f"{path}: its user logs in by a program: run `kubectl proxy`, and set"
            " CANARIO_KUBERNETES_URL=http://127.0.0.1:8001"
        )
    beside = path.parent
    token = SecretStr(user["token"]) if "token" in user else None
    if "tokenFile" in user:
        file = beside / user["tokenFile"]
        token = FileSecret(file.read_text(encoding="utf-8").strip(), file)
    certificate, key = (_file(user, f"client-{what}", beside) for what in ("certificate", "key"))
    return Access(
        url,
        token,
        _file(cluster, "certificate-authority", beside),
        (str(certificate), str(key)) if certificate and key else None,
        context.get("namespace", "default"),
    )


def found(
    url: str | None, token: SecretStr | None, ca: Path | None, environment: Mapping[str, str] = os.environ
) -> Access:
    """As the settings say; else as the pod's ServiceAccount; else as KUBECONFIG or ~/.kube/config say.

    Raises:
        ConfigError: none of them is there, or what is there cannot be used.
    """
    if url:
        return Access(url, token, ca)
    if pod := in_pod(POD, environment):
        return pod
    path = Path(environment.get("KUBECONFIG") or Path.home() / ".kube" / "config")
    if not path.is_file():
        raise ConfigError(
            f"there is no Kubernetes to be found: this is no pod, and there is no {path}; set KUBECONFIG,"
            " or CANARIO_KUBERNETES_URL and CANARIO_KUBERNETES_TOKEN_FILE"
        )
    return by_kubeconfig(path)


def _named(said: Any, kind: str, name: str) -> Any:
    for one in said[kind]:
        if one["name"] == name:
            return one
    raise KeyError(f"{kind} has no {name!r}")


def _file(said: Mapping[str, str], name: str, beside: Path) -> Path | None:
    """The file that is named, or what is written there itself, as a file that only its owner reads."""
    if text := said.get(f"{name}-data"):
        with tempfile.NamedTemporaryFile(prefix="canario-", suffix=".pem", delete=False) as file:
            file.write(base64.b64decode(text))
        return Path(file.name)
    return beside / said[name] if name in said else None
