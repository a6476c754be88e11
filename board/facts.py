"""All that one answer of the board rests on, and nothing else: the sources as they are at one moment."""

import re
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from typing import Final

from board.history import History
from board.numbers import Numbers
from board.served import Served
from board.sources import Told
from board.watch import Reading
from common.arms import OURS, Signals
from common.measured import Measured
from flags.accounts.users import ROLLBACK_USER
from flags.canary.history import Change
from flags.rollout.decide import Step, decide
from flags.rollout.readings import Readings
from flags.rollout.schema import RolloutPlan
from flags.rollout.situation import Situation
from rollback.decisions.record import RollbackRecord
from rollback.guardrails.file import Policy

COMMAND: Final = re.compile(r"(\./canario rollout [a-z]+)")
PATIENCE: Final = 15.0  # seconds for which numbers are those of now; a look that failed ends that at once


@dataclass(frozen=True)
class Facts:
    """What is known at `now`.

    Attributes:
        flag_page: the flag in the Unleash UI.
        unleash: the flags; without the numbers of Prometheus.
        signals: what the rollout's service tells.
        file_fault: why its file does not fit any more; all else is by what it said before.
        rollouts: how many the board shows.
        served: the models that are served, as far as is known.
    """

    now: datetime
    plan: RolloutPlan
    policy: Policy
    flag: str
    environment: str
    flag_page: str
    unleash: Reading[Situation]
    numbers: Reading[Numbers]
    history: Reading[History]
    decision: Reading[Told | None]
    name: str = ""
    description: str = ""
    signals: Signals = OURS
    file_fault: str | None = None
    rollouts: int = 1
    served: tuple[Served, ...] = ()

    def typed(self, sentence: str) -> str:
        """With this rollout named in the commands of a sentence, where there are several to choose from."""
        named = rf"\1 --rollout {self.name}"
        return COMMAND.sub(named, sentence) if self.rollouts > 1 else sentence

    @cached_property
    def fresh(self) -> Numbers | None:
        """The numbers; none from the first look on that failed, and none that are old."""
        return None if self.numbers.fault else self.numbers.fresh(self.now, PATIENCE)

    @cached_property
    def seen(self) -> Situation | None:
        """The rollout as it is known now; an older one where Unleash is silent."""
        if self.unleash.value is None:
            return None
        fault = self.numbers.fault or "Prometheus has not been asked yet"
        readings = self.fresh.readings if self.fresh else Readings(fault=fault)
        return replace(self.unleash.value, now=self.now, readings=readings)

    @cached_property
    def step(self) -> Step | None:
        """What the plan makes of it."""
        return decide(self.plan, self.seen) if self.seen else None

    @cached_property
    def guarded(self) -> bool:
        """Whether the rollback job passed not long ago, as far as Prometheus knows."""
        last = self.fresh.readings.last_pass if self.fresh else None
        return last is not None and self.now - last <= self.plan.guard_silent_for

    @cached_property
    def judged(self) -> dict[str, Measured]:
        """Verdicts on the flag as it is now, by guardrail; none of a job that is silent."""
        if not self.guarded or self.fresh is None or self.seen is None:
            return {}
        judged, revision = self.fresh.readings.judged, self.seen.canary.revision
        if judged is None or (revision is not None and judged < revision):
            return {}
        return {one.name: one for one in self.fresh.readings.guardrails}

    @cached_property
    def told_rollback(self) -> RollbackRecord | None:
        """What the log of decisions has of it."""
        told = self.decision.value
        record = told.decision.rollback if told else None
        same = record and self.rollback and record.off_revision == self.rollback.id
        return record if same else None

    @cached_property
    def rollback(self) -> Change | None:
        """The rollback by which the challenger is gone; None where people have it, or a person came after."""
        if self.seen is None or self.seen.canary.exposed:
            return None
        moves = [one for one in self.seen.changes if one.lowered or one.raised]
        return moves[-1] if moves and moves[-1].who == ROLLBACK_USER and moves[-1].lowered else None
