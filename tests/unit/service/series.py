"""Values out of /metrics."""

import re

from flask.testing import FlaskClient


def sample(client: FlaskClient, name: str, **labels: str) -> float:
    """The value of one series in /metrics."""
    wanted = {f'{key}="{value}"' for key, value in labels.items()}
    for line in client.get("/metrics").text.splitlines():
        series, _, value = line.rpartition(" ")
        if series.partition("{")[0] == name and wanted <= set(
            series.partition("{")[2].rstrip("}").split(",")
        ):
            return float(value)
    raise AssertionError(f"no series {name}{labels}")


def series(client: FlaskClient, name: str) -> list[dict[str, str]]:
    """The labels of all series of that name in /metrics."""
    lines = [line for line in client.get("/metrics").text.splitlines() if line.startswith(f"{name}{{")]
    labels = [line.partition("{")[2].rpartition("}")[0] for line in lines]
    return [dict(re.findall(r'(\w+)="([^"]*)"', each)) for each in labels]
