"""The base of Kustomize is what the chart renders, and the chart ships what the repository has."""

from typing import Any

import helm_python
import yaml

from deploy import render


def test_it_is_up_to_date(chart: helm_python.Chart) -> None:
    assert render.found(render.BASE) == render.base(chart), "python -m deploy.render writes it"


def test_so_is_what_the_chart_ships_of_the_repository() -> None:
    """Copies, and no links: an archive or a checkout made a text of each link, and the chart had no rules."""
    shipped = render.shipped()
    assert render.found(render.SHIPPED) == shipped, "python -m deploy.render writes it"
    assert {name.split("/")[0] for name in shipped} == set(render.SOURCES)


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
