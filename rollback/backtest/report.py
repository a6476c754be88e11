"""What a backtest comes to: sentences and tables for a person, figures by name for a program."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import isfinite
from typing import Any

from rich.table import Table

from common.durations import format_duration
from common.rate import Rate
from common.terminal import Console
from rollback.backtest.change import Injection
from rollback.backtest.replay import Rollout
from rollback.backtest.together import Together
from rollback.simulate.study import Breach, Delay, delay, delay_fields, false_rollbacks, rate_fields

MOST_ROWS = 20


@dataclass(frozen=True)
class Backtest:
    """All of a backtest."""

    since: datetime
    until: datetime
    stage: timedelta
    step: timedelta
    draws: int
    pretended: float | None
    """The share of the pretended canary; None where the canary is that of history."""
    injections: tuple[Injection, ...]
    after: timedelta
    plain: Sequence[Rollout]
    """Rollouts without a regression of ours."""
    worse: Sequence[Rollout]
    """The same with it; none without."""
    together: Together | None = None
    """How much errors of one user hang together; None where the service counts no users."""

    @property
    def false(self) -> Rate:
        """How many rollouts without a regression of ours would have been rolled back."""
        return false_rollbacks([_breach(each, timedelta()) for each in self.plain])[0]

    @property
    def delay(self) -> Delay:
        """From the regression to the breach."""
        return delay(_breach(each, self.after) for each in self.worse)


def _breach(rollout: Rollout, after: timedelta) -> Breach | None:
    first = rollout.first
    if first is None or first.breach is None:
        return None
    seconds = (rollout.moment(first.breach) - rollout.start - after).total_seconds()
    return Breach(seconds / 60, first.guardrail, rollout.share)


def sentences(study: Backtest) -> Iterator[str]:
    """What it came to."""
    share = study.plain[0].share
    kind = (
        f"a pretended canary of {100 * study.pretended:g}%, drawn from the champion's calls"
        if study.pretended is not None
        else f"the canary of history, with {100 * share:.2g}% of the calls"
    )
    rollouts = len(study.plain)
    yield (
        f"{study.since:%Y-%m-%d %H:%M} to {study.until:%Y-%m-%d %H:%M} UTC, {kind}: {rollouts}"
        f" rollout{'s' if rollouts != 1 else ''} of {format_duration(study.stage)}."
    )
    low, high = study.false.interval
    what = "False rollbacks" if study.pretended is not None else "Rollbacks"
    yield (
        f"{what}: {study.false.hits} of {study.false.runs}"
        f" ({study.false.share:.1%}; 95% interval {low:.1%} to {high:.1%})."
    )
    if study.together:
        yield str(study.together)
    if not study.injections:
        return
    after = (
        f" {format_duration(study.after)} after the beginning" if study.after else " from the beginning on"
    )
    found, text = study.delay, " and ".join(each.text for each in study.injections)
    yield f"With {text}{after}: {found.runs - found.missed} of {found.runs} rolled back."
    if isfinite(found.median):
        late = f"{found.late:g}" if isfinite(found.late) else "more than the stage has"
        causes = ", ".join(f"{name} {count}" for name, count in found.by.most_common())
        yield (
            f"Minutes from the regression to the breach: median {found.median:g},"
            f" 90th percentile {late}; by {causes}."
        )


def headline(rollout: Rollout) -> str:
    """One rollout in words."""
    first = rollout.first
    told = f"{rollout.start:%Y-%m-%d %H:%M} UTC, {rollout.calls:,} calls of the challenger"
    if first is None or first.breach is None:
        return f"{told}, no rollback"
    return f"{told}, rolled back at {rollout.moment(first.breach):%H:%M:%S} by {first.guardrail}"


def show(study: Backtest, console: Console) -> None:
    """Print it for a person."""
    for line in sentences(study):
        console.print(line, highlight=False, soft_wrap=True)
    table = Table("from (UTC)", "challenger's calls", "regression", "rolled back", "by")
    rows = [("none", each) for each in study.plain] + [("injected", each) for each in study.worse]
    told = sorted(rows, key=lambda row: row[1].first is None)[:MOST_ROWS]
    for what, each in told:
        first = each.first
        after = "" if first is None or first.breach is None else _after(each, first.breach)
        table.add_row(
            f"{each.start:%Y-%m-%d %H:%M}",
            f"{each.calls:,}",
            what,
            after or "no",
            first.guardrail if first else "",
        )
    console.print(table)
    if len(rows) > len(told):
        console.print(f"and {len(rows) - len(told)} more, in which nothing else happened", highlight=False)
    for name, reason in study.plain[0].unjudged.items():
        console.print(f"Not judged: {name}: {reason}.", highlight=False, soft_wrap=True)


def _after(rollout: Rollout, step: int) -> str:
    seconds = (rollout.moment(step) - rollout.start).total_seconds()
    return f"{seconds / 60:g} min after the beginning"


def fields(study: Backtest) -> dict[str, Any]:
    """The figures by name, JSON types only."""
    return {
        "since": study.since.isoformat(),
        "until": study.until.isoformat(),
        "stage_seconds": study.stage.total_seconds(),
        "step_seconds": study.step.total_seconds(),
        "draws": study.draws,
        "pretended_share": study.pretended,
        "injections": [each.text for each in study.injections],
        "after_seconds": study.after.total_seconds(),
        "false_rollbacks": rate_fields(study.false, "rollouts"),
        "delay": delay_fields(study.delay, "rollouts") if study.injections else None,
        "rollouts": [_rollout(each, injected=False) for each in study.plain]
        + [_rollout(each, injected=True) for each in study.worse],
        "together": study.together and study.together.fields(),
        "not_judged": dict(study.plain[0].unjudged),
    }


def _rollout(rollout: Rollout, *, injected: bool) -> dict[str, Any]:
    first = rollout.first
    return {
        "start": rollout.start.isoformat(),
        "injected": injected,
        "share": rollout.share,
        "challenger_calls": rollout.calls,
        "guardrail": first.guardrail if first else None,
        "breached_at": rollout.moment(first.breach).isoformat()
        if first and first.breach is not None
        else None,
        "sentence": first.sentence if first else None,
        "log_e": {
            trail.guardrail: {"highest": float(trail.log_e.max()), "needed": trail.needed}
            for trail in rollout.trails
            if trail.log_e is not None
        },
    }
