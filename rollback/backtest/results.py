"""What rollouts over history come to."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from common.rate import Rate
from rollback.backtest.change import Injection
from rollback.backtest.replay import Rollout
from rollback.simulate.results import Delay, delay, false_rollbacks
from rollback.simulate.study import Breach


@dataclass(frozen=True)
class Study:
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
