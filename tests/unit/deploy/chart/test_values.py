"""What each value turns on or off, and what is refused, with a sentence."""

import json
import re
from typing import Any

import helm_python
import pytest

from deploy.render import CHART
from docs.chart import rows
from tests.unit.deploy.chart.conftest import NEEDED
from tests.unit.deploy.chart.values import EVERYTHING, MONITORS, ROUTES, TRIAL

PARTS = ("service", "rollback", "rollout", "board")
MESH: dict[str, Any] = {"mesh": {"enabled": True, "routes": ROUTES}}


def environment(pod: dict[str, Any]) -> dict[str, str]:
    return {one["name"]: one["value"] for one in pod["spec"]["containers"][0]["env"]}


def test_by_default_there_are_the_four_parts_and_a_hook(render: Any) -> None:
    rendered = render()
    assert set(rendered.kinds("Deployment")) == {f"canario-{part}" for part in PARTS}
    (job,) = rendered.kinds("Job").values()
    assert job["metadata"]["annotations"]["helm.sh/hook"] == "post-install,post-upgrade"
    assert not {"Role", "ClusterRole", "Secret", "PodMonitor", "NetworkPolicy"} & {
        one["kind"] for one in rendered
    }


@pytest.mark.parametrize("part", PARTS)
def test_each_part_can_be_left_out(render: Any, part: str) -> None:
    rendered = render({part: {"enabled": False}}, MONITORS, {"networkPolicy": {"enabled": True}})
    about = [one for one in rendered if one["metadata"]["name"].startswith(f"canario-{part}")]
    assert [one["kind"] for one in about if one["metadata"]["name"] != "canario-rollouts"] == []
    assert len(rendered.kinds("Deployment")) == len(PARTS) - 1


@pytest.mark.parametrize("values", [{}, EVERYTHING, TRIAL], ids=["default", "everything", "trial"])
def test_pods_run_with_as_little_as_they_need(render: Any, values: Any) -> None:
    for name, pod in render(values).pods().items():
        spec = pod["spec"]
        assert spec["securityContext"]["runAsNonRoot"] is True, name
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        for container in spec["containers"]:
            if container["name"] == "shipper":  # the user's own
                continue
            context = container["securityContext"]
            assert context["readOnlyRootFilesystem"] is True, name
            assert context["allowPrivilegeEscalation"] is False, name
            assert context["capabilities"] == {"drop": ["ALL"]}, name
            assert container["resources"]["limits"]["memory"], name
        has_token = spec["automountServiceAccountToken"]
        assert has_token is ("mesh" in name or ("provision" in name and values is TRIAL)), name


def test_only_named_routes_may_be_changed(render: Any) -> None:
    roles = {
        (one["metadata"]["namespace"], one["metadata"]["name"]): one["rules"]
        for one in render(MESH)
        if one["kind"] == "Role"
    }
    assert set(roles) == {
        ("ml", "canario-mesh-leader"),
        ("ml", "canario-mesh-routes"),
        ("shop", "canario-mesh-routes"),
    }
    written = [
        (where, rule["resources"][0], rule.get("resourceNames"))
        for (where, _), rules in roles.items()
        for rule in rules
        if "update" in rule["verbs"]
    ]
    assert sorted(written) == [
        ("ml", "leases", ["canario-mesh"]),
        ("ml", "virtualservices", ["model"]),
        ("shop", "httproutes", ["search"]),
        ("shop", "virtualservices", ["ranker"]),
    ]
    verbs = {verb for rules in roles.values() for rule in rules for verb in rule["verbs"]}
    assert verbs == {"get", "list", "update", "create"}
    created = [rule["resources"] for rules in roles.values() for rule in rules if "create" in rule["verbs"]]
    assert sorted(created) == [["events"], ["events"], ["leases"]]


def test_the_chart_owns_no_route(render: Any) -> None:
    """So no upgrade, and nothing that applies the chart from Git, can set a weight."""
    assert not {"VirtualService", "HTTPRoute", "DestinationRule"} & {
        one["kind"] for one in render(EVERYTHING, MESH)
    }


def test_each_arm_may_have_a_deployment(render: Any) -> None:
    rendered = render({"service": {"arms": "separate", "replicas": 4, "challengerReplicas": 2}})
    pods = rendered.pods()
    for arm, replicas in (("champion", 4), ("challenger", 2)):
        name = f"canario-service-{arm}"
        assert rendered.one("Deployment", name)["spec"]["replicas"] == replicas
        assert environment(pods[name])["CANARIO_CHAMPION"] == f"/models/{arm}"
        assert environment(pods[name])["CANARIO_CHALLENGER"] == ""
        selector = rendered.one("Service", name)["spec"]["selector"]
        assert selector["canario/arm"] == arm
        assert selector.items() <= pods[name]["metadata"]["labels"].items()
    both = rendered.one("Service", "canario-service")["spec"]["selector"]
    assert all(
        both.items() <= pods[f"canario-service-{arm}"]["metadata"]["labels"].items()
        for arm in ("champion", "challenger")
    )


def test_an_autoscaled_deployment_says_no_replicas(render: Any) -> None:
    rendered = render({"service": {"autoscaling": {"enabled": True, "maxReplicas": 7}}})
    assert "replicas" not in rendered.one("Deployment", "canario-service")["spec"]
    assert rendered.one("HorizontalPodAutoscaler", "canario-service")["spec"]["maxReplicas"] == 7


def test_secrets_are_files_and_never_variables(render: Any) -> None:
    values = {
        "service": {
            "secret": {"existing": "", "keys": ["unleash-sdk-token"], "values": {"unleash-sdk-token": "s3"}}
        }
    }
    rendered = render(values)
    assert rendered.one("Secret", "canario-service")["stringData"] == {"unleash-sdk-token": "s3"}
    pod = rendered.pods()["canario-service"]
    assert environment(pod)["CANARIO_UNLEASH_SDK_TOKEN_FILE"] == "/etc/canario/secrets/unleash-sdk-token"
    (volume,) = [one for one in pod["spec"]["volumes"] if one["name"] == "secrets"]
    assert volume["projected"]["sources"] == [{"secret": {"name": "canario-service"}}]
    assert "s3" not in json.dumps([one for one in rendered if one["kind"] != "Secret"])


def test_a_trial_makes_its_secrets_and_keeps_the_administrator_from_all_but_one(render: Any) -> None:
    rendered = render(TRIAL)
    made = rendered.one("Secret", "canario-trial")["stringData"]
    assert re.fullmatch(r"default:production\.[a-z0-9]{64}", made["unleash-sdk-token"])
    for name, pod in rendered.pods().items():
        volumes = [one for one in pod["spec"]["volumes"] if one["name"] == "secrets"]
        keys = {
            item["key"]
            for one in volumes
            for source in one["projected"]["sources"]
            for item in source["secret"]["items"]
        }
        assert ("unleash-admin-password" in keys) is ("provision" in name), name
    role = rendered.one("Role", "canario-provision")["rules"]
    assert [rule["verbs"] for rule in role] == [["get", "update"]]
    stubs = {name for name in rendered.kinds("Secret") if name.endswith("-token")}
    assert set(role[0]["resourceNames"]) == stubs | {"canario-mesh-token"}  # which is off here


def test_settings_of_the_user_win(render: Any) -> None:
    values = {"service": {"env": {"CANARIO_UNLEASH_URL": "http://edge:3063", "CANARIO_WORKERS": 4}}}
    found = environment(render(values).pods()["canario-service"])
    assert found["CANARIO_UNLEASH_URL"] == "http://edge:3063"
    assert found["CANARIO_WORKERS"] == "4"


def test_variables_of_opentelemetry_reach_the_service(render: Any) -> None:
    asked = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318", "OTEL_SERVICE_NAME": "shop"}
    found = render({"service": {"env": asked}})
    assert asked.items() <= environment(found.pods()["canario-service"]).items()


def test_rollouts_of_values_lie_as_folders_in_the_pods(render: Any) -> None:
    files = {"checkout/rollout.yaml": "name: checkout\n", "checkout/plan.yaml": "stages: []\n"}
    rendered = render({"rollouts": {"files": files}})
    config = rendered.one("ConfigMap", "canario-rollouts")["data"]
    for part in ("rollback", "rollout", "board"):
        (volume,) = [
            one for one in rendered.pods()[f"canario-{part}"]["spec"]["volumes"] if one["name"] == "rollouts"
        ]
        laid = {item["path"]: config[item["key"]] for item in volume["configMap"]["items"]}
        assert {path: text.strip() for path, text in laid.items()} == {
            path: text.strip() for path, text in files.items()
        }


def test_monitors_have_the_labels_and_jobs_that_are_asked_for(render: Any) -> None:
    rendered = render(MONITORS, MESH)
    monitors = rendered.kinds("PodMonitor")
    assert set(monitors) == {f"canario-{part}" for part in ("service", "rollback", "rollout", "mesh")}
    for name, monitor in monitors.items():
        assert monitor["metadata"]["labels"]["release"] == "prometheus"
        (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
        assert endpoint["relabelings"][0]["replacement"] == name.removeprefix("canario-")
        container = rendered.pods()[name]["spec"]["containers"][0]
        assert endpoint["port"] in {port["name"] for port in container["ports"]}
    rule = rendered.one("PrometheusRule", "canario-rules")
    assert {group["name"] for group in rule["spec"]["groups"]}
    assert "{{ $labels" in json.dumps(rule), "Helm must not render what Prometheus renders"
    dashboard = rendered.one("ConfigMap", "canario-dashboard")
    assert dashboard["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert json.loads(dashboard["data"]["canario.json"])["panels"]


def test_policies_are_for_every_part_and_let_only_the_right_ones_reach_kubernetes(render: Any) -> None:
    rendered = render(MESH, {"networkPolicy": {"enabled": True, "egressPorts": [4242]}})
    policies = rendered.kinds("NetworkPolicy")
    assert set(policies) == {f"canario-{part}" for part in (*PARTS, "mesh", "provision")}
    for name, policy in policies.items():
        labels = policy["spec"]["podSelector"]["matchLabels"]
        assert labels.items() <= rendered.pods()[name]["metadata"]["labels"].items()
        ports = {port["port"] for rule in policy["spec"]["egress"] for port in rule.get("ports", ())}
        assert (6443 in ports) is (name in {"canario-mesh", "canario-provision"}), name


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"unleash": {"url": ""}}, "unleash.url: the address of your Unleash is needed"),
        ({"unleash": {"url": "unleash:4242"}}, "/unleash/url"),
        ({"unleash": {"install": True}}, "either an Unleash that exists, or a small one"),
        ({"prometheus": {"url": ""}}, "prometheus.url: the address of your Prometheus is needed"),
        ({"service": {"replicas": -1}}, "/service/replicas': minimum"),
        ({"service": {"replica": 1}}, "additional properties 'replica' not allowed"),
        ({"service": {"arms": "apart"}}, "/service/arms"),
        ({"service": {"env": {"WORKERS": "4"}}}, "WORKERS"),
        ({"service": {"secret": {"existing": ""}}}, "service.secret: the key unleash-sdk-token is needed"),
        ({"service": {"arms": "separate", "models": {"challenger": ""}}}, "needs service.models.challenger"),
        ({"service": {"autoscaling": {"enabled": True, "minReplicas": 20}}}, "is more than maxReplicas"),
        ({"rollout": {"promote": True}}, "rollout.promote: needs service.models.volume"),
        ({"rollback": {"every": "5"}}, "/rollback/every"),
        ({"mesh": {"enabled": True}}, "mesh.routes: name the routes"),
        ({"mesh": {"routes": [{"kind": "Ingress", "name": "x"}]}}, "/mesh/routes/0/kind"),
        ({"board": {"ingress": {"enabled": True}}}, "board.ingress.host"),
        ({"rollouts": {"existingConfigMap": "mine"}}, "rollouts.keys: says which key"),
        ({"rollouts": {"files": {"rollout.yaml": ""}}}, "rollout.yaml' does not match"),
        ({"provision": {"mode": "hook"}}, "/provision/mode"),
        ({"image": {"digest": "latest"}}, "/image/digest"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_does_not_fit_is_refused_with_a_sentence(render: Any, values: Any, says: str) -> None:
    with pytest.raises(helm_python.HelmError) as error:
        render(values)
    assert says in str(error.value)


def test_helm_finds_nothing_wrong_with_the_chart() -> None:
    report = helm_python.lint(CHART, dict(NEEDED), strict=True)
    assert report["errors"] == []
    assert [one["error"] for one in report["messages"]] == ["icon is recommended"]


def test_the_schema_knows_every_value_and_no_other() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))

    def leaves(node: dict[str, Any], path: str = "") -> set[str]:
        inner = node.get("properties")
        if not inner:
            return {path}
        return {leaf for name, each in inner.items() for leaf in leaves(each, f"{path}.{name}".strip("."))}

    known = {row.name for row in rows()}
    told = {leaf for leaf in leaves(schema) if not leaf.startswith("global")}
    assert {
        leaf for leaf in told if not any(leaf == one or leaf.startswith(f"{one}.") for one in known)
    } == set()
    assert {
        one for one in known if not any(leaf == one or one.startswith(f"{leaf}.") for leaf in told)
    } == set()


def test_notes_say_what_to_do_next(chart: helm_python.Chart) -> None:
    notes = chart.render(
        {**TRIAL, **MESH, "mesh": {**MESH["mesh"], "secret": {}}}, name="canario", namespace="ml"
    )
    text = notes["canario/templates/NOTES.txt"]
    assert "svc/canario-board 8100:8100" in text
    assert "VirtualService ranker, HTTPRoute search" in text
