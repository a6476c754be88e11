"""A slow challenger behind a real Envoy: flag, weight and last answer, with the real jobs.

The service knows nothing of Canario. Its signals are Envoy's own counters, or Istio's: then the rollout is
that of examples/istio, its VirtualService lies in a Kubernetes API, and this module does what istiod and the
sidecars do: weights become routes of Envoy, and what Envoy counted gets Istio's names.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import requests

from common.files import replace_whole
from flags.canary.share import read_state, set_share
from flags.mesh.kubernetes import VIRTUAL_SERVICES
from flags.unleash.admin import UnleashAdmin
from stack.api import Stack
from stack.paths import REPOSITORY
from tests.integration.conftest import wait_for
from tests.integration.own_service import free_port
from tests.integration.proxies import Proxy, running
from tests.kubernetes.fake_api import ADMIN, FakeApi, serving
from tests.kubernetes.scene import Cluster, filled

FLAG = "ranker-v2"
PERCENT = 5
LIMIT_SECONDS = 25.0
JOB = "ranker-envoy"
FILE = """
name: ranker
flag: {{name: ranker-v2}}
arms:
  selector: {{job: ranker-envoy}}
  label: envoy_cluster_name
  champion: ranker-v1
  challenger: ranker-v2
  scrape_interval: 5s
signals:
  calls: envoy_cluster_upstream_rq_total
  errors: envoy_cluster_upstream_rq_xx{{envoy_response_code_class="5"}}
  latency: {{metric: envoy_cluster_upstream_rq_time, unit: milliseconds}}
guardrails: istio
routes:
  - {{kind: envoy, file: {routes}, champion: ranker-v1, challenger: ranker-v2, admin: "{admin}"}}
"""

EXAMPLE = REPOSITORY / "examples" / "istio" / "rollouts"
ISTIO_JOB = "istio-proxies"
ISTIO = (
    'reporter="destination",destination_service_name="ranker",destination_service_namespace="shop",'
    'destination_version="{version}"'
)
ISTIO_NAMES = {
    "envoy_cluster_upstream_rq": "istio_requests_total",
    "envoy_cluster_upstream_rq_time_bucket": "istio_request_duration_milliseconds_bucket",
}
_SERIES = re.compile(r"(?P<name>\w+)\{(?P<labels>.*)\} (?P<value>\S+)")


class Visitors:
    """Users who come all the time; when which arm answered."""

    def __init__(self, proxy: Proxy, threads: int = 6, pause: float = 0.025) -> None:
        self.answers: list[tuple[float, str]] = []
        self._proxy, self._pause, self._ended = proxy, pause, threading.Event()
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(threads)]
        for one in self._threads:
            one.start()

    def close(self) -> None:
        self._ended.set()
        for one in self._threads:
            one.join(10)

    def since(self, moment: float) -> list[str]:
        return [arm for at, arm in self.answers if at >= moment]

    def _run(self) -> None:
        while not self._ended.wait(self._pause):
            [arm] = self._proxy.ask([{}])
            self.answers.append((time.monotonic(), arm))


@pytest.fixture
def own_stack(tmp_path: Path) -> Iterator[tuple[Stack, Proxy]]:
    """Unleash, Prometheus and the rollback job, which guards the arms behind an Envoy."""
    routes = tmp_path / "routes.json"
    shutil.copy(REPOSITORY / "examples" / "envoy" / "routes.json", routes)
    folder, admin_port, metrics = tmp_path / "rollouts" / "ranker", free_port(), free_port()
    folder.mkdir(parents=True)
    file = FILE.format(routes=routes, admin=f"http://127.0.0.1:{admin_port}")
    (folder / "rollout.yaml").write_text(file, encoding="utf-8")
    with (
        running("weights", tmp_path, {9901: admin_port}, routes, metrics=metrics) as proxy,
        Stack(
            tmp_path / "home",
            only=("postgres", "unleash", "prometheus", "rollback"),
            ports="free",
            environment={"flags": {"CANARIO_ROLLOUTS": str(folder.parent)}},
        ) as stack,
    ):
        stack.scrape(JOB, f"127.0.0.1:{metrics}")
        yield stack, proxy


@contextmanager
def sidecar(admin: str, version: str) -> Iterator[str]:
    """Address of the metrics of the sidecar in front of a version: what Envoy counted, as Istio names it."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            query = f"/stats?usedonly&format=prometheus&filter=cluster.ranker-{version}.upstream_rq"
            told = requests.get(admin + query, timeout=5).text
            content = "".join(_istio(version, told)).encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


def _istio(version: str, told: str) -> Iterator[str]:
    for line in told.splitlines():
        found = _SERIES.fullmatch(line)
        if found and found["name"] in ISTIO_NAMES:
            labels = found["labels"].replace("envoy_response_code", "response_code")
            own = ",".join([ISTIO.format(version=version), labels])
            yield f"{ISTIO_NAMES[found['name']]}{{{own}}} {found['value']}\n"


@contextmanager
def istiod(cluster: Cluster, routes: Path) -> Iterator[None]:
    """Weights of the VirtualService become routes of Envoy."""
    ended = threading.Event()

    def follow() -> None:
        while not ended.wait(0.2):
            arms = cluster.read(VIRTUAL_SERVICES)["spec"]["http"][1]["route"]
            document = json.loads(routes.read_text(encoding="utf-8"))
            action = document["resources"][0]["virtual_hosts"][0]["routes"][0]["route"]
            before = action["weighted_clusters"]["clusters"]
            after = [{**one, "weight": arm["weight"]} for one, arm in zip(before, arms, strict=True)]
            if after != before:
                action["weighted_clusters"]["clusters"] = after
                replace_whole(routes, json.dumps(document))

    thread = threading.Thread(target=follow, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(10)


@pytest.fixture
def in_istio(tmp_path: Path) -> Iterator[tuple[Stack, Proxy, dict[str, str]]]:
    """The same with the rollout of examples/istio; and how `./canario mesh` reaches its VirtualService."""
    routes, rollouts, admin_port = tmp_path / "routes.json", tmp_path / "rollouts", free_port()
    shutil.copy(REPOSITORY / "examples" / "envoy" / "routes.json", routes)
    shutil.copytree(EXAMPLE, rollouts)
    file = rollouts / "ranker" / "rollout.yaml"
    text = file.read_text(encoding="utf-8")
    assert text.count("  challenger: v2\n") == 1
    # As the Prometheus of the stack scrapes; Istio's own does it every 15 s.
    file.write_text(text.replace("  challenger: v2\n", "  challenger: v2\n  scrape_interval: 5s\n"))
    token = tmp_path / "kubernetes.token"
    token.write_text(ADMIN, encoding="utf-8")
    with ExitStack() as opened:
        url = opened.enter_context(serving(FakeApi()))
        cluster = Cluster(url, ADMIN)
        filled(cluster)
        proxy = opened.enter_context(
            running("weights", tmp_path, {9901: admin_port}, routes, metrics=free_port())
        )
        opened.enter_context(istiod(cluster, routes))
        sidecars = [opened.enter_context(sidecar(proxy.admin, version)) for version in ("v1", "v2")]
        stack = opened.enter_context(
            Stack(
                tmp_path / "home",
                only=("postgres", "unleash", "prometheus", "rollback"),
                ports="free",
                environment={"flags": {"CANARIO_ROLLOUTS": str(rollouts)}},
            )
        )
        stack.scrape(ISTIO_JOB, *sidecars)
        reached = {
            "CANARIO_KUBERNETES_URL": url,
            "CANARIO_KUBERNETES_TOKEN_FILE": str(token),
            "CANARIO_MESH_NAMESPACE": "shop",
        }
        yield stack, proxy, reached


@contextmanager
def mesh(stack: Stack, rollouts: Path, **more: str) -> Iterator[None]:
    """`./canario mesh` beside it."""
    environment = {
        **more,
        "PATH": os.environ["PATH"],
        "CANARIO_UNLEASH_URL": stack.addresses.unleash,
        "CANARIO_UNLEASH_ADMIN_TOKEN": stack.secret("canario-mesh.token"),
        "CANARIO_ROLLOUTS": str(rollouts),
    }
    command = [sys.executable, "-m", "flags", "mesh", "--every", "1s"]
    process = subprocess.Popen(command, cwd=REPOSITORY, env=environment)
    try:
        yield
    finally:
        process.terminate()
        process.wait(20)


def verified(stack: Stack) -> bool:
    """Whether the rollback job has seen the challenger's answers stand still."""
    told = requests.get(f"{stack.addresses.rollback}/metrics", timeout=5).text
    return any(
        line.startswith("rollback_stop{") and 'state="verified"' in line and line.endswith(" 1.0")
        for line in told.splitlines()
    )


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize("signals", ["envoy", "istio"])
def test_a_slow_challenger_is_gone_within_25_seconds_and_seen_to_be(
    request: pytest.FixtureRequest, tmp_path: Path, signals: str
) -> None:
    if signals == "istio":
        stack, proxy, reached = request.getfixturevalue("in_istio")
    else:
        (stack, proxy), reached = request.getfixturevalue("own_stack"), {}
    admin = UnleashAdmin(stack.addresses.unleash, stack.secret("canario-flags.token"))
    admin.create_feature(FLAG, kind="release", description="of the ranker")
    admin.add_strategy(FLAG, percent=0, stickiness="userId", group=FLAG)
    visitors = Visitors(proxy)
    with mesh(stack, tmp_path / "rollouts", **reached):
        time.sleep(20)  # the champion's times are known
        set_share(admin, FLAG, PERCENT)
        wait_for(lambda: sum(arm == "challenger" for _, arm in visitors.answers) > 60, 60, "its answers")
        assert not verified(stack)
        proxy.set_fault(100)
        fault = time.monotonic()
        wait_for(lambda: not read_state(admin, FLAG).enabled, 60, "the flag off")
        off = time.monotonic() - fault
        wait_for(lambda: set(proxy.ask([{}] * 100)) == {"champion"}, 10, "weight 0")
        wait_for(lambda: verified(stack), 70, "the stop, by the challenger's own series")
        seen = time.monotonic() - fault
    visitors.close()
    last = max(at for at, arm in visitors.answers if arm == "challenger") - fault
    since = visitors.since(fault).count("challenger")
    failed = [arm for _, arm in visitors.answers if arm not in {"champion", "challenger"}]
    print(
        f"{signals}: flag off {off:.1f} s, last answer {last:.1f} s, seen to have stopped {seen:.1f} s after"
        f" the fault; {len(visitors.answers)} requests, {since} of the challenger since, {len(failed)} failed"
    )
    assert read_state(admin, FLAG).changed_by == "canario-rollback"
    assert last <= LIMIT_SECONDS
    assert not failed
