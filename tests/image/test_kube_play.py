"""The service's pod from the Deployment that the chart renders, run by Podman where there is no kubelet.

Podman 4.3 does not take all of it: `playable` says what is changed. Some of it has no effect in Podman, and
is not proved here: the grace period, preStop, the size and medium of an emptyDir, and what needs a scheduler.
"""

import copy
import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from helm_python import Chart

from deploy.render import CHART, Document, documents
from stack.ports import free_port
from tests.image.container import JSON, NOWHERE, REQUEST, Container
from tests.image.engine import Engine

VALUES = {
    "unleash": {"url": NOWHERE["CANARIO_UNLEASH_URL"]},
    "prometheus": {"url": "http://127.0.0.1:1"},
    "provision": {"mode": "none"},
    "service": {
        "replicas": 1,
        "secret": {
            "keys": ["unleash-sdk-token", "log-salt"],
            "values": {
                "unleash-sdk-token": NOWHERE["CANARIO_UNLEASH_SDK_TOKEN"],
                "log-salt": "0123456789" * 4,
            },
        },
    },
    **{part: {"enabled": False} for part in ("rollback", "rollout", "board")},
}
PROBES = ("startupProbe", "readinessProbe", "livenessProbe")


def container_of(rendered: list[Document]) -> Document:
    """The only container of the only Deployment."""
    (deployment,) = (each for each in rendered if each["kind"] == "Deployment")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    return dict(container)


def playable(rendered: list[Document], port: int) -> list[Document]:
    """What Podman 4.3 takes of it; all else stays as the chart renders it.

    - A Secret becomes a ConfigMap of the same name, and `projected` a volume of it: Podman knows neither.
    - The probes go: Podman makes `curl` at port 0 of an httpGet with a named port. The test asks their paths.
    - The container's port is that of this machine, at all its addresses; `hostIP` and `hostPort` say another.
    """
    changed = copy.deepcopy(rendered)
    for each in changed:
        if each["kind"] == "Secret":
            each |= {"kind": "ConfigMap", "data": each.pop("stringData")}
            del each["type"]
        if each["kind"] == "Deployment":
            pod = each["spec"]["template"]["spec"]
            for volume in pod["volumes"]:
                if projected := volume.pop("projected", None):
                    (source,) = projected["sources"]
                    volume["configMap"] = {"name": source["secret"]["name"]}
            (container,) = pod["containers"]
            for probe in PROBES:
                del container[probe]
            (published,) = container["ports"]
            published |= {"hostIP": "127.0.0.1", "hostPort": port}
    return changed


@pytest.fixture(scope="module")
def rendered(image: str) -> list[Document]:
    """All objects of the chart, with the service alone; `localhost/` is what Podman has no registry for."""
    repository, _, tag = image.partition(":")
    named = {"image": {"repository": f"localhost/{repository}", "tag": tag}}
    return documents(Chart.load(CHART), VALUES | named)


@pytest.fixture(scope="module")
def manifest(
    engine: Engine, rendered: list[Document], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Path, int]]:
    """The file that Podman plays, and the port of this machine at which the pod then is."""
    if engine.name != "podman":
        pytest.skip("`kube play` is Podman's")
    port = free_port()
    file = tmp_path_factory.mktemp("kube") / "canario.yaml"
    # JSON is YAML too, and no text of digits is a number in it.
    file.write_text("\n---\n".join(map(json.dumps, playable(rendered, port))), encoding="utf-8")
    yield file, port
    secret = next(each["metadata"]["name"] for each in rendered if each["kind"] == "Secret")
    engine.run("volume", "rm", "--force", secret)  # `kube down` leaves it


@pytest.fixture(scope="module")
def pod(engine: Engine, rendered: list[Document], manifest: tuple[Path, int]) -> Iterator[Container]:
    """The pod's container, which is ready as its readiness probe would find it."""
    file, port = manifest
    begun = time.monotonic()
    try:
        engine.run("kube", "play", "--network", "podman", str(file))
        container = Container(engine, "canario-service-pod-0-service", f"http://127.0.0.1:{port}")
        container.wait_until_ready(container_of(rendered)["readinessProbe"]["httpGet"]["path"])
        print(f"\nready {time.monotonic() - begun:.1f} s after `kube play`")
        yield container
    finally:
        engine.run("kube", "down", str(file), check=False)


def test_every_probe_finds_it_well(pod: Container, rendered: list[Document]) -> None:
    container = container_of(rendered)
    asked = {probe: container[probe]["httpGet"] for probe in PROBES}
    assert asked["readinessProbe"] == {"path": "/readyz", "port": container["ports"][0]["name"]}
    for probe in asked.values():
        assert requests.get(f"{pod.url}{probe['path']}", timeout=5).status_code == 200


def test_it_answers_predictions(pod: Container) -> None:
    answer = requests.post(f"{pod.url}/predict", data=REQUEST, headers=JSON, timeout=5)
    assert answer.status_code == 200
    assert answer.json()["model"] == "champion"
    assert answer.json()["reason"] == "unleash_unknown"
    end = time.monotonic() + 10  # a flush a second
    while answer.json()["request_id"] not in pod.exec(
        "sh", "-c", "cat /var/log/canario/*.jsonl", check=False
    ):
        assert time.monotonic() < end, "the prediction is not in the log"
        time.sleep(0.2)


def test_it_has_the_rights_and_the_memory_of_the_manifest(pod: Container, rendered: list[Document]) -> None:
    processes = pod.processes()
    assert len(processes) > 3, "master, workers, challengers"
    for process in processes:
        assert process["Uid"].split() == process["Gid"].split() == ["10001"] * 4
        assert process["CapEff"] == process["CapPrm"] == process["CapBnd"] == "0" * 16
        assert process["NoNewPrivs"] == "1"
        assert process["Seccomp"] == "2", "RuntimeDefault: filtered"
    assert container_of(rendered)["resources"]["limits"] == {"memory": "1Gi"}
    assert pod.inspect()["HostConfig"]["Memory"] == 2**30


def test_its_root_is_read_only_and_its_volumes_are_not(pod: Container, rendered: list[Document]) -> None:
    mounts = container_of(rendered)["volumeMounts"]
    volumes = [each["mountPath"] for each in mounts if not each.get("readOnly")]
    assert set(volumes) == {"/tmp", "/var/lib/canario", "/var/log/canario"}
    others = ("/", "/app", "/venv", "/models", "/etc", "/usr/bin", "/etc/canario/secrets")
    assert pod.inspect()["HostConfig"]["ReadonlyRootfs"]
    assert pod.writable(*others, *volumes) == volumes


def test_the_admin_routes_are_off_without_a_token(pod: Container) -> None:
    for path in ("/admin/models", "/admin/canary", "/admin/rollout"):
        assert requests.get(f"{pod.url}{path}", timeout=5).status_code == 403


def test_kube_down_ends_it(pod: Container, manifest: tuple[Path, int], engine: Engine) -> None:
    """The last test of this file: the pod is the one that the others asked."""
    begun = time.monotonic()
    engine.run("kube", "down", str(manifest[0]))
    print(f"\nended in {time.monotonic() - begun:.1f} s")
    assert engine.run("ps", "--all", "--quiet", "--filter", "name=canario-service-pod-0").stdout == ""
    with pytest.raises(requests.ConnectionError):
        requests.get(f"{pod.url}/readyz", timeout=2)
