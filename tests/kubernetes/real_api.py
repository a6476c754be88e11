"""A real kube-apiserver with etcd, RBAC on, CRDs applied: what `make test-kubernetes` builds.

No kubelet, scheduler or controller manager runs: objects are checked and stored, rights are real, and no pod
starts.
"""

import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import requests
import yaml

from stack.paths import Cache
from stack.servers.kubernetes import api_server, etcd

CRDS = Path(__file__).parent / "crds"
ADMIN_TOKEN = "token-of-the-administrator"
ISSUER = "https://kubernetes.default.svc"
READY_SECONDS = 300.0  # on a machine that others use too

Object = dict[str, Any]


def free_ports(count: int) -> list[int]:
    """Ports that are free at this moment."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


class RealApi:
    """The two servers. `url`, `ca` and tokens are all that a client needs."""

    def __init__(self, folder: Path) -> None:
        """Nothing runs yet; all files go into `folder`."""
        self.folder = folder
        self._ports = free_ports(3)
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.verify = str(self.ca)
        self.session.headers["Authorization"] = f"Bearer {ADMIN_TOKEN}"

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self._ports[2]}"

    @property
    def ca(self) -> Path:
        """Of the server's certificate."""
        return self.folder / "certificates" / "apiserver.crt"

    def start(self) -> None:
        """Both servers, and the CRDs."""
        key = self.folder / "service-accounts.key"
        subprocess.run(["openssl", "genrsa", "-out", str(key), "2048"], check=True, capture_output=True)
        (self.folder / "tokens.csv").write_text(f'{ADMIN_TOKEN},admin,admin,"system:masters"\n')
        self._start("etcd", self._etcd_command())
        self.start_api()
        for file in sorted(CRDS.glob("*.yaml")):
            self.create("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", _document(file))
        self._wait("the CRDs", self._crds_are_served)

    def start_api(self) -> None:
        """The API server alone, on the same port and data as before; returns when it is ready."""
        self._start("kube-apiserver", self._api_command())
        self._wait("kube-apiserver", self._is_ready)

    def kill_api(self) -> None:
        """As a power failure would."""
        process = self._processes.pop("kube-apiserver")
        process.kill()
        process.wait(timeout=10)

    def stop(self) -> None:
        """Both."""
        for process in reversed(self._processes.values()):
            process.send_signal(signal.SIGTERM)
        for process in self._processes.values():
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(timeout=10)
        self._processes.clear()

    def get(self, path: str) -> Object:
        """One object, or a list."""
        return self._said(self.session.get(self.url + path, timeout=30))

    def create(self, path: str, made: Object) -> Object:
        """A new object in the collection `path`."""
        return self._said(self.session.post(self.url + path, json=made, timeout=30))

    def replace(self, path: str, changed: Object) -> Object:
        """The object at `path`, whole."""
        return self._said(self.session.put(self.url + path, json=changed, timeout=30))

    def namespace(self, name: str) -> None:
        """A new one."""
        made = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
        self.create("/api/v1/namespaces", made)

    def token_of(self, namespace: str, account: str) -> str:
        """A token of a ServiceAccount, as the kubelet would mount it."""
        made = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token"
        return str(self.create(path, made)["status"]["token"])

    def kubeconfig(self, namespace: str) -> str:
        """As the administrator, in this namespace."""
        one = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [
                {"name": "real", "cluster": {"server": self.url, "certificate-authority": str(self.ca)}}
            ],
            "users": [{"name": "admin", "user": {"token": ADMIN_TOKEN}}],
            "contexts": [
                {"name": "real", "context": {"cluster": "real", "user": "admin", "namespace": namespace}}
            ],
            "current-context": "real",
        }
        return yaml.safe_dump(one)

    def _etcd_command(self) -> list[str]:
        client, peer = (f"http://127.0.0.1:{port}" for port in self._ports[:2])
        return [
            str(etcd(Cache.default())),
            *("--data-dir", str(self.folder / "etcd"), "--log-level", "error"),
            *("--listen-client-urls", client, "--advertise-client-urls", client),
            *("--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer),
            *("--initial-cluster", f"default={peer}"),
        ]

    def _api_command(self) -> list[str]:
        key = str(self.folder / "service-accounts.key")
        return [
            str(api_server(Cache.default())),
            *("--etcd-servers", f"http://127.0.0.1:{self._ports[0]}"),
            *("--bind-address", "127.0.0.1", "--secure-port", str(self._ports[2])),
            *("--cert-dir", str(self.folder / "certificates")),
            *("--authorization-mode", "RBAC", "--token-auth-file", str(self.folder / "tokens.csv")),
            *("--service-account-issuer", ISSUER, "--api-audiences", ISSUER),
            *("--service-account-key-file", key, "--service-account-signing-key-file", key),
            *("--service-cluster-ip-range", "10.96.0.0/16"),
            # What would wait for a controller manager.
            *("--disable-admission-plugins", "ServiceAccount"),
        ]

    def _start(self, name: str, command: Sequence[str]) -> None:
        with (self.folder / f"{name}.log").open("ab") as log:
            self._processes[name] = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", "--", *command], stdout=log, stderr=log
            )

    def _is_ready(self) -> bool:
        try:
            return self.session.get(f"{self.url}/readyz", timeout=5).ok
        except (requests.RequestException, OSError):  # OSError: no certificate yet
            return False

    def _crds_are_served(self) -> bool:
        found = self.get("/apis/apiextensions.k8s.io/v1/customresourcedefinitions")["items"]
        return all(
            any(
                one["type"] == "Established" and one["status"] == "True"
                for one in each.get("status", {}).get("conditions") or ()
            )
            for each in found
        )

    def _wait(self, what: str, is_there: Any) -> None:
        end = time.monotonic() + READY_SECONDS
        while not is_there():
            for name, process in self._processes.items():
                assert process.poll() is None, f"{name} has ended: {self.folder / name}.log"
            assert time.monotonic() < end, f"{what}: not ready after {READY_SECONDS:.0f} s, see {self.folder}"
            time.sleep(0.2)

    @staticmethod
    def _said(answer: requests.Response) -> Object:
        found: Object = answer.json()
        assert answer.ok, f"{answer.request.method} {answer.url}: {found.get('message')}"
        return found


def _document(file: Path) -> Object:
    found: Object = yaml.safe_load(file.read_text(encoding="utf-8"))
    return found
