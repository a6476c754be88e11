"""The recorded series of one rollout, under the same names for every service. Pure.

People, Grafana, alerts and the board read them (common/names.py tells their meaning). The rollback job does
not: its windows end where a stage began, and these always reach back 5 minutes.
"""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any, Final

from common.arms import Arms
from common.durations import format_duration
from common.names import Model, Recorded
from common.selector import Selector

Rule = dict[str, Any]
"""A rule as Prometheus' rule files have it."""

FEWEST_SCRAPES: Final = 4  # in a window, so that a rate survives one that failed


def span(least: timedelta, scrape: timedelta, scrapes: int = FEWEST_SCRAPES) -> str:
    """A range in PromQL: `least`, or as many scrapes where these take longer."""
    return format_duration(max(least, scrapes * scrape))


def recording_rules(rollout: str, arms: Arms, scrape: timedelta) -> Iterator[Rule]:
    """What can be recorded of a rollout; what it names no signal for is left out.

    Args:
        rollout: its name, the label `rollout` of each series.
        arms: where its models are seen.
        scrape: how often its service is scraped.
    """
    names = _Rates(arms, scrape)
    for model in Model:
        labels = {"rollout": rollout, "model": model.value}
        for name, expression in names.of_model(arms.only(model)):
            yield {"record": name.value, "expr": expression, "labels": labels}
    for name, expression in names.of_both():
        yield {"record": name.value, "expr": expression, "labels": {"rollout": rollout}}


def native_rules(arms: Arms) -> Iterator[Rule]:
    """A native histogram of latency as a classic one, of all its series; nothing where it is not native.

    The edges are those of native buckets (of schema 2 and finer), so that the counts are whole. They bear no
    label `rollout`: two rollouts of one service record the same.
    """
    latency = arms.signals.latency
    if latency is None or not latency.native:
        return
    histogram = arms.of(latency.metric)
    calls = f"histogram_count({histogram})"
    first = 0 if latency.unit == "milliseconds" else -40
    for edge in (2 ** (power / 4) for power in range(first, first + 61)):
        # Rounded, because a counter that falls by a billionth would be one that began anew.
        below = f"round(histogram_fraction(0, {edge!r}, {histogram}) * {calls})"
        expression = f"({calls} == 0)\nor {below}"
        yield {"record": f"{latency.metric}_bucket", "expr": expression, "labels": {"le": repr(edge)}}
    yield {"record": f"{latency.metric}_bucket", "expr": calls, "labels": {"le": "+Inf"}}
    yield {"record": f"{latency.metric}_count", "expr": calls}
    yield {"record": f"{latency.metric}_sum", "expr": f"histogram_sum({histogram})"}


class _Rates:
    """PromQL over the series of one rollout."""

    def __init__(self, arms: Arms, scrape: timedelta) -> None:
        self._arms, self._signals = arms, arms.signals
        self._five, self._one = (span(timedelta(minutes=each), scrape) for each in (5, 1))

    def of_model(self, only: str) -> Iterator[tuple[Recorded, str]]:
        """The series of one model. One that nobody calls has no error rate, rather than NaN."""
        signals = self._signals
        if signals.errors:
            calls, errors = self._sum(signals.calls, only), self._sum(signals.errors, only)
            if signals.errors.name == signals.calls.name:
                # Errors are one status of the calls, and there is no such series before the first.
                errors = f"({errors} or 0 * {calls})"
            yield Recorded.ERROR_RATE, f"{errors}\n/ ({calls} > 0)"
        yield Recorded.REQUEST_RATE, self._sum(signals.of("answers"), only, window=self._one)
        if signals.latency:
            buckets = self._sum(Selector(f"{signals.latency.metric}_bucket"), only, by="le")
            seconds = "" if signals.latency.unit == "seconds" else " / 1000"
            for name, quantile in ((Recorded.LATENCY_P50, 0.5), (Recorded.LATENCY_P99, 0.99)):
                yield name, f"histogram_quantile({quantile}, {buckets}){seconds}"

    def of_both(self) -> Iterator[tuple[Recorded, str]]:
        """The series of the rollout as a whole."""
        arms, signals = self._arms, self._signals
        answers = signals.of("answers")
        part, whole = self._sum(answers, arms.only(Model.CHALLENGER)), self._sum(answers, arms.both)
        yield Recorded.CHALLENGER_SHARE, f"{part}\n/ ({whole} > 0)"
        if signals.shadow:
            agreed, samples = self._sum(signals.shadow.agreements), self._sum(signals.shadow.samples)
            yield Recorded.AGREEMENT_RATE, f"{agreed}\n/ ({samples} > 0)"
        if signals.heard_ago:
            yield Recorded.FLAG_AGE, f"max({arms.of(signals.heard_ago)})"
        elif signals.heard:
            yield Recorded.FLAG_AGE, f"time() - min({arms.of(signals.heard)})"

    def _sum(self, counter: Selector, *matchers: str, window: str = "", by: str = "") -> str:
        kept = f" by ({by}) " if by else ""
        return f"sum{kept}(rate({self._arms.of(counter, *matchers)}[{window or self._five}]))"
