"""Which rollouts the board shows: each file of CANARIO_ROLLOUTS with plan, guardrails and settings."""

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final, TypeVar

from board.settings import BoardSettings
from common.arms import Arms
from common.config import ConfigError, load_settings
from common.rollouts import Chosen, read_all
from flags.rollout.settings import AnyPlan, Planned, PlannedFile, planned
from flags.unleash.admin import admin_from
from rollback.guardrails.file import Policy
from rollback.rollouts import GuardedFile, policy_of

PROGRAM: Final = "board"

T = TypeVar("T")


class BoardFile(GuardedFile, PlannedFile):
    """A rollout's file with its guardrails and its plan."""

    plan: AnyPlan = "canary"


@dataclass(frozen=True)
class Shown:
    """One rollout, ready to be shown."""

    name: str
    description: str
    planned: Planned
    policy: Policy
    settings: BoardSettings

    @property
    def arms(self) -> Arms:
        """Where Prometheus sees both models."""
        return self.planned.arms

    @property
    def flag_page(self) -> str:
        """The flag in the Unleash UI."""
        settings = self.settings
        unleash = settings.unleash_public_url or settings.unleash_url
        return f"{unleash}/projects/{settings.unleash_project}/features/{self.arms.flag}"


def every(environment: Mapping[str, str] = os.environ) -> Iterator[tuple[str, Shown | ConfigError]]:
    """All of them by name, or what is wrong with one. Raises ConfigError: of the folder."""
    found = [*read_all(BoardFile, PROGRAM, environment)]
    for name, chosen in found:
        if isinstance(chosen, ConfigError):
            yield name, chosen
            continue
        try:
            shown = _shown(chosen)
        except ConfigError as error:
            yield name, error
            continue
        folder = shown.settings.decisions_dir
        if folder and len(found) > 1:  # as the rollback job keeps them
            settings = shown.settings.model_copy(update={"decisions_dir": folder / name})
            shown = replace(shown, settings=settings)
        yield name, shown


def _shown(chosen: Chosen[BoardFile]) -> Shown:
    """Raises ConfigError, with the faults of plan, guardrails and settings."""
    faults: list[str] = []

    def tried(make: Callable[[], T]) -> T | None:
        try:
            return make()
        except ConfigError as error:
            faults.extend(str(error).splitlines())
            return None

    settings = tried(lambda: load_settings(BoardSettings, chosen.environment))
    plan, policy = tried(lambda: planned(chosen)), tried(lambda: policy_of(chosen))
    if settings:
        tried(lambda: admin_from(settings))
    if faults or plan is None or policy is None or settings is None:
        raise ConfigError("\n".join(dict.fromkeys(faults)))  # some are of two of them
    return Shown(chosen.name, chosen.file.description, replace(plan, settings=settings), policy, settings)
