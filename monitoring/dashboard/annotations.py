"""What happened, as lines across all panels."""

from typing import Final

from grafana_foundation_sdk.models import dashboard as models

from common.names import JobMetric
from monitoring.dashboard.panels import BAD, SOURCE, WARN
from monitoring.dashboard.query import RANGE, of_flag, of_job

# What Grafana's Prometheus annotations have, and the SDK's model has not.
EXTRA: Final = ("titleFormat", "useValueForTime")


class Annotation(models.AnnotationQuery):
    """An annotation query of the Prometheus data source.

    `title` is made of labels; with `at_value` the value is the time, in milliseconds.
    """

    def __init__(
        self, name: str, colour: str, expression: str, *, title: str, at_value: bool = False
    ) -> None:
        super().__init__(name=name, datasource=SOURCE, icon_color=colour, expr=expression)
        self._extra = dict(zip(EXTRA, (title, at_value), strict=True))

    def to_json(self) -> dict[str, object]:
        return {**super().to_json(), **self._extra}


def annotations() -> list[models.AnnotationQuery]:
    """Flag changes and rollbacks, and critical alerts as long as they fire."""
    orders = of_job(JobMetric.ROLLBACKS, 'verified="true"')
    return [
        Annotation(
            "Flag changes",
            "blue",
            f"{of_flag(JobMetric.FLAG_CHANGED)} * 1000",
            title="{{flag}} changed by {{by}}",
            at_value=True,
        ),
        Annotation(
            "Rollbacks",
            BAD,
            f"sum by (guardrail) (increase({orders}[{RANGE}])) > 0",
            title="rolled back: {{guardrail}}",
        ),
        Annotation(
            "Critical alerts",
            WARN,
            'max by (alertname) (ALERTS{alertstate="firing", severity="critical", rollout=~"$rollout|"})',
            title="{{alertname}}",
        ),
    ]
