"""What every act of the story has at hand."""

import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from common.errors import CanarioError
from drills.story.crowd import Crowd, challenged
from drills.story.keeper import Keeper
from drills.story.tools import Tools
from drills.story.truth import Truth, User
from drills.story.voice import Voice

SETTLE_SECONDS = 3.0  # every worker has heard of a change by then: refresh, fetch, and some
SETTLE_MOST_SECONDS = 60.0
FLUSH_SECONDS = 2.0  # the prediction log is written every second
PROBES, AFTER = 100, 600
PROBE_MARGIN = 0.15  # a worker that lags behind at 5% when the other gives 50% shows as 27%


class NotFollowedError(CanarioError):
    """The service does not do what the flag says."""


class TakenAwayError(CanarioError):
    """The challenger was taken away in the middle of the story."""


@dataclass(frozen=True)
class Plan:
    """How large the story is.

    Attributes:
        shadow: requests that both models see.
        effect: smallest change of the share who buys that the test must not miss: how many users it needs.
        rate: users a second, at most.
    """

    shadow: int = 2000
    effect: float = 0.04
    rate: float = 200.0


@dataclass(frozen=True)
class Scene:
    """One telling. Flags are changed through `keeper` alone.

    Attributes:
        flag: the canary's.
        models: the stack's models folder.
        rows: of features.
    """

    flag: str
    models: Path
    rows: Sequence[Sequence[float]]
    keeper: Keeper
    crowd: Crowd
    tools: Tools
    voice: Voice
    truth: Truth
    plan: Plan

    def share(self, percent: int) -> None:
        """Give the canary this share, and wait until the service follows.

        Raises:
            FlagError, AdminError: Unleash does not take it.
            NotFollowedError: the service does not follow.
        """
        self.keeper.share(self.flag, percent)
        time.sleep(SETTLE_SECONDS)
        end = time.monotonic() + SETTLE_MOST_SECONDS
        probes = self.truth.users("probe", PROBES, len(self.rows))
        # A share on a lease that has run out gives nobody the challenger until the job's next pass.
        while abs((seen := self._seen(probes)) - percent / 100) > PROBE_MARGIN or (percent and not seen):
            if time.monotonic() > end:
                raise NotFollowedError(
                    f"{self.flag} has {percent}% in Unleash, and {seen:.0%} of the users get the challenger:"
                    " see `python3 -m stack status` and `python3 -m stack exec python -m flags show`"
                )
            time.sleep(1)

    def exclude(self, countries: Collection[str]) -> tuple[float, float]:
        """Keep these countries with the champion; shares who get the challenger then, there and elsewhere."""
        self.keeper.exclude(self.flag, countries)
        time.sleep(SETTLE_SECONDS)
        probes = self.truth.users("after", AFTER, len(self.rows))
        there = [each for each in probes if each.country in countries]
        elsewhere = [each for each in probes if each.country not in countries]
        return self._seen(there), self._seen(elsewhere)

    def _seen(self, probes: Sequence[User]) -> float:
        return challenged(self.crowd.send(probes))
