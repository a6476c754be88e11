"""Which models are served, and since when, by what Prometheus remembers. It looks back for days."""

from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from common.answers import MARK, marked
from common.arms import Arms, ServedModel
from common.names import Model
from common.prometheus import Prometheus
from common.served import LATELY

BACK: Final = timedelta(days=15)
STEPS: Final = ("15d:10m", "20m:15s")  # what is younger than two coarse steps is seen by the fine ones


@dataclass(frozen=True)
class Served:
    """A model that is served now.

    Attributes:
        since: when it was first seen in its role since another was; None where that is longer ago than BACK.
    """

    role: Model
    model: ServedModel
    since: datetime | None


def read_served(prometheus: Prometheus, arms: Arms) -> tuple[Served, ...]:
    """The champion first; several of one role while they are being swapped, none that exports no versions.

    Raises:
        PrometheusError: it could not be asked.
    """
    query = served_query(arms)
    if query is None:
        return ()
    times: dict[Model, dict[ServedModel, list[float]]] = defaultdict(lambda: defaultdict(list))
    now: dict[Model, set[ServedModel]] = defaultdict(set)
    for one in prometheus.vector(query):
        role, model = arms.role(one.labels), arms.served(one.labels)
        if role is None:
            continue
        if one.labels.get(MARK) == "serve":
            now[role].add(model)
        else:
            times[role][model].append(one.value)
    horizon = datetime.now(UTC) - BACK + timedelta(hours=1)
    found = []
    for role in Model:
        others = [at for model, seen in times[role].items() if model not in now[role] for at in seen]
        for model in sorted(now[role], key=str):
            began = max([min(times[role][model], default=0.0), *others])
            since = datetime.fromtimestamp(began, UTC)
            found.append(Served(role, model, since if since > horizon else None))
    return tuple(found)


def served_query(arms: Arms) -> str | None:
    """What is served now, and when each model was first and last seen; None without versions."""
    versions = arms.signals.versions
    if versions is None:
        return None
    info, models = arms.of(versions.metric), ", ".join((arms.label, *versions.labels))
    seen = f"timestamp({info} == 1)"
    terms = [marked(f"count by ({models}) (last_over_time({info}[{LATELY}]) == 1)", "serve")]
    terms += [
        marked(f"{side} by ({models}) ({side}_over_time({seen}[{steps}]))", f"{side} {steps}")
        for steps in STEPS
        for side in ("min", "max")
    ]
    return " or ".join(terms)
