"""Whether Prometheus has the series that a rollout names: to be seen before any user has the challenger."""

from collections import defaultdict
from collections.abc import Collection, Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

from rich.table import Table
from rich.text import Text

from common.answers import MARK, marked
from common.arms import WITHOUT_BUCKETS, Arms, MissingSignal
from common.names import Model
from common.prometheus import Prometheus
from common.selector import SIGNALS, Selector, quoted
from common.terminal import Console

NEEDED: Final = ("calls", "latency", "answers")
"""Those that a service which is called has; what is an error or an outcome perhaps nobody had yet."""


@dataclass(frozen=True)
class SeenSignal:
    """A signal of the file.

    Attributes:
        series: as the file names it.
        champion, challenger: how many series there are of either.
        missing: whether there is none of a metric that must be there.
    """

    signal: str
    series: str
    champion: int
    challenger: int
    missing: bool
    sentence: str


def look(prometheus: Prometheus, arms: Arms) -> list[SeenSignal]:
    """What Prometheus has of each signal now, in one question. Raises PrometheusError."""
    named = dict(_named(arms))
    asked = [
        query
        for name, selector in named.items()
        for query in (
            marked(f"count by ({arms.label}) ({arms.of(selector)})", f"of {name}"),
            marked(f"count ({arms.of(Selector(selector.name))})", f"all {name}"),
        )
    ]
    if latency := arms.signals.latency:
        asked.append(marked(f"count ({arms.of(latency.metric)})", "whole"))
    samples = prometheus.vector(" or ".join(asked))
    by_arm = {(one.labels.get(MARK), arms.role(one.labels)): int(one.value) for one in samples}
    there = {one.labels.get(MARK) for one in samples}
    values: dict[str | None, set[str]] = defaultdict(set)
    for one in samples:
        values[one.labels.get(MARK)].add(one.labels.get(arms.label, ""))
    found = [
        _seen(
            name,
            selector,
            arms,
            [by_arm.get((f"of {name}", model), 0) for model in Model],
            named=f"all {name}" in there,
            values=values[f"of {name}"],
        )
        for name, selector in named.items()
    ]
    if "whole" in there and "all latency" not in there and arms.signals.latency:
        told = f"{arms.signals.latency.metric} {WITHOUT_BUCKETS}"
        found = [replace(one, sentence=told) if one.signal == "latency" else one for one in found]
    return found


def _named(arms: Arms) -> Iterator[tuple[str, Selector]]:
    for name in SIGNALS:
        try:
            selector = arms.signals.of(name)
        except MissingSignal:
            continue
        # Samples of the shadow are nobody's, and what stands for the calls by default is told with them.
        if name.startswith("shadow") or (name != "calls" and selector == arms.signals.calls):
            continue
        yield name, Selector(f"{selector.name}_count") if name == "latency" else selector


def _seen(  # noqa: PLR0913 - what was asked, and what was answered
    name: str, selector: Selector, arms: Arms, counts: list[int], *, named: bool, values: Collection[str]
) -> SeenSignal:
    champion, challenger = counts
    missing = name in NEEDED and not champion
    if not named:
        sentence = f"no series with {arms.selector}: is the name right, and has the service counted any?"
    elif missing:
        sentence = f"there are series, and none with {arms.only(Model.CHAMPION)}: are label and value right?"
        sentence += _instead(arms, values)
    elif not champion:
        sentence = "there are series, and none that is meant: nothing of it was counted so far"
    elif not challenger:
        sentence = "there; none of the challenger, which perhaps nobody had so far"
        sentence += _instead(arms, set(values) - {arms.champion})
    else:
        sentence = "there"
    return SeenSignal(name, str(selector), champion, challenger, missing, sentence)


def _instead(arms: Arms, values: Collection[str]) -> str:
    """Which values the label has."""
    return f"; {arms.label} is {', '.join(map(quoted, sorted(values)))}" if values else ""


def show_signals(found: list[SeenSignal], console: Console) -> None:
    """Print them for a person."""
    table = Table("signal", "series", "champion's series", "challenger's series", "")
    for one in found:
        style = "bold yellow" if one.missing else ""
        counts = (Text(str(count), justify="right") for count in (one.champion, one.challenger))
        table.add_row(one.signal, Text(one.series), *counts, Text(one.sentence, style))
    console.print(Text("nobody gets the challenger, so nothing is judged; what could be is this:"))
    console.print(table)


def signal_fields(found: list[SeenSignal]) -> list[dict[str, Any]]:
    """The same as JSON."""
    return [asdict(one) for one in found]
