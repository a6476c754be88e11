"""`./canario mesh` as the chart's ServiceAccount on a real API server, with a real Unleash."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from flags.canary.share import set_share, turn_off, turn_on
from flags.mesh.kubernetes import ENDPOINT_SLICES_BETA, HTTP_ROUTES, LEASES, VIRTUAL_SERVICES
from flags.unleash.admin import UnleashAdmin
from stack.api import Stack
from stack.paths import REPOSITORY
from tests.integration.conftest import wait_for
from tests.kubernetes.real_api import ADMIN_TOKEN, RealApi
from tests.kubernetes.release import Release
from tests.kubernetes.scene import HTTP_ROUTE, NAMESPACE, VIRTUAL_SERVICE, Cluster, cleared, filled
from tests.unit.deploy.chart.conftest import NEEDED, merge

pytestmark = [pytest.mark.kubernetes, pytest.mark.timeout(400)]

OF_JOB = "mesh-job"
FLAG = "ranker-v2"
ROUTES = [{"kind": kind, "namespace": NAMESPACE, "name": "ranker"} for kind in (VIRTUAL_SERVICE, HTTP_ROUTE)]
FILE = """
name: ranker
flag: {name: ranker-v2}
arms: {selector: {job: shop}}
signals: {calls: shop_requests_total, latency: shop_seconds}
guardrails: http-service
routes:
  - kind: VirtualService
    namespace: shop
    name: ranker
    champion: {host: ranker, subset: v1}
    challenger: {host: ranker, subset: v2}
  - {kind: HTTPRoute, namespace: shop, name: ranker, champion: ranker-v1, challenger: ranker-v2}
"""


@pytest.fixture(scope="module")
def unleash(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """With the flag, at 0%."""
    with Stack(tmp_path_factory.mktemp("unleash"), only=("postgres", "unleash"), ports="free") as stack:
        admin = admin_of(stack)
        admin.create_feature(FLAG, kind="release", description="of the ranker")
        admin.add_strategy(FLAG, percent=0, stickiness="userId", group=FLAG)
        turn_on(admin, FLAG)
        yield stack


def admin_of(stack: Stack) -> UnleashAdmin:
    return UnleashAdmin(stack.addresses.unleash, stack.secret("canario-flags.token"))


@pytest.fixture
def routes(real_api: RealApi) -> Cluster:
    """The service, its pods and its routes."""
    made = Cluster(real_api.url, ADMIN_TOKEN, real_api.ca, slices=ENDPOINT_SLICES_BETA)
    cleared(made)
    filled(made)
    return made


@pytest.fixture
def release(real_api: RealApi, routes: Cluster) -> Iterator[Release]:
    """The chart, whose mesh controller may change both routes."""
    if OF_JOB not in {one["metadata"]["name"] for one in real_api.get("/api/v1/namespaces")["items"]}:
        real_api.namespace(OF_JOB)
    made = Release(real_api, OF_JOB)
    made.install(values(*ROUTES))
    yield made
    made.uninstall()
    made.close()


def values(*named: dict[str, str]) -> dict[str, object]:
    return merge(NEEDED, {"mesh": {"enabled": True, "routes": list(named)}})


def environment(release: Release, stack: Stack, folder: Path, account: str = "mesh") -> dict[str, str]:
    """Of the job in a pod of this account."""
    api, rollout = release.api, folder / "rollouts" / "ranker" / "rollout.yaml"
    rollout.parent.mkdir(parents=True)
    rollout.write_text(FILE, encoding="utf-8")
    token = folder / "token"
    token.write_text(api.token_of(OF_JOB, f"canario-{account}"), encoding="utf-8")
    deployment = api.get(f"/apis/apps/v1/namespaces/{OF_JOB}/deployments/canario-mesh")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    (lease,) = [one["value"] for one in container["env"] if one["name"] == "CANARIO_MESH_LEASE"]
    return {
        "PATH": os.environ["PATH"],
        "CANARIO_UNLEASH_URL": stack.addresses.unleash,
        "CANARIO_UNLEASH_ADMIN_TOKEN": stack.secret("canario-mesh.token"),
        "CANARIO_ROLLOUTS": str(folder / "rollouts"),
        "CANARIO_KUBERNETES_URL": api.url,
        "CANARIO_KUBERNETES_TOKEN_FILE": str(token),
        "CANARIO_KUBERNETES_CA": str(api.ca),
        "CANARIO_MESH_NAMESPACE": OF_JOB,
        "CANARIO_MESH_LEASE": lease,
    }


@contextmanager
def running(environment: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "flags", "mesh", "--every", "1s"]
    process = subprocess.Popen(command, cwd=REPOSITORY, env=environment)
    try:
        yield process
    finally:
        process.terminate()
        assert process.wait(30) == 0


def once(environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "flags", "mesh"],
        cwd=REPOSITORY,
        env=environment,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def weights(cluster: Cluster) -> tuple[int, int]:
    """The challenger's in both routes."""
    service, route = (cluster.read(one)["spec"] for one in (VIRTUAL_SERVICES, HTTP_ROUTES))
    return service["http"][1]["route"][1]["weight"], route["rules"][0]["backendRefs"][1]["weight"]


def test_weights_follow_while_the_api_server_is_killed_and_comes_back(
    release: Release, routes: Cluster, unleash: Stack, tmp_path: Path
) -> None:
    admin = admin_of(unleash)
    with running(environment(release, unleash, tmp_path)) as job:
        set_share(admin, FLAG, 5)
        wait_for(lambda: weights(routes) == (5, 5), 30, "weight 5")
        release.api.kill_api()
        turn_off(admin, FLAG)
        release.api.start_api()
        after = wait_for(lambda: weights(routes) == (0, 0), 20, "weight 0")
        print(f"weight 0 {after:.1f} s after the API server was ready again")
        assert job.poll() is None
        turn_on(admin, FLAG)
        wait_for(lambda: weights(routes) == (5, 5), 20, "weight 5 again")
    lease = release.api.get(LEASES.path(OF_JOB, "canario-mesh"))
    assert lease["spec"]["holderIdentity"] == ""  # given back at its end
    assert "WeightsEdited" not in {one["reason"] for one in routes.events()}


def test_a_right_that_is_missing_is_a_sentence_and_holds_up_no_other_route(
    release: Release, routes: Cluster, unleash: Stack, tmp_path: Path
) -> None:
    set_share(admin_of(unleash), FLAG, 5)
    as_board = once(environment(release, unleash, tmp_path / "board", "board"))
    assert as_board.returncode == 13
    assert "does not let this process get leases.coordination.k8s.io canario-mesh" in as_board.stderr
    release.upgrade(values(ROUTES[1]))
    done = once(environment(release, unleash, tmp_path / "mesh"))
    assert done.returncode == 13
    assert "does not let this process get virtualservices.networking.istio.io ranker" in done.stdout
    assert weights(routes) == (0, 5)
    assert "Traceback" not in done.stderr + as_board.stderr
