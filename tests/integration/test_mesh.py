"""`./canario mesh` as a process: the real Unleash on one side, a Kubernetes API on the other."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests

from flags.canary.share import set_share, turn_off, turn_on
from flags.mesh.kubernetes import LEASES, VIRTUAL_SERVICES
from flags.unleash.admin import UnleashAdmin
from stack.api import Stack
from stack.paths import REPOSITORY
from tests.integration.conftest import wait_for
from tests.integration.own_service import free_port
from tests.kubernetes.fake_api import ADMIN, FakeApi, serving
from tests.kubernetes.scene import Cluster, filled

ZERO_WITHIN_SECONDS = 5.0
FILE = """
name: ranker
flag: {{name: {flag}, shadow: {flag}-shadow}}
arms: {{selector: {{job: shop}}}}
signals: {{calls: shop_requests_total, latency: shop_seconds}}
guardrails: http-service
routes:
  - kind: VirtualService
    namespace: shop
    name: ranker
    champion: {{host: ranker, subset: v1}}
    challenger: {{host: ranker, subset: v2}}
    mirror: {{host: ranker, subset: v2}}
"""


@pytest.fixture
def environment(stack: Stack, own_flag: str, tmp_path: Path) -> dict[str, str]:
    """Of the command, without where Kubernetes is."""
    folder = tmp_path / "rollouts" / "ranker"
    folder.mkdir(parents=True)
    (folder / "rollout.yaml").write_text(FILE.format(flag=own_flag), encoding="utf-8")
    token = tmp_path / "kubernetes.token"
    token.write_text(ADMIN, encoding="utf-8")
    return {
        "PATH": os.environ["PATH"],
        "CANARIO_UNLEASH_URL": stack.addresses.unleash,
        "CANARIO_UNLEASH_ADMIN_TOKEN": stack.secret("canario-mesh.token"),
        "CANARIO_ROLLOUTS": str(tmp_path / "rollouts"),
        "CANARIO_MESH_NAMESPACE": "shop",
        "CANARIO_KUBERNETES_TOKEN_FILE": str(token),
    }


def mesh(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """One iteration."""
    return subprocess.run(
        [sys.executable, "-m", "flags", "mesh", *arguments],
        cwd=REPOSITORY,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@contextmanager
def running(environment: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """The loop."""
    command = [sys.executable, "-m", "flags", "mesh", "--every", "1s"]
    process = subprocess.Popen(command, cwd=REPOSITORY, env=environment)
    try:
        yield process
    finally:
        process.terminate()
        assert process.wait(20) == 0


def weight(cluster: Cluster) -> int:
    """The challenger's."""
    spec: dict[str, Any] = cluster.read(VIRTUAL_SERVICES)["spec"]
    return int(spec["http"][1]["route"][1]["weight"])


def test_a_flag_that_is_turned_off_reaches_weight_0_within_five_seconds(
    admin: UnleashAdmin, own_flag: str, environment: dict[str, str]
) -> None:
    with serving(FakeApi()) as url:
        cluster = Cluster(url, ADMIN)
        filled(cluster)
        bind = f"127.0.0.1:{free_port()}"
        settings = environment | {"CANARIO_KUBERNETES_URL": url, "CANARIO_MESH_METRICS_BIND": bind}
        set_share(admin, own_flag, 5)
        took = []
        with running(settings):
            wait_for(lambda: weight(cluster) == 5, 20, "weight 5")
            for _ in range(3):
                begun = time.monotonic()
                turn_off(admin, own_flag)
                wait_for(lambda: weight(cluster) == 0, ZERO_WITHIN_SECONDS, "weight 0")
                took.append(time.monotonic() - begun)
                turn_on(admin, own_flag)
                wait_for(lambda: weight(cluster) == 5, 10, "weight 5")
            metrics = requests.get(f"http://{bind}/metrics", timeout=5).text
        print(f"off -> weight 0: {', '.join(f'{one:.2f}' for one in took)} s")
        series = (
            'mesh_weight_changes_total{cause="share",rollout="ranker",route="VirtualService shop/ranker"}'
        )
        [changes] = [line for line in metrics.splitlines() if line.startswith("mesh_weight_changes_total{")][
            :1
        ]
        assert float(changes.split()[-1]) >= 7, series
        assert cluster.read(LEASES, "canario-mesh")["spec"]["holderIdentity"] == ""  # given back at its end
        assert {one["reason"] for one in cluster.events()} == {"WeightsChanged"}


def test_copies_follow_the_flag_of_the_shadow(
    admin: UnleashAdmin, own_flag: str, environment: dict[str, str]
) -> None:
    shadow = f"{own_flag}-shadow"
    admin.create_feature(shadow, kind="release", description="of the ranker")
    admin.add_strategy(shadow, percent=0, stickiness="userId", group=shadow)
    with serving(FakeApi()) as url:
        cluster = Cluster(url, ADMIN)
        filled(cluster)

        def copied() -> float:
            return float(cluster.read(VIRTUAL_SERVICES)["spec"]["http"][1]["mirrorPercentage"]["value"])

        set_share(admin, own_flag, 0)
        set_share(admin, shadow, 10)
        with running(environment | {"CANARIO_KUBERNETES_URL": url}):
            wait_for(lambda: copied() == 10, 20, "10% copied")
            turn_off(admin, shadow)
            wait_for(lambda: copied() == 0, ZERO_WITHIN_SECONDS, "nothing copied")
        assert weight(cluster) == 0


def test_of_two_processes_one_writes_and_the_other_takes_over(
    admin: UnleashAdmin, own_flag: str, environment: dict[str, str]
) -> None:
    with serving(FakeApi()) as url:
        cluster = Cluster(url, ADMIN)
        filled(cluster)
        settings = environment | {"CANARIO_KUBERNETES_URL": url}
        with running(settings) as first:
            wait_for(lambda: weight(cluster) == 100, 20, "weight 100")
            told = mesh(settings)
            assert (told.returncode, told.stdout.strip()) == (
                0,
                "ranker: another process holds the leader's Lease and sees to it",
            )
            with running(settings):
                first.terminate()
                first.wait(20)
                set_share(admin, own_flag, 5)
                wait_for(lambda: weight(cluster) == 5, 15, "weight 5 by the second")


def test_once_and_what_it_says(own_flag: str, environment: dict[str, str]) -> None:
    fake = FakeApi()
    with serving(fake) as url:
        cluster = Cluster(url, ADMIN)
        filled(cluster)
        settings = environment | {"CANARIO_KUBERNETES_URL": url}
        done = mesh(settings)
        assert done.returncode == 0, done.stderr
        assert "ranker: VirtualService shop/ranker: 100/0 and 0.5% copied -> 0/100: the flag" in done.stdout
        done = mesh(settings, "--json")
        [found] = json.loads(done.stdout)["ranker"].values()
        assert found["weights"] == {"by-weight": {"champion": 0, "challenger": 100, "mirror": 0}}
        assert found["change"] is None
        fake.tokens[ADMIN] = {("get", "leases"), ("update", "leases")}
        done = mesh(settings)
        assert done.returncode == 13
        assert "does not let this process get virtualservices" in done.stdout
    done = mesh(settings)
    assert done.returncode == 13
    assert "does not answer" in done.stderr
    assert "Traceback" not in done.stderr
