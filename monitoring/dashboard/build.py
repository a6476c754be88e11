"""The whole dashboard."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard as models

from common.names import JobMetric, Metric
from monitoring.dashboard import behaviour, jobs, own_service, rollout
from monitoring.dashboard.annotations import annotations
from monitoring.dashboard.panels import SOURCE
from monitoring.dashboard.query import of_job

FILE: Final = Path(__file__).parents[1] / "grafana" / "dashboards" / "canario.json"
UID: Final = "canario-rollout"
ROWS: Final = (
    ("Who gets which model?", rollout.traffic),
    ("Is the challenger worse?", rollout.guardrails),
    ("Is it slower, does it fail, does it answer otherwise?", behaviour.behaviour),
    ("Do the jobs work?", jobs.machinery),
    ("Only Canario's own service, the job above: requests, outcomes, shadow, log", own_service.own_service),
)


@dataclass(frozen=True)
class Pages:
    """Where the links at the top lead; an empty address makes no link."""

    board: str = "http://127.0.0.1:8100"
    unleash: str = "http://127.0.0.1:4242"
    runbook: str = ""


def build(pages: Pages) -> models.Dashboard:
    """The dashboard, with panels numbered from 1 on."""
    board = (
        builders.Dashboard("Canario: the rollout")
        .uid(UID)
        .description("What users get, whether the challenger is worse, and whether anybody watches.")
        .tags(["canario"])
        .refresh("10s")
        .time("now-3h", "now")
        .timezone("browser")
        .tooltip(models.DashboardCursorSync.CROSSHAIR)
        .readonly()
    )
    for variable in _variables():
        board = board.with_variable(variable)
    board._internal.annotations = models.AnnotationContainer(list_val=annotations())
    for title, url in (
        ("Board", f"{pages.board}/rollouts/$rollout" if pages.board else ""),
        ("Flag in Unleash", f"{pages.unleash}/projects/default/features/$flag" if pages.unleash else ""),
        ("Runbook", pages.runbook),
    ):
        if url:
            board = board.link(_link(title, url))
    for panel in rollout.now():
        board = board.with_panel(panel)
    for title, panels in ROWS:
        board = board.with_row(builders.Row(title))
        for panel in panels():
            board = board.with_panel(panel)
    made = board.build()
    for number, one in enumerate(made.panels or (), start=1):
        one.id_val = number
    return made


def render(dashboard: models.Dashboard) -> str:
    """As a file that Grafana provisions."""
    return json.dumps(dashboard, cls=JSONEncoder, indent=2, sort_keys=True) + "\n"


def _variables() -> tuple[builders.DatasourceVariable | builders.QueryVariable, ...]:
    return (
        _label_values("rollout", "Rollout", JobMetric.LAST_AGO, "rollout", current="breast-cancer"),
        builders.DatasourceVariable("datasource").label("Data source").type("prometheus"),
        _label_values("flag", "Flag", of_job(JobMetric.FLAG_SHARE), "flag", current="canary"),
        _label_values("job", "Canario's own service", Metric.CALLS, "job", current="service"),
        _label_values("outcome", "Outcome", f'{Metric.OUTCOMES}{{job="$job"}}', "outcome", current="$__all")
        .include_all(True)
        .all_value(".+")
        .multi(True),
    )


def _label_values(
    name: str, label: str, metric: str, values_of: str, *, current: str
) -> builders.QueryVariable:
    shown = "All" if current == "$__all" else current
    return (
        builders.QueryVariable(name)
        .label(label)
        .datasource(SOURCE)
        .query({"query": f"label_values({metric}, {values_of})", "refId": name})
        .current(models.VariableOption(text=shown, value=current))
        .refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(models.VariableSort.ALPHABETICAL_ASC)
    )


def _link(title: str, url: str) -> builders.DashboardLink:
    return (
        builders.DashboardLink(title)
        .type(models.DashboardLinkType.LINK)
        .icon("external link")
        .url(url)
        .target_blank(True)
    )
