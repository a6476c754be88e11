"""Which models are served, as the service tells Prometheus."""

from common.names import Metric
from common.prometheus import Prometheus, PrometheusError
from rollback.decision import ModelVersion
from rollback.measure import SERVICE_JOB

_QUERY = f'{Metric.MODEL_INFO}{{job="{SERVICE_JOB}"}}[5m]'


def served(prometheus: Prometheus) -> dict[str, ModelVersion]:
    """By role; that which was scraped last, while workers change from one version to the next.

    Empty where Prometheus cannot tell: a decision is worth keeping without it.
    """
    try:
        series = prometheus.raw(_QUERY)
    except PrometheusError:
        return {}
    latest = sorted((one for one in series if one.points), key=lambda one: one.points[-1][0])
    return {
        one.labels.get("model", ""): ModelVersion(
            name=one.labels.get("name", ""),
            version=one.labels.get("version", ""),
            sha256=one.labels.get("sha256", ""),
        )
        for one in latest
    }
