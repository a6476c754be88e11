"""The chart on a real API server: what Helm makes, what each account may do, what an upgrade leaves alone."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from flags.accounts.in_kubernetes import TokenSecrets, api_of_pod
from flags.accounts.vault import Vault
from flags.mesh.errors import Forbidden
from tests.kubernetes.real_api import Object, RealApi
from tests.kubernetes.release import Release
from tests.unit.deploy.chart.conftest import NEEDED, merge
from tests.unit.deploy.chart.values import EVERYTHING, EVERYTHING_ELSE

pytestmark = pytest.mark.kubernetes

# Other tests of the same server have a namespace `shop` of their own.
ROUTES_IN = "chart-routes"
VALUES = json.loads(json.dumps(merge(NEEDED, EVERYTHING)).replace('"shop"', f'"{ROUTES_IN}"'))
ISTIO = "/apis/networking.istio.io/v1/namespaces"
GATEWAY = "/apis/gateway.networking.k8s.io/v1/namespaces"
ALL_VERBS = ("get", "list", "watch", "create", "update", "patch", "delete")
ACCOUNTS = ("service", "rollback", "rollout", "board", "mesh", "provision")
# Everything that one of ours could want, and what nobody should have.
ASKED = (
    ("networking.istio.io", "virtualservices", "ranker"),
    ("networking.istio.io", "virtualservices", "other"),
    ("networking.istio.io", "virtualservices", ""),
    ("networking.istio.io", "destinationrules", ""),
    ("gateway.networking.k8s.io", "httproutes", "search"),
    ("gateway.networking.k8s.io", "httproutes", "other"),
    ("discovery.k8s.io", "endpointslices", ""),
    ("", "pods", ""),
    ("", "secrets", ""),
    ("", "secrets", "canario-service-token"),
    ("", "secrets", "canario-flags-token"),
    ("", "secrets", "canario-trial"),
    ("", "configmaps", ""),
    ("", "serviceaccounts", ""),
    ("apps", "deployments", ""),
    ("batch", "jobs", ""),
    ("coordination.k8s.io", "leases", "canario-mesh"),
    ("coordination.k8s.io", "leases", "other"),
    ("events.k8s.io", "events", ""),
    ("rbac.authorization.k8s.io", "roles", ""),
)
MESH_THERE = {
    ("get", "virtualservices", "ranker"),
    ("update", "virtualservices", "ranker"),
    ("get", "httproutes", "search"),
    ("update", "httproutes", "search"),
    ("list", "destinationrules", ""),
    ("list", "pods", ""),
    ("list", "endpointslices", ""),
    ("create", "events", ""),
}


@pytest.fixture(scope="module")
def guarded(real_api: RealApi) -> Iterator[Release]:
    """With everything on, for an Unleash that exists."""
    for name in ("ml", ROUTES_IN):
        real_api.namespace(name)
    release = Release(real_api, "ml")
    release.install(VALUES)
    yield release
    release.close()


@pytest.fixture(scope="module")
def trial(guarded: Release) -> Iterator[Release]:
    """With Unleash and Prometheus in its own namespace, and tokens that the provision Job makes."""
    guarded.api.namespace("try")
    release = Release(guarded.api, "try")
    release.install(merge(EVERYTHING_ELSE, {"mesh": {"enabled": False}}))
    yield release
    release.close()


def allowed(api: RealApi, account: str, of: str, namespace: str) -> set[tuple[str, str, str]]:
    """Which of all that is asked this account may do there, as the API server says to itself."""
    session = requests.Session()
    session.trust_env, session.verify = False, str(api.ca)
    session.headers["Authorization"] = f"Bearer {api.token_of(of, account)}"
    may = set()
    for group, resource, name in ASKED:
        for verb in ALL_VERBS:
            attributes = {"group": group, "resource": resource, "name": name, "verb": verb}
            review = {
                "apiVersion": "authorization.k8s.io/v1",
                "kind": "SelfSubjectAccessReview",
                "spec": {"resourceAttributes": {**attributes, "namespace": namespace}},
            }
            path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
            answer = session.post(api.url + path, json=review, timeout=30).json()
            if answer["status"]["allowed"]:
                may.add((verb, resource, name))
    return may


def test_helm_makes_everything(guarded: Release) -> None:
    api = guarded.api
    deployments = api.get("/apis/apps/v1/namespaces/ml/deployments")["items"]
    assert {one["metadata"]["name"] for one in deployments} == {
        f"canario-{part}" for part in ("service", "rollback", "rollout", "board", "mesh")
    }
    monitors = api.get("/apis/monitoring.coreos.com/v1/namespaces/ml/podmonitors")["items"]
    assert len(monitors) == 4
    (rule,) = api.get("/apis/monitoring.coreos.com/v1/namespaces/ml/prometheusrules")["items"]
    alerts = {one.get("alert") for group in rule["spec"]["groups"] for one in group["rules"]}
    assert "RollbackJobSilent" in alerts
    policies = api.get("/apis/networking.k8s.io/v1/namespaces/ml/networkpolicies")["items"]
    assert len(policies) == len(ACCOUNTS)


@pytest.mark.parametrize("account", ACCOUNTS)
def test_each_account_has_the_rights_it_needs_and_no_other(guarded: Release, account: str) -> None:
    there = allowed(guarded.api, f"canario-{account}", "ml", ROUTES_IN)
    in_ml = allowed(guarded.api, f"canario-{account}", "ml", "ml")
    assert allowed(guarded.api, f"canario-{account}", "ml", "kube-system") == set()
    if account != "mesh":
        assert there | in_ml == set()
        return
    assert there == MESH_THERE
    assert in_ml == {
        ("list", "destinationrules", ""),
        ("list", "pods", ""),
        ("list", "endpointslices", ""),
        ("create", "events", ""),
        ("get", "leases", "canario-mesh"),
        ("update", "leases", "canario-mesh"),
        ("create", "leases", "canario-mesh"),
        ("create", "leases", "other"),
    }


def test_the_provision_job_may_change_its_token_secrets_alone(trial: Release) -> None:
    may = allowed(trial.api, "canario-provision", "try", "try")
    assert may == {
        (verb, "secrets", name)
        for verb in ("get", "update")
        for name in ("canario-service-token", "canario-flags-token")
    }
    assert allowed(trial.api, "canario-provision", "try", "ml") == set()


def test_the_provision_job_writes_tokens_as_its_own_account(trial: Release, tmp_path: Path) -> None:
    vault = Vault(tmp_path / "vault")
    vault.path("canario-rollback").write_text("user:abc\n")
    vault.path("canario-rollback").with_suffix(".json").write_text("{}\n")
    secrets = TokenSecrets("canario", api_of_pod(*pod(trial.api, "canario-provision", "try", tmp_path)))
    assert list(secrets.save(vault)) == ["canario-rollback-token"]
    assert list(secrets.save(vault)) == []
    held = trial.api.get("/api/v1/namespaces/try/secrets/canario-rollback-token")["data"]
    assert base64.b64decode(held["unleash.token"]) == b"user:abc\n"


def test_an_account_without_the_right_is_told_which_one_it_lacks(trial: Release, tmp_path: Path) -> None:
    secrets = TokenSecrets("canario", api_of_pod(*pod(trial.api, "canario-board", "try", tmp_path)))
    with pytest.raises(Forbidden, match=r"\(403\): its ServiceAccount needs the verb get on secrets"):
        secrets.load(Vault(tmp_path / "vault"))


def pod(api: RealApi, account: str, namespace: str, folder: Path) -> tuple[Path, dict[str, str]]:
    """What the kubelet gives a pod of this account."""
    (folder / "token").write_text(api.token_of(namespace, account))
    (folder / "namespace").write_text(namespace)
    (folder / "ca.crt").write_bytes(api.ca.read_bytes())
    host, _, port = api.url.removeprefix("https://").partition(":")
    return folder, {"KUBERNETES_SERVICE_HOST": host, "KUBERNETES_SERVICE_PORT": port}


def virtual_service(weight: int) -> Object:
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": {"name": "ranker", "namespace": ROUTES_IN},
        "spec": {
            "hosts": ["ranker"],
            "http": [
                {
                    "route": [
                        {"destination": {"host": "ranker", "subset": "v1"}, "weight": 100 - weight},
                        {"destination": {"host": "ranker", "subset": "v2"}, "weight": weight},
                    ]
                }
            ],
        },
    }


def http_route(weight: int) -> Object:
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": {"name": "search", "namespace": ROUTES_IN},
        "spec": {
            "parentRefs": [{"name": "gateway"}],
            "rules": [
                {
                    "backendRefs": [
                        {"name": "search-v1", "port": 80, "weight": 100 - weight},
                        {"name": "search-v2", "port": 80, "weight": weight},
                    ]
                }
            ],
        },
    }


def test_an_upgrade_in_the_middle_of_a_rollout_changes_no_weight(guarded: Release) -> None:
    api = guarded.api
    made = (
        (f"{ISTIO}/{ROUTES_IN}/virtualservices", virtual_service(25)),
        (f"{GATEWAY}/{ROUTES_IN}/httproutes", http_route(5)),
    )
    before = [api.create(path, one) for path, one in made]
    changed: dict[str, Any] = {
        "image": {"tag": "0.2.0"},
        "rollback": {"every": "10s"},
        "commonLabels": {"team": "other"},
    }
    guarded.upgrade(merge(VALUES, changed))
    after = [api.get(f"{path}/{one['metadata']['name']}") for path, one in made]
    assert after == before, "not even the resourceVersion"
    deployment = api.get("/apis/apps/v1/namespaces/ml/deployments/canario-rollback")
    assert deployment["spec"]["template"]["spec"]["containers"][0]["image"] == "canario:0.2.0"


def test_an_upgrade_without_a_change_restarts_nothing(guarded: Release) -> None:
    path = "/apis/apps/v1/namespaces/ml/deployments"
    values = VALUES
    guarded.upgrade(values)
    before = {
        one["metadata"]["name"]: one["metadata"]["generation"] for one in guarded.api.get(path)["items"]
    }
    guarded.upgrade(values)
    after = {one["metadata"]["name"]: one["metadata"]["generation"] for one in guarded.api.get(path)["items"]}
    assert after == before


def test_an_upgrade_keeps_tokens_that_were_written_and_secrets_that_were_made_up(trial: Release) -> None:
    api, secrets = trial.api, "/api/v1/namespaces/try/secrets"
    token = api.get(f"{secrets}/canario-service-token")
    token["data"] = {"unleash.token": base64.b64encode(b"user:abc").decode()}
    api.replace(f"{secrets}/canario-service-token", token)
    made_up = api.get(f"{secrets}/canario-trial")["data"]
    trial.upgrade(merge(EVERYTHING_ELSE, {"mesh": {"enabled": False}, "service": {"replicas": 3}}))
    assert api.get(f"{secrets}/canario-service-token")["data"] == token["data"]
    assert api.get(f"{secrets}/canario-trial")["data"] == made_up


def test_what_the_server_held_is_there_after_it_was_killed(guarded: Release) -> None:
    api = guarded.api
    path = "/apis/apps/v1/namespaces/ml/deployments"
    before = api.get(path)["items"]
    api.kill_api()
    with pytest.raises(requests.ConnectionError):
        api.get(path)
    api.start_api()
    assert api.get(path)["items"] == before


def test_a_removal_leaves_the_routes(guarded: Release) -> None:
    guarded.uninstall()
    assert guarded.api.get("/apis/apps/v1/namespaces/ml/deployments")["items"] == []
    routes = guarded.api.get(f"{ISTIO}/{ROUTES_IN}/virtualservices")["items"]
    assert [one["metadata"]["name"] for one in routes] == ["ranker"]
