"""Calls by segment of the users: by the value of a property of their context, as country=NO.

What harms 2% of the users is hardly seen among all of them. Guardrails with `segments` judge each by itself;
only what they or the setting name is counted, so that without them there is no series. A user-window is bad
in the segment of the call that made it so: those of all segments of a property add up to the whole.
"""

from collections.abc import Mapping
from itertools import product
from typing import Final

from prometheus_client import CollectorRegistry, Counter

from common.names import OTHER_SEGMENT, Metric, Model
from service.assignment.assignment import BUCKETS
from service.metrics.service import Collectors
from service.segments import Listed

GROUPS: Final = 20
"""Of users, five buckets of the flag's hash each: a segment has too few users for a hundred."""


class Segments:
    """Counts calls by segment, in series of a number that is known at the start.

    Args:
        listed: what is counted; of a property that stands in several, all values.

    Attributes:
        listed: all of it together; where that is nothing, nobody need ask to count.
    """

    def __init__(self, registry: CollectorRegistry, *listed: Listed) -> None:
        made = Collectors(registry)
        by = "model", "property", "value"
        self._counters = (
            made.counter(
                Metric.SEGMENT_CALLS, "Calls by the value of a property of the user's context.", *by
            ),
            made.counter(Metric.SEGMENT_ERRORS, "Those that brought no usable answer in time.", *by),
            made.counter(
                Metric.SEGMENT_USER_WINDOWS_BAD,
                "The same of user_windows_bad_total, by the call that is counted there.",
                *by,
            ),
        )
        self._grouped = (
            made.counter(
                Metric.SEGMENT_GROUP_CALLS,
                "Calls of the champion by segment, and by group of five buckets of the canary flag's hash.",
                *by,
                "group",
            ),
            made.counter(Metric.SEGMENT_GROUP_USER_WINDOWS_BAD, "The same of user-windows.", *by, "group"),
        )
        self._found: dict[tuple[str, ...], list[Counter]] = {}
        self.listed: dict[str, frozenset[str]] = {}
        for name, named in (each for one in listed for each in one.items()):
            self.listed[name] = self.listed.get(name, frozenset()) | {*named}
        for model, (name, values) in product(Model, self.listed.items()):
            for value in (*sorted(values), OTHER_SEGMENT):
                self._of(self._counters, model, name, value)

    def count(
        self, model: Model, context: Mapping[str, str], bucket: int, *, bad: bool, failed: bool
    ) -> None:
        """A call is over; `failed`: it made a user-window bad."""
        for name, values in self.listed.items():
            said = context.get(name, OTHER_SEGMENT)
            labels = model, name, said if said in values else OTHER_SEGMENT
            found = [self._of(self._counters, *labels)]
            if model is Model.CHAMPION:
                group = (bucket - 1) * GROUPS // BUCKETS + 1
                found.append(self._of(self._grouped, *labels, str(group)))
            for counters in found:
                counters[0].inc()
                if failed:
                    counters[-1].inc()
            if bad:
                found[0][1].inc()

    def _of(self, counters: tuple[Counter, ...], *labels: str) -> list[Counter]:
        """The series; to find them anew at each call costs more than to count."""
        found = self._found.get(labels)
        if found is None:
            found = self._found[labels] = [counter.labels(*labels) for counter in counters]
        return found
