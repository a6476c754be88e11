"""Whose numbers Prometheus has: the service's instances, which rollout they follow, which models they serve.

What was counted is evidence about one pair of models only as far back as every instance is seen to serve
that pair, without a break: a version that comes back after another begins anew. And it is evidence about one
rollout only where all instances follow its flag. Both are read from metrics that each instance exports beside
its counters, so a swap that Prometheus has not scraped yet is no swap: its counters are still the old ones.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from common.answers import MARK, Sample, marked
from common.arms import UNVERSIONED, Arms, ServedModel
from common.names import Model
from common.prometheus import Prometheus, PrometheusError
from common.selector import quoted

LATELY: Final = "30s"  # a scrape that fails now and then changes nothing
FINEST: Final = timedelta(seconds=5)
COARSE: Final = 10_000  # looks at the past for other models
BLUR: Final = timedelta(minutes=1)  # between our clock and that of Prometheus, where a look back begins


class OtherRollout(PrometheusError):  # noqa: N818 - named as its siblings are
    """The series are not those of one rollout, or it is not known of which."""


class Mixed(PrometheusError):  # noqa: N818
    """The series are not those of one pair of models, or it is not known of which."""


Pair = Mapping[Model, ServedModel]


@dataclass(frozen=True)
class Fleet:
    """What Prometheus shows of the service now.

    Attributes:
        targets, live: scrape targets, and those of them that answer.
        follow: instances by flag and environment ("" where they do not know it).
        serve: instances by model, in each role.
        last: when each model was last seen in its role, as far as was looked back.
    """

    targets: int
    live: int
    follow: Mapping[tuple[str, str], int]
    serve: Mapping[Model, Mapping[ServedModel, int]]
    last: Mapping[Model, Mapping[ServedModel, datetime]]

    def require_ours(self, arms: Arms) -> None:
        """Raises OtherRollout: some instance follows another flag, or does not say which.

        Of a service that exports no such thing there is nothing to see: its selector must be right.
        """
        if arms.signals.follows is None:
            return
        require_ours(arms, self.follow)
        known = max((sum(found.values()) for found in self.serve.values()), default=0)
        if sum(self.follow.values()) < known or (self.live and not self.follow):
            raise OtherRollout(
                f"some service of {arms.selector} does not say which flag it follows"
                f" ({arms.signals.follows}): is it another program, or an older version?"
            )

    def pair(self, arms: Arms) -> Pair:
        """The models that all serve; without a challenger where there is none. Raises Mixed.

        Of a service that exports no versions it is known only that both arms may be served.
        """
        if arms.signals.versions is None:
            return dict.fromkeys(Model, UNVERSIONED)
        for role, found in self.serve.items():
            if len(found) > 1:
                told = ", ".join(f"{each} on {number}" for each, number in sorted(found.items(), key=str))
                raise Mixed(f"instances serve different models as {role.value}: {told}")
        if not self.serve.get(Model.CHAMPION):
            raise Mixed(f"the service does not say which models it serves ({arms.signals.versions.metric})")
        return {role: next(iter(found)) for role, found in self.serve.items() if found}

    def others_left(self, roles: Iterable[Model] = Model) -> datetime | None:
        """When a model that is not served any more was last seen; None where there was none."""
        times = [
            at
            for role in roles
            for each, at in self.last.get(role, {}).items()
            if each not in self.serve.get(role, {})
        ]
        return max(times, default=None)


def require_ours(arms: Arms, follow: Iterable[tuple[str, str]]) -> None:
    """Raises OtherRollout: one of these flags, with its environment, is not that of `arms`."""
    others = [
        f"{flag} in {environment}"
        for flag, environment in follow
        if flag != arms.flag or environment not in {"", arms.environment}
    ]
    if others:
        raise OtherRollout(
            f"{arms.selector} matches the service of another rollout than {arms}:"
            f" {', '.join(sorted(others))}; set CANARIO_SELECTOR to labels that only this one's service has"
        )


def terms(arms: Arms, back: timedelta) -> list[str]:
    """Queries, to be joined by `or`, whose answers make a Fleet that was looked at for so long."""
    signals = arms.signals
    asked = [
        marked(f"count({arms.alive})", "targets"),
        marked(f"count({arms.alive} == 1)", "live"),
    ]
    if signals.follows:
        follows = arms.of(signals.follows)
        asked.append(
            marked(f"count by (flag, environment) (last_over_time({follows}[{LATELY}]) == 1)", "follow")
        )
    if signals.versions:
        info, models = arms.of(signals.versions.metric), ", ".join((arms.label, *signals.versions.labels))
        past = f"max_over_time(timestamp({info} == 1)[{_steps(back)}])"
        asked.append(marked(f"count by ({models}) (last_over_time({info}[{LATELY}]) == 1)", "serve"))
        asked.append(marked(f"max by ({models}) ({past})", "last"))
    return asked


def fleet(found: Iterable[Sample], arms: Arms) -> Fleet:
    """The fleet, from the answers to `terms`; others among them are left out."""
    numbers = {"targets": 0.0, "live": 0.0}
    follow: dict[tuple[str, str], int] = {}
    serve: dict[Model, dict[ServedModel, int]] = defaultdict(dict)
    last: dict[Model, dict[ServedModel, datetime]] = defaultdict(dict)
    for one in found:
        mark, labels = one.labels.get(MARK), one.labels
        if mark in numbers:
            numbers[mark] = one.value
        elif mark == "follow":
            follow[labels.get("flag", ""), labels.get("environment", "")] = int(one.value)
        elif mark in {"serve", "last"} and (role := arms.role(labels)):
            each = arms.served(labels)
            if mark == "serve":
                serve[role][each] = int(one.value)
            else:
                last[role][each] = datetime.fromtimestamp(one.value, UTC)
    return Fleet(int(numbers["targets"]), int(numbers["live"]), follow, serve, last)


def evidence_since(
    prometheus: Prometheus, arms: Arms, seen: Fleet, began: datetime, now: datetime
) -> datetime:
    """From when on all that is counted was done by the pair that is served now; `began` at the earliest.

    Asks Prometheus once, and only where another model was served since then.

    Raises:
        Mixed: some target has not been heard since another model was served, and may still serve it.
        PrometheusError: it could not be asked.
    """
    left = seen.others_left()
    if left is None or left < began - FINEST:
        return began
    query = settled_query(arms, seen.pair(arms), max(now - left, FINEST))
    found = prometheus.instant(query, now)
    if found is None:
        raise Mixed(
            f"another model was served until {left:%H:%M:%S} UTC, and not every target of {arms.selector} was"
            f" heard since: {seen.live} of {seen.targets} answer"
        )
    return max(began, datetime.fromtimestamp(found, UTC))


def settled_query(arms: Arms, pair: Pair, back: timedelta) -> str:
    """The first moment, looking so far back, at which every target answered and none served another model.

    Only of a service that exports versions.
    """
    versions = arms.signals.versions
    assert versions is not None  # noqa: S101 - else no other model was ever seen
    info, fields = versions.metric, ("name", "version", "sha256")
    labels = {label: field for field in fields if (label := getattr(versions, field))}
    ours = [
        arms.of(
            info,
            arms.only(role),
            *(f"{label}={quoted(getattr(each, field))}" for label, field in labels.items()),
        )
        for role, each in pair.items()
    ]
    others = " unless ".join([f"{arms.of(info)} == 1", *ours])
    served = " ".join(f"and on () ({one} == 1)" for one in ours)
    calm = f"vector(time()) {served} unless on () ({arms.alive} == 0) unless on () ({others})"
    return f"min_over_time(({calm})[{_steps(back)}])"


def _steps(back: timedelta) -> str:
    """A range and its step, for a subquery."""
    step = max(FINEST, back / COARSE)
    return f"{max(round(back.total_seconds()), 1)}s:{max(round(step.total_seconds()), 1)}s"
