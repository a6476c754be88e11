"""What every act of the story has at hand, and what the reports must find of the models."""

import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from common.errors import CanarioError
from common.model_store import ModelStore
from drills.flag_restorer import FlagRestorer
from drills.story.console import Commands, StoryConsole
from drills.story.crowd import Crowd, challenged
from drills.story.truth import Truth, User
from drills.target import SETTLE_SECONDS
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


class ModelsError(CanarioError):
    """The stack's models are not those that the story is about."""


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
class Context:
    """One story. Flags are changed through `flags` alone.

    Attributes:
        flag: the canary's.
        models: the stack's models folder.
        rows: of features.
    """

    flag: str
    models: Path
    rows: Sequence[Sequence[float]]
    flags: FlagRestorer
    crowd: Crowd
    commands: Commands
    console: StoryConsole
    truth: Truth
    plan: Plan

    def share(self, percent: int) -> None:
        """Give the canary this share, and wait until the service follows.

        Raises:
            FlagError, AdminError: Unleash does not take it.
            NotFollowedError: the service does not follow.
        """
        self.flags.share(self.flag, percent)
        time.sleep(SETTLE_SECONDS)
        end = time.monotonic() + SETTLE_MOST_SECONDS
        probes = self.truth.users("probe", PROBES, len(self.rows))
        # A share on a lease that has run out gives nobody the challenger until the job's next pass.
        while abs((seen := self._seen(probes)) - percent / 100) > PROBE_MARGIN or (percent and not seen):
            if time.monotonic() > end:
                raise NotFollowedError(
                    f"{self.flag} has {percent}% in Unleash, and {seen:.0%} of the users get the challenger:"
                    " see `./canario status` and `./canario show`"
                )
            time.sleep(1)

    def exclude(self, countries: Collection[str]) -> tuple[float, float]:
        """Keep these countries with the champion; shares who get the challenger then, there and elsewhere."""
        self.flags.exclude(self.flag, countries)
        time.sleep(SETTLE_SECONDS)
        probes = self.truth.users("after", AFTER, len(self.rows))
        there = [each for each in probes if each.country in countries]
        elsewhere = [each for each in probes if each.country not in countries]
        return self._seen(there), self._seen(elsewhere)

    def _seen(self, probes: Sequence[User]) -> float:
        return challenged(self.crowd.send(probes))


def true_agreement(folder: Path, rows: Sequence[Sequence[float]], users: Sequence[User]) -> float:
    """Share of the users for whose features both models of the models folder say the same class.

    Raises:
        ModelsError: there is no challenger, or the models do not take these rows.
        ConfigError, ArtifactError: the models cannot be read.
    """
    store = ModelStore(folder)
    roles = store.read().roles
    if roles.challenger is None:
        raise ModelsError("there is no challenger: give one that role by `./canario models`")
    models = [OnnxModel(load_artifact(store.path(each))) for each in (roles.champion, roles.challenger)]
    if any(len(each.metadata.features) != len(rows[0]) or each.metadata.has_strings for each in models):
        raise ModelsError(
            "the story's users bring the example models' features, and these are other models: try it in a"
            " stack of its own, CANARIO_HOME=/tmp/story ./canario story"
        )
    said = [[model.answer(array_of([list(row)], model.metadata)).label for row in rows] for model in models]
    return sum(said[0][each.row] == said[1][each.row] for each in users) / len(users)
