"""The provision Job of the chart, as its ServiceAccount on a real API server, against a real Unleash.

No kubelet runs, so this test does what it would: the Job's own command, variables, Secret and token, in a
mount namespace in which the token lies where a pod has it.
"""

import base64
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from stack.api import Stack
from stack.paths import REPOSITORY
from tests.kubernetes.real_api import Object, RealApi
from tests.kubernetes.release import Release
from tests.unit.deploy.chart.conftest import merge
from tests.unit.deploy.chart.values import TRIAL

pytestmark = [pytest.mark.kubernetes, pytest.mark.timeout(400)]

NAMESPACE = "provision"
SECRETS = f"/api/v1/namespaces/{NAMESPACE}/secrets"
JOBS = f"/apis/batch/v1/namespaces/{NAMESPACE}/jobs"
PARTS = ("service", "rollback", "rollout", "board")
# As the kubelet does it: Unleash allows ten log-ins a minute, and the stack has made its own users just now.
RESTARTED_AFTER_SECONDS = (10.0, 20.0, 40.0)
# Only this process and its children see it.
IN_POD = """
mount -t tmpfs tmpfs /run
mkdir -p /run/secrets/kubernetes.io
cp -r "$1" /run/secrets/kubernetes.io/serviceaccount
shift
exec "$@"
"""


@pytest.fixture(scope="module")
def unleash(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Unleash, with no user of ours in it yet but those that `up` makes."""
    if os.geteuid() != 0:
        pytest.skip("only root may lay a token where a pod has it")
    with Stack(tmp_path_factory.mktemp("unleash"), only=("postgres", "unleash"), ports="free") as stack:
        yield stack


@pytest.fixture(scope="module")
def release(real_api: RealApi, unleash: Stack) -> Iterator[Release]:
    """The chart, which has yet to make its tokens."""
    real_api.namespace(NAMESPACE)
    secret = {
        "existing": "",
        "values": {"unleash-admin-password": unleash.secret("unleash-admin.password")},
    }
    made = {"existing": "", "values": {"unleash-sdk-token": "default:production.x", "admin-token": "a"}}
    values: dict[str, Any] = {
        "unleash": {"url": unleash.addresses.unleash, "install": False},
        "provision": {"mode": "bootstrap", "secret": secret},
        "service": {"secret": {**made, "keys": ["unleash-sdk-token", "unleash.token", "admin-token"]}},
        "board": {"secret": {"existing": "", "values": {"board-token": "b"}}},
    }
    one = Release(real_api, NAMESPACE)
    one.install(merge(TRIAL, values))
    yield one
    one.close()


def run_job(release: Release, folder: Path) -> str:
    """What the Job says when it runs; fails the test where it does not end with 0."""
    api = release.api
    (job,) = api.get(JOBS)["items"]
    spec = job["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    secrets = folder / "secrets"
    account = folder / "account"
    for each in (secrets, account, folder / "tmp"):
        each.mkdir(parents=True)
    (volume,) = [one for one in spec["volumes"] if one["name"] == "secrets"]
    for source in volume["projected"]["sources"]:
        held = api.get(f"{SECRETS}/{source['secret']['name']}")["data"]
        for key, value in held.items():
            (secrets / key).write_bytes(base64.b64decode(value))
    (account / "token").write_text(api.token_of(NAMESPACE, spec["serviceAccountName"]))
    (account / "namespace").write_text(NAMESPACE)
    (account / "ca.crt").write_bytes(api.ca.read_bytes())
    host, _, port = api.url.removeprefix("https://").partition(":")
    environment = {
        "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
        "KUBERNETES_SERVICE_HOST": host,
        "KUBERNETES_SERVICE_PORT": port,
        **{
            one["name"]: one.get("value", "").replace("/etc/canario/secrets", str(secrets))
            for one in container["env"]
        },
    }
    script = container["args"][0].replace("/tmp/tokens", str(folder / "tmp" / "tokens"))
    in_pod = ["unshare", "--mount", "sh", "-ec", IN_POD, "pod", str(account), *container["command"], script]
    said = ""
    for pause in (*RESTARTED_AFTER_SECONDS, None):
        done = subprocess.run(
            in_pod,
            env=environment,
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        said += done.stdout + done.stderr
        if done.returncode == 0 or pause is None:
            break
        time.sleep(pause)
    assert done.returncode == 0, said
    return said


def token_of(secret: Object) -> str:
    return base64.b64decode(secret["data"]["unleash.token"]).decode().strip()


def test_the_job_makes_a_token_for_each_part_and_keeps_it(
    release: Release, unleash: Stack, tmp_path: Path
) -> None:
    said = run_job(release, tmp_path / "first")
    assert "Secret canario-rollback-token: written" in said
    tokens = {part: token_of(release.api.get(f"{SECRETS}/canario-{part}-token")) for part in PARTS}
    for part, token in tokens.items():
        answer = requests.get(
            f"{unleash.addresses.unleash}/api/admin/user", headers={"Authorization": token}, timeout=10
        )
        assert answer.json()["user"]["username"] == f"canario-{part}"
    flags = requests.get(
        f"{unleash.addresses.unleash}/api/admin/projects/default/features",
        headers={"Authorization": tokens["rollback"]},
        timeout=10,
    ).json()["features"]
    assert {one["name"] for one in flags} >= {"canary", "shadow"}

    again = run_job(release, tmp_path / "second")
    assert "written" not in again
    assert tokens == {part: token_of(release.api.get(f"{SECRETS}/canario-{part}-token")) for part in PARTS}
