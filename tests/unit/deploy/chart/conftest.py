"""The chart, rendered."""

from collections.abc import Callable, Mapping
from typing import Any

import helm_python
import pytest

from deploy.render import CHART, Document, documents

Render = Callable[..., "Rendered"]

# What every install must say: where Unleash and Prometheus are, and Secrets that exist.
NEEDED: Mapping[str, Any] = {
    "unleash": {"url": "https://unleash.example.com"},
    "prometheus": {"url": "http://prometheus.monitoring:9090"},
    **{
        part: {"secret": {"existing": f"{part}-secret"}}
        for part in ("service", "rollback", "rollout", "board", "mesh", "provision")
    },
}


class Rendered(list[Document]):
    """All objects of one rendering."""

    def one(self, kind: str, name: str) -> Document:
        """The only one of this kind and name."""
        (found,) = [each for each in self if each["kind"] == kind and each["metadata"]["name"] == name]
        return found

    def kinds(self, kind: str) -> dict[str, Document]:
        """All of a kind, by name."""
        return {each["metadata"]["name"]: each for each in self if each["kind"] == kind}

    def pods(self) -> dict[str, Document]:
        """Pod templates by the name of what makes pods of them."""
        return {
            each["metadata"]["name"]: each["spec"]["template"]
            for each in self
            if each["kind"] in {"Deployment", "Job"}
        }


@pytest.fixture(scope="session")
def chart() -> helm_python.Chart:
    """As it lies in the repository."""
    return helm_python.Chart.load(CHART)


@pytest.fixture(scope="session")
def render(chart: helm_python.Chart) -> Render:
    """Renders the chart with values over those that every install needs; `bare` leaves these out."""

    def rendered(*values: Mapping[str, Any], bare: bool = False) -> Rendered:
        merged: dict[str, Any] = {}
        for each in (() if bare else (NEEDED,)) + values:
            merged = merge(merged, each)
        return Rendered(documents(chart, merged))

    return rendered


def merge(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """`other` over `one`, as Helm merges values."""
    both = dict(one)
    for key, value in other.items():
        mine = both.get(key)
        both[key] = merge(mine, value) if isinstance(mine, Mapping) and isinstance(value, Mapping) else value
    return both
