"""A rollout as a file: its flag in Unleash, where Prometheus sees its two models, its guardrails, its plan.

    rollouts/
      breast-cancer/rollout.yaml      Canario's own service
      checkout-ranker/rollout.yaml    somebody's service, with names of its own

CANARIO_ROLLOUTS names the folder. Each program reads the part that it needs: what the guardrails and the plan
say is validated by rollback.rollouts and flags.rollout.rollouts, everything else here.

With one rollout the variables of a program (CANARIO_CANARY_FLAG, CANARIO_SELECTOR, ...) overrule its file.
With several that would be said of all of them, so it is an error.
"""

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Final, Generic, TypeVar

from pydantic import AfterValidator, BeforeValidator, Field

from common.arms import OURS, Arms, Signals
from common.config import ConfigError, StrictModel, load_yaml
from common.durations import Duration
from common.selector import LabelName, Matchers

FOLDER: Final = Path(__file__).resolve().parents[1] / "rollouts"
FILE: Final = "rollout.yaml"
NAME: Final = r"^[a-z0-9]([a-z0-9-]{0,60}[a-z0-9])?$"
OUR_SERVICE: Final = "canario-service"
PROGRAMS: Final = ("flags", "rollback", "rollout", "board", "mesh")
_VARIABLE = re.compile(r"\$([A-Z][A-Z0-9_]*)")

Name = Annotated[str, Field(pattern=NAME)]


def _expanded(text: str) -> str:
    """With what the environment says in place of `$NAME`; what it does not say is empty."""
    return _VARIABLE.sub(lambda found: os.environ.get(found[1], ""), text)


Expanded = Annotated[str, AfterValidator(_expanded)]


def _sticky(stickiness: str) -> str:
    if stickiness in {"", "default", "random"}:
        raise ValueError("a user must stay with a model: name a field of the context, as userId or sessionId")
    return stickiness


class FlagPart(StrictModel):
    """The flag that gives users the challenger."""

    name: Annotated[str, Field(min_length=1, max_length=100)]
    shadow: Annotated[str, Field(min_length=1, max_length=100)] | None = None
    """The flag that decides whose requests the challenger gets copies of; none: there is no shadow."""
    project: Annotated[str, Field(min_length=1)] = "default"
    environment: Annotated[str, Field(min_length=1)] = "production"
    stickiness: Annotated[str, AfterValidator(_sticky)] = "userId"
    """By what the flag draws its share: a field of the context that stays the same for a user."""


class ArmsPart(StrictModel):
    """Where Prometheus sees the two models."""

    selector: Matchers
    """Labels that all of the service's series have, those of its targets: `{job: checkout}`."""
    label: LabelName = "model"
    """The label that tells the models apart."""
    champion: Annotated[str, Field(min_length=1)] = "champion"
    """Its value for the champion."""
    challenger: Annotated[str, Field(min_length=1)] = "challenger"
    scrape_interval: Duration | None = None
    """How often Prometheus scrapes the service, where that is not as the guardrails' file says."""


def _signals(given: object) -> object:
    return OURS if given == OUR_SERVICE else given


class RolloutFile(StrictModel):
    """What every program reads of a rollout's file."""

    name: Name
    description: Annotated[str, Field(max_length=300)] = ""
    flag: FlagPart
    arms: ArmsPart
    signals: Annotated[Signals, BeforeValidator(_signals)]
    """Which series tell what; `canario-service` for Canario's own."""
    guardrails: Any = "model-server"
    """A template (model-server, http-service, istio), a file beside this one, or guardrails themselves."""
    plan: Any = "canary"
    """A template (canary, shadow-canary), a file beside this one, or the plan itself."""
    routes: Any = ()
    """Routes whose weights follow the flag: VirtualService, HTTPRoute, envoy, nginx (docs/mesh.md)."""
    models: Expanded = ""
    """Models folder with roles.json, which says what version the challenger is. `$NAME` is a variable."""
    service: Expanded = ""
    """Address of the service, where a promotion changes the roles of its models."""
    tokens: dict[str, str] = Field(default_factory=dict)
    """By program (flags, rollback, rollout, board, mesh): the file of a token of its own in Unleash."""
    notify: Expanded = ""
    """The file of the addresses to tell of rollbacks; by default CANARIO_NOTIFY_URLS."""

    def where(self) -> Arms:
        """Where Prometheus sees both models."""
        part = self.arms
        return Arms(
            self.flag.name,
            self.flag.environment,
            part.selector,
            part.label,
            part.champion,
            part.challenger,
            self.signals,
        )

    def variables(self, program: str) -> dict[str, str]:
        """What the file says, as the variables of a program say it."""
        said = {
            "CANARIO_CANARY_FLAG": self.flag.name,
            "CANARIO_SHADOW_FLAG": self.flag.shadow or "",
            "CANARIO_UNLEASH_PROJECT": self.flag.project,
            "CANARIO_UNLEASH_ENVIRONMENT": self.flag.environment,
            "CANARIO_STICKINESS": self.flag.stickiness,
            "CANARIO_SELECTOR": self.arms.selector,
            "CANARIO_MODELS": self.models,
            "CANARIO_SERVICE_URL": self.service,
            "CANARIO_UNLEASH_ADMIN_TOKEN_FILE": self.tokens.get(program, ""),
            "CANARIO_NOTIFY_URLS_FILE": self.notify,
        }
        return {name: value for name, value in said.items() if value}


File = TypeVar("File", bound=RolloutFile)
T = TypeVar("T")
File_co = TypeVar("File_co", bound=RolloutFile, covariant=True)

OVERRULING: Final = (
    *("CANARIO_CANARY_FLAG", "CANARIO_SHADOW_FLAG", "CANARIO_SELECTOR", "CANARIO_GUARDRAILS"),
    *("CANARIO_ROLLOUT_PLAN", "CANARIO_UNLEASH_PROJECT", "CANARIO_UNLEASH_ENVIRONMENT"),
)
"""Variables that overrule the file of a rollout that is alone, and are an error beside several."""
OF_ONE: Final = ("CANARIO_MODELS", "CANARIO_CHALLENGER", "CANARIO_SERVICE_URL")
"""Variables of a service with versions; only files count with several rollouts, or where it tells none."""


@dataclass(frozen=True)
class Chosen(Generic[File_co]):
    """A rollout that was read, and the environment in which its settings are made."""

    file: File_co
    path: Path
    environment: Mapping[str, str] = field(repr=False)
    """May hold secrets."""

    @property
    def name(self) -> str:
        """The rollout's."""
        return self.file.name

    def arms(self, flag: str, environment: str, selector: str) -> Arms:
        """Where Prometheus sees both models, by the settings that were made of it."""
        found = self.file.where()
        return Arms(flag, environment, selector, found.label, found.champion, found.challenger, found.signals)

    def beside(self, name: str) -> Path:
        """A file that the rollout's file names."""
        return self.path.parent / name


def names(folder: Path) -> tuple[str, ...]:
    """The rollouts of a folder, sorted. Raises ConfigError: it cannot be read, or has none."""
    try:
        found = sorted(path.parent.name for path in folder.glob(f"*/{FILE}"))
    except OSError as error:
        raise ConfigError(f"CANARIO_ROLLOUTS: {folder} cannot be read: {error}") from error
    if not found:
        raise ConfigError(f"CANARIO_ROLLOUTS: {folder} has no NAME/{FILE}; see docs/rollouts.md")
    return tuple(found)


def choose(
    kind: type[File], program: str, name: str | None = None, environment: Mapping[str, str] = os.environ
) -> Chosen[File]:
    """The rollout of that name; without one, that of CANARIO_ROLLOUT, or the only one.

    Raises:
        ConfigError: there is none of that name, or several and none is named; or its file does not fit.
    """
    folder, every = _folder(environment)
    name, is_alone = _chosen(name, folder, every, environment)
    return _read(folder, name, kind, program, environment, alone=is_alone)


def choose_name(name: str | None = None, environment: Mapping[str, str] = os.environ) -> tuple[str, bool]:
    """The same, without reading its file; and whether it is the only one. Raises ConfigError."""
    return _chosen(name, *_folder(environment), environment)


def _chosen(
    name: str | None, folder: Path, every: tuple[str, ...], environment: Mapping[str, str]
) -> tuple[str, bool]:
    name = name or environment.get("CANARIO_ROLLOUT") or None
    if name is None:
        if len(every) > 1:
            raise ConfigError(f"there are several rollouts: name one by --rollout, of {', '.join(every)}")
        (name,) = every
    if name not in every:
        raise ConfigError(f"there is no rollout {name!r} in {folder}; there are {', '.join(every)}")
    return name, len(every) == 1


def read_all(
    kind: type[File], program: str, environment: Mapping[str, str] = os.environ
) -> Iterator[tuple[str, Chosen[File] | ConfigError]]:
    """Every rollout of CANARIO_ROLLOUTS by its name, or what is wrong with its file.

    Two that name the same flag are both wrong: each would undo what the other does.

    Raises:
        ConfigError: of the folder, or of variables that would be said of several rollouts.
    """
    folder, every = _folder(environment)
    found: dict[str, Chosen[File] | ConfigError] = {}
    for name in every:
        try:
            found[name] = _read(folder, name, kind, program, environment, alone=len(every) == 1)
        except ConfigError as error:
            found[name] = error
    owners: dict[tuple[str, str, str], list[str]] = {}
    for name, one in found.items():
        if isinstance(one, Chosen):
            part = one.file.flag
            for flag in filter(None, (part.name, part.shadow)):
                owners.setdefault((part.project, part.environment, flag), []).append(name)
    for (_, environment_of, flag), who in owners.items():
        for name in who if len(who) > 1 else ():
            others = " and ".join(one for one in who if one != name) or "itself"
            found[name] = ConfigError(
                f"{folder / name / FILE}:1: flag: {flag} in {environment_of} is the flag of {others} too:"
                " a rollout has a flag of its own"
            )
    yield from found.items()


def only(found: Mapping[str, T], name: str | None, *, which: str = "") -> Mapping[str, T]:
    """The rollout of that name alone, or all of them where none is named; `which`: of those looked for.

    Raises ConfigError: there is none of that name.
    """
    if name is None:
        return found
    if name not in found:
        raise ConfigError(f"there is no rollout {name!r}{which}; there are {', '.join(found) or 'none'}")
    return {name: found[name]}


def environment_of(flag: str, program: str, environment: Mapping[str, str] = os.environ) -> Mapping[str, str]:
    """The environment of the rollout whose flag this is, so that a command about a flag acts where it lies.

    Where it is no rollout's, or the files cannot be read, the one that was given: who turns a flag off must
    not be stopped by a file.
    """
    try:
        folder = Path(environment.get("CANARIO_ROLLOUTS") or FOLDER)
        every = names(folder)
    except ConfigError:
        return environment
    for name in every:
        try:
            found = _read(folder, name, RolloutFile, program, environment, alone=len(every) == 1)
        except ConfigError:
            continue
        if flag in {found.file.flag.name, found.file.flag.shadow}:
            return found.environment
    return environment


def _folder(environment: Mapping[str, str]) -> tuple[Path, tuple[str, ...]]:
    folder = Path(environment.get("CANARIO_ROLLOUTS") or FOLDER)
    every = names(folder)
    said = [name for name in OVERRULING if environment.get(name)]
    if said and len(every) > 1:
        raise ConfigError(
            f"{' and '.join(said)}: there are several rollouts in {folder}, and this would be said of all of"
            f" them: write it into the {FILE} that is meant"
        )
    return folder, every


def _read(  # noqa: PLR0913 - where, what, and for whom
    folder: Path, name: str, kind: type[File], program: str, environment: Mapping[str, str], *, alone: bool
) -> Chosen[File]:
    path = folder / name / FILE
    file = load_yaml(path, kind)
    if file.name != name:
        raise ConfigError(f"{path}: name: is {file.name}, and the folder is {name}: they must be the same")
    if wrong := sorted(set(file.tokens) - set(PROGRAMS)):
        raise ConfigError(
            f"{path}: tokens: {', '.join(wrong)}: is no program; there are {', '.join(PROGRAMS)}"
        )
    if file.models and file.signals.versions is None:
        raise ConfigError(
            f"{path}: models: which version it names could never be seen to be served,"
            " because signals names no versions"
        )
    said = {  # a file is named from where the rollout's file lies
        name: str(path.parent / value) if name.endswith("_FILE") else value
        for name, value in file.variables(program).items()
    }
    if alone:
        not_its = () if file.signals.versions else OF_ONE
        others = {key: value for key, value in environment.items() if value and key not in not_its}
        return Chosen(file, path, {**said, **others})
    replaced = {name.removesuffix("_FILE") for name in said}  # a value counts before a file that names one
    others = {key: value for key, value in environment.items() if key not in {*OF_ONE, *replaced}}
    return Chosen(file, path, {**others, **said})
