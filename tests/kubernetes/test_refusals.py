"""What the API server refuses, and one that is away: a sentence each."""

from pathlib import Path

import pytest

from flags.mesh.access import by_kubeconfig, in_pod
from flags.mesh.controller import Memory, follow
from flags.mesh.errors import Forbidden, Missing, Refused, Unreachable
from flags.mesh.kubernetes import ENDPOINT_SLICES_BETA, VIRTUAL_SERVICES, Object
from flags.mesh.leader import Leader
from flags.mesh.objects import ObjectRoute
from flags.mesh.wanted import Wanted
from tests.kubernetes.fake_api import ADMIN, FakeApi, serving
from tests.kubernetes.scene import VIRTUAL_SERVICE, Cluster, filled, part

WANTED = Wanted(5, "the flag says 5%")
RIGHTS = {
    ("get", "virtualservices"),
    ("update", "virtualservices"),
    ("list", "destinationrules"),
    ("list", "endpointslices"),
    ("list", "pods"),
    ("create", "events"),
}
"""Those that docs/mesh.md and the chart name for a VirtualService, without the leader's."""


def test_a_token_without_a_right_is_told_which(fake: FakeApi) -> None:
    with serving(fake) as url:
        cluster = Cluster(url, ADMIN)
        filled(cluster)
        for lacking in sorted(RIGHTS):
            fake.tokens["controller"] = RIGHTS - {lacking}
            route, verb, plural = ObjectRoute(part(VIRTUAL_SERVICE), cluster.api("controller")), *lacking
            told = ""
            try:
                told = follow(route, WANTED, Memory()).obstacle
            except Forbidden as error:
                told = str(error)
            if plural == "events":  # the weights count; the log says that no Event was made
                assert cluster.read(VIRTUAL_SERVICES)["spec"]["http"][1]["route"][1]["weight"] == 5
                cluster.change(VIRTUAL_SERVICES, "ranker", _back)
                continue
            assert f"does not let this process {verb} {plural}" in told
            assert f"in namespace shop (403): its ServiceAccount needs the verb {verb} on {plural}" in told
            assert cluster.read(VIRTUAL_SERVICES)["spec"]["http"][1]["route"][1]["weight"] == 0
        fake.tokens["controller"] = RIGHTS
        assert follow(ObjectRoute(part(VIRTUAL_SERVICE), cluster.api("controller")), WANTED, Memory()).change


def _back(document: Object) -> None:
    for arm, weight in zip(document["spec"]["http"][1]["route"], (100, 0), strict=True):
        arm["weight"] = weight


def test_an_unknown_token_a_missing_kind_and_a_server_that_is_away(fake: FakeApi) -> None:
    with serving(fake) as url:
        cluster = Cluster(url, ADMIN)
        filled(cluster)
        with pytest.raises(Refused, match=r"does not know this token \(401\)"):
            ObjectRoute(part(VIRTUAL_SERVICE), cluster.api("wrong")).read()
        fake.kinds.remove(("networking.istio.io/v1", "virtualservices"))
        with pytest.raises(Missing, match=r"nor virtualservices.networking.istio.io/v1 at all: its CRDs"):
            ObjectRoute(part(VIRTUAL_SERVICE), cluster.api()).read()
    with pytest.raises(Unreachable, match=rf"^the Kubernetes API at {url} does not answer: .*refused"):
        ObjectRoute(part(VIRTUAL_SERVICE), cluster.api()).read()
    leader = Leader(cluster.api(), "shop", "canario-mesh", "one")
    assert not leader.step()
    assert "does not answer" in leader.fault


def test_the_leader_stops_when_it_cannot_renew_and_goes_on_when_it_can(fake: FakeApi) -> None:
    now = [0.0]
    with serving(fake) as url:
        cluster = Cluster(url, ADMIN)
        leader = Leader(cluster.api(), "shop", "canario-mesh", "one", clock=lambda: now[0])
        assert leader.step()
        fake.tokens.clear()
        now[0] = 7.0
        assert leader.step()  # what it has counts to its end
        now[0] = 8.5
        assert not leader.step()
        fake.tokens[ADMIN] = None
        assert leader.step()


def test_before_kubernetes_1_21_slices_are_asked_for_by_their_older_version(fake: FakeApi) -> None:
    fake.kinds -= {("discovery.k8s.io/v1", "endpointslices")}
    fake.kinds |= {("discovery.k8s.io/v1beta1", "endpointslices")}
    with serving(fake) as url:
        cluster = Cluster(url, ADMIN, slices=ENDPOINT_SLICES_BETA)
        filled(cluster)
        step = follow(ObjectRoute(part(VIRTUAL_SERVICE), cluster.api()), WANTED, Memory())
        assert (step.obstacle, [str(one) for one in step.weights]) == ("", ["95/5"])


def test_secrets_of_a_kubeconfig_and_of_a_pod_are_read(tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.write_text(
        """
        {current-context: here,
         contexts: [{name: here, context: {cluster: c, user: u, namespace: shop}}],
         clusters: [{name: c, cluster: {server: "https://10.0.0.1:6443/", certificate-authority: ca.crt}}],
         users: [{name: u, user: {token: secret}}]}
        """,
        encoding="utf-8",
    )
    access = by_kubeconfig(config)
    assert (access.url, access.ca, access.namespace) == ("https://10.0.0.1:6443", tmp_path / "ca.crt", "shop")
    assert access.token is not None
    assert access.token.get_secret_value() == "secret"
    for name, text in (("token", "first\n"), ("namespace", "canario"), ("ca.crt", "")):
        (tmp_path / name).write_text(text, encoding="utf-8")
    pod = in_pod(tmp_path, {"KUBERNETES_SERVICE_HOST": "fd00::1", "KUBERNETES_SERVICE_PORT": "443"})
    assert pod is not None
    assert (pod.url, pod.namespace) == ("https://[fd00::1]:443", "canario")
    (tmp_path / "token").write_text("second, rotated\n", encoding="utf-8")
    assert pod.token is not None
    assert pod.token.get_secret_value() == "second, rotated"
    assert in_pod(tmp_path, {}) is None
