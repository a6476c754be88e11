"""Which models are served, as the service tells Prometheus, or the models folder says."""

import logging
from pathlib import Path

from common.config import ConfigError
from common.model_store import ModelStore
from common.names import Metric, Model
from common.prometheus import Prometheus, PrometheusError
from common.served import Arms
from flags.quarantine import label
from rollback.decision import ModelVersion

_log = logging.getLogger(__name__)


def served(prometheus: Prometheus, arms: Arms) -> dict[str, ModelVersion]:
    """By role; that which was seen served last, while workers change from one version to the next.

    A model that left goes on as a series of value 0. Empty where Prometheus cannot tell: a decision is worth
    keeping without it.
    """
    try:
        series = prometheus.raw(f"{arms.of(Metric.MODEL_INFO)}[5m]")
    except PrometheusError:
        return {}
    seen = [(time, one.labels) for one in series for time, value in one.points if value == 1]
    return {
        labels.get("model", ""): ModelVersion(
            name=labels.get("name", ""),
            version=labels.get("version", ""),
            sha256=labels.get("sha256", ""),
        )
        for time, labels in sorted(seen, key=lambda one: one[0])
    }


def challenger(models: Path | None, prometheus: Prometheus, arms: Arms) -> str | None:
    """The challenger as marks in Unleash name it, by the models folder or Prometheus; None where unknown."""
    if models is not None:
        try:
            role = ModelStore(models).read().roles.challenger
        except ConfigError as error:
            _log.warning("the models folder cannot be read", extra={"error": str(error)})
        else:
            if role is not None:
                return label(role.version, role.sha256)
    found = served(prometheus, arms).get(Model.CHALLENGER)
    return label(found.version, found.sha256) if found else None
