"""A slow challenger behind a real Envoy: flag, weight and last answer, with the real jobs.

The service knows nothing of Canario: Envoy's own counters are the signals.
"""

import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from flags.canary.share import read_state, set_share
from flags.unleash.admin import UnleashAdmin
from stack.api import Stack
from stack.paths import REPOSITORY
from tests.integration.conftest import wait_for
from tests.integration.own_service import free_port
from tests.integration.proxies import Proxy, running

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
def mesh(stack: Stack, rollouts: Path) -> Iterator[None]:
    """`./canario mesh` beside it."""
    environment = {
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


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_slow_challenger_is_gone_within_25_seconds(own_stack: tuple[Stack, Proxy], tmp_path: Path) -> None:
    stack, proxy = own_stack
    admin = UnleashAdmin(stack.addresses.unleash, stack.secret("canario-flags.token"))
    admin.create_feature(FLAG, kind="release", description="of the ranker")
    admin.add_strategy(FLAG, percent=0, stickiness="userId", group=FLAG)
    visitors = Visitors(proxy)
    with mesh(stack, tmp_path / "rollouts"):
        time.sleep(20)  # the champion's times are known
        set_share(admin, FLAG, PERCENT)
        wait_for(lambda: sum(arm == "challenger" for _, arm in visitors.answers) > 60, 60, "its answers")
        proxy.set_fault(100)
        fault = time.monotonic()
        wait_for(lambda: not read_state(admin, FLAG).enabled, 60, "the flag off")
        off = time.monotonic() - fault
        wait_for(lambda: set(proxy.ask([{}] * 100)) == {"champion"}, 10, "weight 0")
        time.sleep(3)
    visitors.close()
    last = max(at for at, arm in visitors.answers if arm == "challenger") - fault
    since = visitors.since(fault).count("challenger")
    failed = [arm for _, arm in visitors.answers if arm not in {"champion", "challenger"}]
    print(
        f"flag off {off:.1f} s, last answer {last:.1f} s after the fault;"
        f" {len(visitors.answers)} requests, {since} of the challenger since, {len(failed)} failed"
    )
    assert read_state(admin, FLAG).changed_by == "canario-rollback"
    assert last <= LIMIT_SECONDS
    assert not failed
