"""Settings of the programs that a user of `make up` chooses, by CANARIO_ variables of the shell.

The stack knows them by name alone, because it may not import the programs: a test holds these names to the
settings that the programs declare.
"""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from common.config import PREFIX
from stack.errors import StackError

EVERY = frozenset(
    {"LEASE", "RUNBOOK_URL", "BOARD_URL", "ROLLOUT_PLAN", "ROLLOUT_SPEED", "GUARDRAILS", "SELECTOR"}
)
"""What all programs must agree on."""
ONE = {
    "service": frozenset(
        {
            *("WORKERS", "THREADS", "REFRESH_SECONDS", "MAX_BODY_BYTES", "ADMIN_CALLS_PER_MINUTE"),
            *("GUEST_MEMORY_MB", "GUEST_DEADLINE_SECONDS", "GUEST_HANG_SECONDS", "GUEST_CONCURRENCY"),
            *("SHADOW_QUEUE", "SHADOW_BATCH", "SHADOW_LINGER_MS", "FEEDBACK_OUTCOMES"),
            *("LOG_PREDICTIONS", "LOG_DIR", "LOG_USERS", "LOG_SALT", "LOG_FEATURES", "LOG_FLUSH_SECONDS"),
            *("LOG_FILE_MB", "LOG_FILES", "LOG_QUEUE_RECORDS", "LOG_QUEUE_MB"),
        }
    ),
    "rollback": frozenset({"DECISIONS_MEGABYTES", "LEASE_EVERY", "NOTIFY_URLS", "STOP_LIMIT"}),
    "board": frozenset({"BOARD_TOKEN", "UNLEASH_PUBLIC_URL"}),
}
"""What is the matter of one program; secrets of it reach no other."""
OWN = frozenset(
    {
        *("BIND", "BOARD_BIND", "ROLLBACK_METRICS_BIND", "ROLLOUT_METRICS_BIND", "SERVICE_URL"),
        *("UNLEASH_URL", "UNLEASH_PROJECT", "UNLEASH_ENVIRONMENT", "PROMETHEUS_URL"),
        *("UNLEASH_SDK_TOKEN", "UNLEASH_ADMIN_TOKEN", "UNLEASH_ADMIN_USER", "UNLEASH_ADMIN_PASSWORD"),
        *("ADMIN_TOKEN", "STATE_DIR", "DRILL_FILE", "DECISIONS_DIR", "ANALYSIS_LOG"),
        *("MODELS", "CHAMPION", "CHALLENGER", "CANARY_FLAG", "SHADOW_FLAG"),
    }
)
"""What the stack sets itself: another value would take its programs apart."""
ELSEWHERE = frozenset({"HOME", "CACHE", "STACK_HOME", "STACK_SPEC", "PROMTOOL", "AMTOOL"})
PATHS = frozenset({"LOG_DIR", "ROLLOUT_PLAN", "GUARDRAILS"})


class UnknownSetting(StackError):  # noqa: N818 - as in flags.errors
    """A variable that looks like a setting, and is none."""

    exit_code = 2


@dataclass(frozen=True)
class Chosen:
    """What a shell says.

    Attributes:
        environment: variables by program; `flags` stands for all of them.
        notes: a sentence for each variable that has no effect.
    """

    environment: dict[str, dict[str, str]]
    notes: tuple[str, ...]


def chosen(shell: Mapping[str, str], ours: Mapping[str, str]) -> Chosen:
    """Of a shell's variables, those that the programs get.

    Args:
        ours: what the stack gave this shell, as `make shell` does: the same again is no conflict.

    Raises:
        UnknownSetting: a variable is almost a setting.
    """
    environment: dict[str, dict[str, str]] = {}
    notes = []
    for variable, value in sorted(shell.items()):
        name = variable.removeprefix(PREFIX)
        name = name if name in OWN else name.removesuffix("_FILE")
        if not variable.startswith(PREFIX) or not value or name in ELSEWHERE or name.startswith("TEST_"):
            continue
        programs = ["flags"] if name in EVERY else [each for each, names in ONE.items() if name in names]
        if programs:
            is_path = name in PATHS or variable.endswith("_FILE")
            told = str(Path(value).absolute()) if is_path else value
            for program in programs:
                environment.setdefault(program, {})[variable] = told
        elif name in OWN:
            if ours.get(variable) != value:
                notes.append(f"{variable} of your shell is not used: the stack sets it itself")
        else:
            notes.append(_unknown(variable, name))
    return Chosen(environment, tuple(notes))


def _unknown(variable: str, name: str) -> str:
    known = EVERY.union(*ONE.values())
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.8)
    if near:
        raise UnknownSetting(f"{variable} is no setting; {PREFIX}{near[0]} is. Mend it, or unset it")
    return f"{variable} of your shell is not used: there is no such setting (docs/settings.md has them)"
