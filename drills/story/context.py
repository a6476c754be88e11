"""What every act of the story has at hand, and what is true of its models."""

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from common.errors import CanarioError
from common.names import Model
from drills.story.console import Commands, StoryConsole
from drills.story.crowd import Crowd, challenged
from drills.story.shop import Visitor, visitors
from drills.story.truth import Truth, truth_of
from drills.target import SETTLE_SECONDS, Target
from flags.canary.exclude import ExcludedUsers, exclude
from flags.canary.share import read_state, set_share
from service.models.artifact import load_artifact
from service.models.onnx_model import OnnxModel, array_of

SHADOW = "shadow"  # the flag
SETTLE_MOST_SECONDS = 60.0
FLUSH_SECONDS = 2.0  # the prediction log is written every second
PROBES, AFTER = 100, 600
PROBE_MARGIN = 0.15  # a worker that lags behind at 5% when the other gives 50% shows as 27%


class NotFollowedError(CanarioError):
    """The service does not do what the flag says."""


class RolledBackError(CanarioError):
    """The challenger was rolled back, or turned off by a person, in the middle of the story."""


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


@dataclass
class Context:
    """One story, on a stack that nobody else uses.

    Attributes:
        models: artifact folders.
        truth: of many visitors.
    """

    target: Target
    models: Mapping[Model, Path]
    truth: Truth
    crowd: Crowd
    commands: Commands
    console: StoryConsole
    plan: Plan
    _given: int = field(default=0, init=False)

    @property
    def flag(self) -> str:
        """The canary's."""
        return self.target.flag

    def copies(self, percent: int) -> None:
        """Let the challenger see copies of so many requests. Raises FlagError, AdminError."""
        set_share(self.target.admin, SHADOW, percent)
        time.sleep(SETTLE_SECONDS)

    def share(self, percent: int) -> None:
        """Give the canary this share, and wait until the service follows.

        Raises:
            FlagError, AdminError: Unleash does not take it.
            NotFollowedError: the service does not follow.
        """
        set_share(self.target.admin, self.flag, percent)
        self._given = percent
        time.sleep(SETTLE_SECONDS)
        end = time.monotonic() + SETTLE_MOST_SECONDS
        probes = visitors("probe", PROBES)
        # A share on a lease that has run out gives nobody the challenger until the job's next pass.
        while abs((seen := self._seen(probes)) - percent / 100) > PROBE_MARGIN or (percent and not seen):
            if time.monotonic() > end:
                raise NotFollowedError(
                    f"{self.flag} has {percent}% in Unleash, and {seen:.0%} of the users get the challenger:"
                    f" see {self.commands.folder.parent / 'logs'}"
                )
            time.sleep(1)

    def require_exposure(self) -> None:
        """Raises RolledBackError where the challenger was turned off, or its share changed, in between."""
        state = read_state(self.target.admin, self.flag)
        if state.percent != self._given or not state.enabled:
            raise RolledBackError(
                f"{state.changed_by} changed {self.flag}: {state.change_in_words or state.change}. If it was"
                " the rollback job: its decisions are in"
                f" {self.commands.folder.parent / 'data' / 'decisions'}"
            )

    def exclude(self, countries: Collection[str]) -> tuple[float, float]:
        """Keep these countries with the champion; shares who get the challenger then, there and elsewhere."""
        exclude(self.target.admin, self.flag, [ExcludedUsers("country", each) for each in sorted(countries)])
        time.sleep(SETTLE_SECONDS)
        probes = visitors("after", AFTER)
        there = [each for each in probes if each.country in countries]
        elsewhere = [each for each in probes if each.country not in countries]
        return self._seen(there), self._seen(elsewhere)

    def _seen(self, probes: Sequence[Visitor]) -> float:
        return challenged(self.crowd.send(probes))


def truth_about(models: Mapping[Model, Path], asked: Sequence[Visitor]) -> Truth:
    """What both models say of these visitors, asked without the service, and what comes of it.

    Raises:
        ArtifactError: a model cannot be read.
    """
    said = {}
    for role, folder in models.items():
        model = OnnxModel(load_artifact(folder))
        names = [one.name for one in model.metadata.features]
        rows = array_of([[each.features[name] for name in names] for each in asked], model.metadata)
        said[role] = [str(answer.class_name) for answer in model.answers(rows)]
    return truth_of(asked, said)
