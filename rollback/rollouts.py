"""The rollouts that are guarded: each file with its guardrails, and the settings that it is guarded with."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Final

from pydantic import PlainValidator, WithJsonSchema

from common.arms import Arms, Signals
from common.config import ConfigError, load_settings
from common.rollouts import Chosen, RolloutFile, read_all
from flags.unleash.admin import admin_from
from rollback.guardrails.file import DEFAULT_FILE, Policy, load_policy
from rollback.settings import RollbackSettings, decisions_of

TEMPLATES: Final = {
    "model-server": DEFAULT_FILE,
    **{name: DEFAULT_FILE.with_name("templates") / f"{name}.yaml" for name in ("http-service", "istio")},
}
PROGRAM: Final = "rollback"


def _guardrails(given: object) -> Policy | str:
    if isinstance(given, Policy | str):
        return given
    return Policy.model_validate(given)


class GuardedFile(RolloutFile):
    """A rollout's file with its guardrails."""

    guardrails: Annotated[
        Policy | str,
        PlainValidator(_guardrails),
        WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "object"}]}),
    ] = "model-server"


@dataclass(frozen=True)
class Guarded:
    """One rollout, ready to be judged."""

    name: str
    policy: Policy
    arms: Arms
    settings: RollbackSettings


def policy_of(
    chosen: Chosen[GuardedFile], file: Path | None = None, signals: Signals | None = None
) -> Policy:
    """The guardrails of a rollout, or those of `file`, for its signals; `signals`: under other names.

    Raises:
        ConfigError: with `file:line` for every fault; or the rollout has the signals of none of them.
    """
    said = chosen.file.guardrails
    signals, pace = signals or chosen.file.signals, chosen.file.arms.scrape_interval
    overruled = file or (Path(text) if (text := chosen.environment.get("CANARIO_GUARDRAILS")) else None)
    if overruled:
        found = load_policy(overruled, signals)
    elif isinstance(said, Policy):
        found = said.on(signals)
    else:
        found = load_policy(TEMPLATES.get(said) or chosen.beside(said), signals)
    if not found.guardrails:
        raise ConfigError(
            f"{chosen.path}: signals: none of its guardrails has what it needs, so nothing would ever be"
            f" rolled back: {'; '.join(f'{each.name}: {why}' for each, why in found.missing)}"
        )
    return found.paced(pace) if pace else found


def guarded(chosen: Chosen[GuardedFile], file: Path | None = None) -> Guarded:
    """A rollout with its settings. Raises ConfigError, with the faults of both."""
    faults = []
    try:
        policy = policy_of(chosen, file)
    except ConfigError as error:
        faults.append(str(error))
    try:
        settings = load_settings(RollbackSettings, chosen.environment)
        admin_from(settings)
    except ConfigError as error:
        faults.append(str(error))
    if faults:
        raise ConfigError("\n".join(faults))
    arms = chosen.arms(settings.canary_flag, settings.unleash_environment, settings.selector)
    return Guarded(chosen.name, policy, arms, settings)


def every(
    file: Path | None = None, environment: Mapping[str, str] = os.environ
) -> Iterator[tuple[str, Guarded | ConfigError]]:
    """All of them, or what is wrong with one. Raises ConfigError: of the folder."""
    found = [*read_all(GuardedFile, PROGRAM, environment)]
    for name, chosen in found:
        if isinstance(chosen, ConfigError):
            yield name, chosen
            continue
        try:
            ready = guarded(chosen, file)
        except ConfigError as error:
            yield name, error
            continue
        folder = decisions_of(ready.settings.decisions_dir, (name, len(found) == 1))
        settings = ready.settings.model_copy(update={"decisions_dir": folder})
        yield name, replace(ready, settings=settings)
