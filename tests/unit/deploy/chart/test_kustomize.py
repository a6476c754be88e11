"""The base of Kustomize is what the chart renders."""

from typing import Any

import helm_python
import yaml

from deploy import render


def test_it_is_up_to_date(chart: helm_python.Chart) -> None:
    found = {file.name: file.read_text(encoding="utf-8") for file in render.BASE.glob("*.yaml")}
    assert found == render.base(chart), "python -m deploy.render writes it"


def test_it_holds_the_parts_in_no_namespace(chart: helm_python.Chart) -> None:
    files = render.base(chart)
    resources = yaml.safe_load(files.pop("kustomization.yaml"))["resources"]
    assert set(resources) == set(files)
    every: list[dict[str, Any]] = [one for text in files.values() for one in yaml.safe_load_all(text)]
    assert {one["metadata"]["name"] for one in every if one["kind"] == "Deployment"} == {
        f"canario-{part}" for part in render.PARTS
    }
    assert not any("namespace" in one["metadata"] for one in every)
    assert "helm" not in "".join(files.values()).replace("deploy/chart", "").lower()
