"""examples/istio and examples/envoy: they fit the CRDs and each other."""

import copy
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from common.rollouts import choose
from flags.desired.file import load_desired
from flags.mesh.routes import RoutedFile, VirtualServicePart
from flags.mesh.weights import of_virtual_service
from rollback.rollouts import GuardedFile, policy_of

REPOSITORY = Path(__file__).parents[3]
EXAMPLE = REPOSITORY / "examples" / "istio"
CRDS = REPOSITORY / "tests" / "kubernetes" / "crds"
FILES = ("by-weight.yaml", "by-user.yaml")

Object = dict[str, Any]


def objects(file: str) -> list[Object]:
    return list(yaml.safe_load_all((EXAMPLE / file).read_text(encoding="utf-8")))


def strict(schema: Object) -> Object:
    """Without room for fields that it does not name: an API server would drop a typo silently."""
    made = copy.deepcopy(schema)
    _forbid(made)
    return made


def _forbid(schema: Object) -> None:
    if schema.get("properties") and not schema.get("x-kubernetes-preserve-unknown-fields"):
        schema.setdefault("additionalProperties", False)
    for value in schema.values():
        for one in value if isinstance(value, list) else value.values() if isinstance(value, dict) else ():
            if isinstance(one, dict):
                _forbid(one)
    for name in ("items", "additionalProperties"):
        if isinstance(schema.get(name), dict):
            _forbid(schema[name])


def schema_of(found: Object) -> Object:
    """That of the object's CRD, in its version."""
    group, _, version = found["apiVersion"].rpartition("/")
    [file] = CRDS.glob(f"{found['kind'].lower()}*.{group}.yaml")
    crd = yaml.safe_load(file.read_text(encoding="utf-8"))
    [of_version] = [one for one in crd["spec"]["versions"] if one["name"] == version]
    schema = strict(of_version["schema"]["openAPIV3Schema"])
    schema["properties"] |= {name: {} for name in ("apiVersion", "kind", "metadata")}
    return schema


def check(found: Object) -> None:
    """Raises ValidationError."""
    jsonschema.validate(found, schema_of(found))  # type: ignore[no-untyped-call]


@pytest.mark.parametrize("file", FILES)
def test_objects_of_istio_fit_their_crds(file: str) -> None:
    for found in objects(file):
        check(found)


@pytest.mark.parametrize("wrong", [("route", "wieght"), ("destination", "sub-set")])
def test_a_typo_would_be_found(wrong: tuple[str, str]) -> None:
    found = objects("by-weight.yaml")[1]
    route = found["spec"]["http"][0]["route"][0]
    (route if wrong[0] == "route" else route["destination"])[wrong[1]] = 1
    with pytest.raises(jsonschema.ValidationError):
        check(found)


def test_the_rollout_names_what_is_there() -> None:
    environment = {"CANARIO_ROLLOUTS": str(EXAMPLE / "rollouts")}
    file = choose(RoutedFile, "mesh", environment=environment).file
    [part] = file.routes
    assert isinstance(part, VirtualServicePart)
    rule, service = objects("by-weight.yaml")
    [found] = of_virtual_service(part, service)
    assert str(found.weights) == "95/5"
    subsets = {one["name"]: one["labels"] for one in rule["spec"]["subsets"]}
    assert {*subsets} == {part.champion.subset, part.challenger.subset}
    pods = [
        one["spec"]["template"]["metadata"]["labels"]
        for one in objects("service.yaml")
        if one["kind"] == "Deployment"
    ]
    for labels in subsets.values():
        assert [one for one in pods if labels.items() <= one.items()]
    [flag] = load_desired(EXAMPLE / "flags.yaml").flags
    assert flag.name == file.flag.name
    assert (file.arms.champion, file.arms.challenger) == ("v1", "v2")
    policy = policy_of(choose(GuardedFile, "rollback", environment=environment))
    assert {one.name for one in policy.guardrails} >= {"errors", "tail-latency", "challenger-errors"}
    assert not policy.missing


def test_envoys_filters_are_those_that_were_tried_in_envoy() -> None:
    """examples/envoy/header.yaml runs in the tests; the EnvoyFilter must say the same."""
    text = (REPOSITORY / "examples/envoy/header.yaml").read_text(encoding="utf-8")
    [listener] = yaml.safe_load(text)["static_resources"]["listeners"]
    manager = listener["filter_chains"][0]["filters"][0]["typed_config"]
    patches = objects("by-user.yaml")[2]["spec"]["configPatches"]
    [early, filter_] = [one["patch"]["value"] for one in patches]
    assert (
        early["typed_config"]["early_header_mutation_extensions"]
        == manager["early_header_mutation_extensions"]
    )
    tried, shipped = manager["http_filters"][0]["typed_config"], filter_["typed_config"]
    for one in (tried, shipped):
        one["http_service"].pop("server_uri")
    assert shipped == tried


def test_the_readme_is_short_and_names_the_files() -> None:
    text = (EXAMPLE / "README.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 60
    for file in (*FILES, "service.yaml", "flags.yaml"):
        assert file in text
