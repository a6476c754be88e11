"""The committed Grafana dashboard as data: its queries, with the variables put in."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FILE = Path(__file__).parents[1] / "monitoring/grafana/dashboards/canario.json"
VARIABLES = {
    "$__rate_interval": "20s",  # four scrapes, the least that Grafana takes
    "$rollout": "breast-cancer",
    "$job": "service",
    "$flag": "canary",
    "$outcome": ".+",
}


@dataclass(frozen=True)
class Query:
    """A query, and who asks it: a panel with the number of the query in it, an annotation or a variable."""

    asker: str
    expression: str


def document() -> dict[str, Any]:
    """The file."""
    loaded: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
    return loaded


def panels() -> list[dict[str, Any]]:
    """All but the headings of rows."""
    return [panel for panel in document()["panels"] if panel["type"] != "row"]


def queries() -> Iterator[Query]:
    """All that Grafana asks Prometheus for this dashboard."""
    for panel in panels():
        for target in panel["targets"]:
            yield Query(f"{panel['title']} {target['refId']}", _filled(target["expr"]))
    for annotation in document()["annotations"]["list"]:
        yield Query(annotation["name"], _filled(annotation["expr"]))
    for variable in document()["templating"]["list"]:
        if variable["type"] == "query":
            metric, label = variable["query"]["query"].removeprefix("label_values(")[:-1].rsplit(", ", 1)
            yield Query(f"${variable['name']}", _filled(f"count by ({label}) ({metric})"))


def _filled(expression: str) -> str:
    for name, value in VARIABLES.items():
        expression = expression.replace(name, value)
    assert "$" not in expression, expression
    return expression
