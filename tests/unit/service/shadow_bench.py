"""A shadow on a bench: its metrics and its records in hand."""

from typing import Any

from prometheus_client import CollectorRegistry

from common.names import Model
from service.challenger.shadow import Ask, Sample, Shadow, ShadowLimits
from service.metrics.models import ShadowMetrics
from service.models.artifact import Metadata

LIMITS = ShadowLimits(queue=1000, rows=64, linger_seconds=0.02, batch_seconds=0.25, hang_seconds=1.0)


class Bench:
    """A shadow on its own registry, and the log of its records."""

    is_on = True

    def __init__(self, ask: Ask, metadata: dict[Model, Metadata], **limits: Any) -> None:
        self.registry = CollectorRegistry()
        self.records: list[dict[str, Any]] = []
        changed = ShadowLimits(**{**vars(LIMITS), **limits})
        self.metrics = ShadowMetrics(self.registry)
        self.shadow = Shadow(ask, metadata, self.metrics, changed, self)

    def user_key(self, user_id: str, /) -> str | None:
        return f"key-of-{user_id}"

    def record(self, record: dict[str, Any]) -> None:
        self.records.append(record)

    def close(self) -> None:
        """Nothing waits."""

    def count(self, name: str, **labels: str) -> float:
        found = self.registry.get_sample_value(name, labels)
        assert found is not None
        return found

    def offer(self, samples: list[Sample]) -> None:
        for each in samples:
            self.shadow.offer(each)
