"""A small Kubernetes API in this process, honest about what the weights depend on.

Each write gives the object the next resourceVersion; a PUT at an older one is 409 and writes nothing; unknown
kinds and objects are 404; a token without a right is 403; who wrote last stands in managedFields. The same
tests run against a real kube-apiserver.
"""

import copy
import itertools
import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

Object = dict[str, Any]
ADMIN = "token-of-the-administrator"
KINDS = frozenset(
    {
        ("networking.istio.io/v1", "virtualservices"),
        ("networking.istio.io/v1", "destinationrules"),
        ("gateway.networking.k8s.io/v1", "httproutes"),
        ("discovery.k8s.io/v1", "endpointslices"),
        ("coordination.k8s.io/v1", "leases"),
        ("events.k8s.io/v1", "events"),
        ("v1", "pods"),
        ("v1", "services"),
        ("v1", "secrets"),
    }
)
_PATH = re.compile(
    r"/(?:apis/(?P<group>[^/]+/[^/]+)|api/(?P<core>v1))/namespaces/(?P<namespace>[^/]+)"
    r"/(?P<plural>[^/]+)(?:/(?P<name>[^/]+))?"
)


class Denied(Exception):  # noqa: N818 - it says what happened
    """An answer other than 200."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass
class FakeApi:
    """The objects, who may do what, and what was asked."""

    tokens: dict[str, set[tuple[str, str]] | None] = field(default_factory=lambda: {ADMIN: None})
    """By token: the verbs on plurals that it may; None: everything."""
    kinds: set[tuple[str, str]] = field(default_factory=lambda: set(KINDS))
    calls: list[tuple[str, str, str]] = field(default_factory=list)
    """Verb, plural and name, in their order."""
    prunes: Callable[[Object], object] = lambda _: None
    """Drops from what is written the fields that a CRD does not know."""
    before_update: Callable[[], None] | None = None
    """Done before an update is looked at: what a second writer does in that moment."""
    objects: dict[tuple[str, str, str, str], Object] = field(default_factory=dict)
    _lock: threading.RLock = field(default_factory=threading.RLock)
    _versions: Iterator[int] = field(default_factory=lambda: itertools.count(1000))

    def answer(self, method: str, url: str, token: str, body: Object | None) -> tuple[int, Object]:
        """Status and body."""
        try:
            return (201 if method == "POST" else 200), self._answer(method, url, token, body or {})
        except Denied as error:
            return error.status, {
                "kind": "Status",
                "status": "Failure",
                "message": str(error),
                "code": error.status,
            }

    def _answer(self, method: str, url: str, token: str, body: Object) -> Object:
        parts = urlsplit(url)
        query = {key: values[0] for key, values in parse_qs(parts.query).items()}
        if token not in self.tokens:
            raise Denied(401, "Unauthorized")
        found = _PATH.fullmatch(parts.path)
        group = found and (found["group"] or found["core"])
        if not found or (str(group), found["plural"]) not in self.kinds:
            raise Denied(404, "the server could not find the requested resource")
        namespace, plural, name = found["namespace"], found["plural"], found["name"] or ""
        verb = {"GET": "get" if name else "list", "PUT": "update", "POST": "create"}[method]
        self.calls.append((verb, plural, name))
        rights = self.tokens[token]
        if rights is not None and (verb, plural) not in rights:
            raise Denied(403, f"{plural} is forbidden: User cannot {verb} resource {plural!r}")
        if verb == "update" and self.before_update:
            act, self.before_update = self.before_update, None
            act()
        key = (str(group), plural, namespace)
        with self._lock:
            if verb == "list":
                return {"items": self._listed(key, query.get("labelSelector", ""))}
            if verb == "get":
                return copy.deepcopy(self._found(key, name))
            manager = query.get("fieldManager", "unknown")
            return (
                self._update(key, name, body, manager, dry_run="dryRun" in query)
                if verb == "update"
                else self._create(key, body, manager)
            )

    def _found(self, key: tuple[str, str, str], name: str) -> Object:
        if (*key, name) not in self.objects:
            raise Denied(404, f'{key[1]} "{name}" not found')
        return self.objects[*key, name]

    def _listed(self, key: tuple[str, str, str], selector: str) -> list[Object]:
        wanted = [one.split("=", 1) for one in filter(None, selector.split(","))]
        return [
            copy.deepcopy(one)
            for (*where, _), one in self.objects.items()
            if tuple(where) == key
            and all((one["metadata"].get("labels") or {}).get(label) == value for label, value in wanted)
        ]

    def _create(self, key: tuple[str, str, str], body: Object, manager: str) -> Object:
        name = body["metadata"]["name"]
        if (*key, name) in self.objects:
            raise Denied(409, f'{key[1]} "{name}" already exists')
        made = copy.deepcopy(body)
        made["metadata"] |= {"uid": f"uid-{name}", "namespace": key[2]}
        return self._stored(key, made, manager)

    def _update(
        self, key: tuple[str, str, str], name: str, body: Object, manager: str, *, dry_run: bool
    ) -> Object:
        before = self._found(key, name)
        version = body["metadata"].get("resourceVersion")
        if version and version != before["metadata"]["resourceVersion"]:
            raise Denied(409, "the object has been modified; please apply your changes to the latest version")
        made = copy.deepcopy(body)
        for name_of in ("resourceVersion", "managedFields", "uid"):
            made["metadata"][name_of] = before["metadata"].get(name_of)
        self.prunes(made)
        if made == before or dry_run:
            return made  # nothing has changed, so neither has the version
        return self._stored(key, made, manager)

    def _stored(self, key: tuple[str, str, str], made: Object, manager: str) -> Object:
        metadata = made["metadata"]
        metadata["resourceVersion"] = str(next(self._versions))
        if "spec" in made:  # as for a list that is owned whole: the last one who wrote it
            now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            metadata["managedFields"] = [
                {
                    "manager": manager,
                    "operation": "Update",
                    "time": now,
                    "fieldsV1": {"f:spec": {"f:http": {}, "f:rules": {}}},
                }
            ]
        self.objects[*key, metadata["name"]] = made
        return copy.deepcopy(made)


@contextmanager
def serving(api: FakeApi) -> Iterator[str]:
    """The API over HTTP, by its address."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # headers and body in one packet

        def _do(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            token = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
            status, told = api.answer(self.command, self.path, token, body)
            content = json.dumps(told).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_PUT = do_POST = _do  # noqa: N815 - http.server's names

        def log_message(self, *_: Any) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)
