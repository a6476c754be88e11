"""Rule files of all rollouts: one for each, and one that is the same for all.

    canario.yml              alerts of the jobs, as it stands in monitoring/rules
    canario-<rollout>.yml    recorded series and alerts of one rollout, in the names of its service

Prometheus takes either a whole folder or nothing of it, so a rollout whose file does not fit keeps the rules
that were made of it last.
"""

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import yaml
from pydantic import TypeAdapter, ValidationError

from common.config import ConfigError
from common.durations import format_duration
from common.files import replace_whole
from common.recording import Rule, native_rules, recording_rules
from common.rollouts import Chosen, read_all
from common.selector import Matchers
from monitoring.alerts import RUNBOOK_URL, guardrail_alerts, service_alerts
from rollback.rollouts import PROGRAM, GuardedFile, policy_of

RULES: Final = Path(__file__).with_name("rules")
OF_ALL: Final = "canario.yml"
OUR_SERVICE: Final = Path(__file__).with_name("service_alerts.yml")
HEAD: Final = "# Made by `./canario rules` of the rollout "
OLD_HEAD: Final = "# Made by `python -m monitoring rules` of the rollout "  # files of before
WIDTH: Final = 1000  # a text each line


def rule_files(
    environment: Mapping[str, str] = os.environ,
) -> Iterator[tuple[str, str | ConfigError]]:
    """The rules of each rollout of CANARIO_ROLLOUTS by the name of their file, or what is wrong with it.

    Raises:
        ConfigError: of the folder, or of variables that would be said of several rollouts.
    """
    ours = yaml.safe_load(OUR_SERVICE.read_text(encoding="utf-8"))
    for name, chosen in read_all(GuardedFile, PROGRAM, environment):
        try:
            made = chosen if isinstance(chosen, ConfigError) else rules_of(chosen, ours)
        except ConfigError as error:
            made = error
        yield f"canario-{name}.yml", made


def rules_of(chosen: Chosen[GuardedFile], ours: list[Rule]) -> str:
    """The rules of one rollout as a file. Raises ConfigError: its guardrails do not fit."""
    policy = policy_of(chosen)
    said, name = chosen.environment, chosen.name
    try:
        selector = TypeAdapter(Matchers).validate_python(said["CANARIO_SELECTOR"])
    except ValidationError as error:
        raise ConfigError(f"CANARIO_SELECTOR: {error.errors()[0]['msg']}") from None
    arms = chosen.arms(said["CANARIO_CANARY_FLAG"], said["CANARIO_UNLEASH_ENVIRONMENT"], selector)
    groups = (
        ("native", native_rules(arms)),
        ("recorded", recording_rules(name, arms, policy.scrape_interval)),
        ("guardrails", guardrail_alerts(name, arms, policy)),
        ("service", service_alerts(name, arms, ours)),
    )
    head = [
        f"{HEAD}{name}: change its file or its guardrails, and say it again.",
        *(f"# Without {each.name}: {why}." for each, why in policy.missing),
    ]
    made: list[dict[str, Any]] = [{"name": f"{name} {what}", "rules": [*rules]} for what, rules in groups]
    made[0]["interval"] = format_duration(policy.scrape_interval)  # as fresh as what is scraped
    return "\n".join((*head, _yaml({"groups": [each for each in made if each["rules"]]})))


def write_rules(
    folder: Path, files: Iterable[tuple[str, str | ConfigError]], environment: Mapping[str, str] = os.environ
) -> list[ConfigError]:
    """Write them, and what is the same for all; take away those of rollouts that are gone.

    `runbook_url` leads to CANARIO_RUNBOOK_URL, else to the board's copy of the runbook at CANARIO_BOARD_URL.

    Returns:
        what is wrong with rollouts whose rules were left as they are.

    Raises:
        ConfigError: the folder cannot be written, or has a file of that name that is not ours.
    """
    found = dict(files)
    runbook = runbook_url(environment)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        ours = {path for path in folder.glob("canario-*.yml") if _is_ours(path)}
        for name, made in found.items():
            path = folder / name
            if isinstance(made, ConfigError):
                continue
            if path.exists() and path not in ours:
                raise ConfigError(
                    f"{path} was not made by this command: move it away, or name another folder"
                )
            _replace(path, made.replace(RUNBOOK_URL, runbook))
        for path in ours:
            if path.name not in found:
                path.unlink()
        if folder.resolve() != RULES:
            of_all = (RULES / OF_ALL).read_text(encoding="utf-8")
            _replace(folder / OF_ALL, of_all.replace(RUNBOOK_URL, runbook))
    except OSError as error:
        raise ConfigError(f"{folder}: {error}") from error
    return [made for made in found.values() if isinstance(made, ConfigError)]


def runbook_url(environment: Mapping[str, str]) -> str:
    """Where people read the runbook."""
    board = environment.get("CANARIO_BOARD_URL", "").rstrip("/")
    return environment.get("CANARIO_RUNBOOK_URL") or (f"{board}/docs/runbook" if board else RUNBOOK_URL)


def _is_ours(path: Path) -> bool:
    return path.read_text(encoding="utf-8").startswith((HEAD, OLD_HEAD))


def _replace(path: Path, text: str) -> None:
    replace_whole(path, text)
    path.chmod(0o644)  # Prometheus is another user


class _Dumper(yaml.SafeDumper):
    """Expressions as they are read: in lines of their own."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - a label set is written out each time
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _text)


def _yaml(document: object) -> str:
    return yaml.dump(document, Dumper=_Dumper, sort_keys=False, width=WIDTH, allow_unicode=True)
