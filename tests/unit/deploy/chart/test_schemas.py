"""What the chart renders fits the schemas of Kubernetes 1.28 to 1.37, and of the CRDs that it writes for."""

import json
import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import yaml

from deploy.render import Document
from tests.unit.deploy.chart.values import EVERYTHING, EVERYTHING_ELSE

VERSIONS = tuple(f"1.{minor}.0" for minor in range(28, 38))
SCHEMAS = Path(str(files("kubernetes_validate"))) / "kubernetes-json-schema"
CRDS = Path(__file__).parents[3] / "kubernetes" / "crds"
REFERENCE = re.compile(r'"[^"#]*#/\$defs/([^"]+)"')
Validator = jsonschema_rs.Draft202012Validator | jsonschema_rs.Draft7Validator


@cache
def definitions(version: str) -> Mapping[str, Any]:
    """Of one version: strict, so that no field is allowed that Kubernetes does not know."""
    text = (SCHEMAS / f"v{version}-local-strict" / "_definitions.json").read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text)["$defs"]
    return found


@cache
def names(version: str) -> Mapping[tuple[str, str], str]:
    """Names of definitions by apiVersion and kind."""
    return {
        ("/".join(filter(None, (kind["group"], kind["version"]))), kind["kind"]): name
        for name, one in definitions(version).items()
        for kind in one.get("x-kubernetes-group-version-kind", ())
    }


def needed(name: str, version: str) -> dict[str, Any]:
    """This definition and all that it refers to: a schema of the whole would take seconds."""
    found: dict[str, Any] = {}
    wanted = [name]
    while wanted:
        one = wanted.pop()
        if one not in found:
            found[one] = definitions(version)[one]
            wanted += REFERENCE.findall(json.dumps(found[one]))
    return found


@cache
def of_kubernetes(api_version: str, kind: str, version: str) -> Validator:
    name = names(version)[api_version, kind]
    text = json.dumps({"$ref": f"#/$defs/{name}", "$defs": needed(name, version)})
    return jsonschema_rs.Draft202012Validator(json.loads(REFERENCE.sub(r'"#/$defs/\1"', text)))


@cache
def of_crd(api_version: str, kind: str) -> Validator:
    group, _, version = api_version.partition("/")
    for file in CRDS.glob(f"*.{group}.yaml"):
        spec = yaml.safe_load(file.read_text(encoding="utf-8"))["spec"]
        if spec["names"]["kind"] == kind:
            (found,) = [one for one in spec["versions"] if one["name"] == version]
            return jsonschema_rs.Draft7Validator(closed(found["schema"]["openAPIV3Schema"]))
    raise KeyError(f"no CRD of {api_version} {kind}")


def closed(schema: Any) -> Any:
    """Nothing but what the CRD knows: the API server would drop it without a word."""
    if isinstance(schema, list):
        return [closed(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    found = {key: closed(one) for key, one in schema.items()}
    if "(?i)" in str(schema.get("pattern")):  # of Go, and no regular expression of JSON Schema
        del found["pattern"]
    if "properties" in schema and not schema.get("x-kubernetes-preserve-unknown-fields"):
        found.setdefault("additionalProperties", False)
        if schema.get("type") == "object" and "spec" in schema["properties"]:
            found["properties"] |= {"apiVersion": {}, "kind": {}, "metadata": {}}
    if schema.get("x-kubernetes-int-or-string"):
        found["type"] = ["integer", "string"]
    return found


def faults(document: Document, version: str) -> list[str]:
    group = document["apiVersion"].partition("/")[0]
    of_others = "." in group and not group.endswith(".k8s.io")
    at = document["apiVersion"], document["kind"]
    validator = of_crd(*at) if of_others else of_kubernetes(*at, version)
    title = f"{document['kind']} {document['metadata']['name']}"
    return [
        f"{title}: {'/'.join(map(str, one.instance_path))}: {one.message}"
        for one in validator.iter_errors(document)
    ]


@pytest.fixture(scope="module")
def every(render: Any) -> list[Document]:
    return [*render(), *render(EVERYTHING), *render(EVERYTHING_ELSE)]


@pytest.mark.parametrize("version", VERSIONS)
def test_every_object_fits(every: list[Document], version: str) -> None:
    assert len({each["kind"] for each in every}) >= 15
    assert [fault for each in every for fault in faults(each, version)] == []


@pytest.mark.parametrize(
    ("kind", "path", "value", "says"),
    [
        ("Deployment", ("spec", "replcas"), 2, "replcas"),
        ("PodMonitor", ("spec", "podMetricsEndpoints"), "metrics", "array"),
        ("PodMonitor", ("spec", "jobLable"), "job", "jobLable"),
        ("HorizontalPodAutoscaler", ("spec", "maxReplicas"), "ten", "integer"),
    ],
)
def test_the_schemas_find_what_is_wrong(
    render: Any, kind: str, path: tuple[str, str], value: object, says: str
) -> None:
    document = next(iter(render(EVERYTHING).kinds(kind).values()))
    document[path[0]][path[1]] = value
    assert says in " ".join(faults(document, VERSIONS[-1]))
