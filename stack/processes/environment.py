"""The environment variables of each program: those that the stack sets, and those that a user chooses.

Of the shell of `./canario up` they get what is named here, nothing else. The stack knows the programs'
settings by name alone, because it may not import the programs: a test holds these names to what they declare.
"""

import difflib
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from common.config import PREFIX
from stack.shell import StackError
from stack.site import ADMIN, Site

_INHERITED = ("HOME", "USER", "LOGNAME", "TZ", "TMPDIR")


def basic() -> dict[str, str]:
    """What every program gets: proxies, PYTHONPATH, DATABASE_URL and the like would only lead it astray."""
    kept = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    path = f"{Path(sys.executable).parent}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    return {**kept, "PATH": path, "LANG": "C.UTF-8", "PYTHONUNBUFFERED": "1"}


def unleash(site: Site) -> dict[str, str]:
    """Of the Unleash server. It reads no secrets from files, so they are here."""
    secrets = site.secrets
    host, port = site.addresses.postgres.split(":")
    return {
        **basic(),
        "NODE_ENV": "production",
        "DATABASE_HOST": host,
        "DATABASE_PORT": port,
        "DATABASE_NAME": site.database,
        "DATABASE_USERNAME": "unleash",
        "DATABASE_PASSWORD": secrets.read("postgres-unleash.password"),
        "DATABASE_SSL": "false",
        "HTTP_HOST": host,
        "HTTP_PORT": str(site.ports["unleash"]),
        "UNLEASH_URL": site.addresses.unleash,
        "UNLEASH_SECRET": secrets.read("unleash-session.secret"),
        "UNLEASH_DEFAULT_ADMIN_USERNAME": ADMIN,
        "UNLEASH_DEFAULT_ADMIN_PASSWORD": secrets.read("unleash-admin.password"),
        "INIT_BACKEND_API_TOKENS": secrets.read("unleash-sdk.token"),
        "CHECK_VERSION": "false",
        "SEND_TELEMETRY": "false",
        "LOG_LEVEL": "warn",
    }


def flags_bootstrap(site: Site) -> dict[str, str]:
    """Of `./canario bootstrap`, which acts as Unleash's administrator."""
    return {
        **basic(),
        "CANARIO_UNLEASH_URL": site.addresses.unleash,
        "CANARIO_UNLEASH_ADMIN_USER": ADMIN,
        "CANARIO_UNLEASH_ADMIN_PASSWORD_FILE": str(site.secrets.path("unleash-admin.password")),
    }


def flags(site: Site, user: str = "canario-flags") -> dict[str, str]:
    """Of `python -m flags COMMAND`, which acts as its own Unleash user, and of commands that only look."""
    return {
        **basic(),
        "CANARIO_UNLEASH_URL": site.addresses.unleash,
        "CANARIO_UNLEASH_ADMIN_TOKEN_FILE": str(site.secrets.token(user)),
        "CANARIO_PROMETHEUS_URL": site.addresses.prometheus,
        "CANARIO_DECISIONS_DIR": str(site.home.data / "decisions"),
        # Without the job that renews it everybody would fall back to the champion after 15 minutes.
        "CANARIO_LEASE": "15m" if "rollback" in site.settings.programs else "off",
        # The flag's page in Unleash links to it.
        **({"CANARIO_BOARD_URL": site.addresses.board} if "board" in site.settings.programs else {}),
        **site.settings.environment.get("flags", {}),
    }


def _models(site: Site) -> dict[str, str]:
    """The models folder; a stack without the service has none."""
    return {"CANARIO_MODELS": str(site.home.models)} if "service" in site.settings.programs else {}


def flags_command(site: Site) -> dict[str, str]:
    """Of the flags command line, which also changes the roles of models and sees the service take them.

    And of a person's shell, who looks at the prediction log as well.
    """
    return {
        **flags(site),
        **_models(site),
        "CANARIO_SERVICE_URL": site.addresses.service,
        "CANARIO_ADMIN_TOKEN_FILE": str(site.secrets.path("service-admin.token")),
        "CANARIO_ANALYSIS_LOG": str(site.home.data / "service" / "log"),
    }


def service(site: Site) -> dict[str, str]:
    """Of the service under gunicorn."""
    return {
        **flags(site, "canario-service"),
        "CANARIO_UNLEASH_SDK_TOKEN_FILE": str(site.secrets.path("unleash-sdk.token")),
        "CANARIO_ADMIN_TOKEN_FILE": str(site.secrets.path("service-admin.token")),
        "CANARIO_MODELS": str(site.home.models),
        "CANARIO_STATE_DIR": str(site.home.data / "service"),
        "CANARIO_DRILL_FILE": str(site.home.drill),
        "CANARIO_BIND": site.addresses.service.removeprefix("http://"),
        "CANARIO_WORKERS": str(site.settings.workers),
    }


def rollback(site: Site) -> dict[str, str]:
    """Of the rollback job."""
    return {
        **flags(site, "canario-rollback"),
        **_models(site),
        "CANARIO_PREDICTION_LOG": str(site.home.data / "service" / "log"),
        "CANARIO_ROLLBACK_METRICS_BIND": site.addresses.rollback.removeprefix("http://"),
    }


def rollout(site: Site) -> dict[str, str]:
    """Of the job that carries out the rollout plan."""
    return {
        **flags_command(site),
        "CANARIO_UNLEASH_ADMIN_TOKEN_FILE": str(site.secrets.token("canario-rollout")),
        "CANARIO_ROLLOUT_METRICS_BIND": site.addresses.rollout.removeprefix("http://"),
    }


def board(site: Site) -> dict[str, str]:
    """Of the rollout board: a Viewer in Unleash, and only this machine may read it."""
    return {
        **flags(site, "canario-board"),
        **_models(site),
        "CANARIO_BOARD_BIND": site.addresses.board.removeprefix("http://"),
    }


def traffic(site: Site) -> dict[str, str]:
    """Of the sample traffic."""
    return {**basic(), "CANARIO_SERVICE_URL": site.addresses.service}


EVERY = frozenset(
    {
        *("LEASE", "RUNBOOK_URL", "BOARD_URL", "ROLLOUT_PLAN", "ROLLOUT_SPEED", "GUARDRAILS", "SELECTOR"),
        *("ROLLOUTS", "ROLLOUT", "STICKINESS", "MLFLOW_ALIAS"),
    }
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
            *("MAX_ROWS", "MODEL_NAME", "CHAMPION_DEADLINE_SECONDS", "ASSIGN_USER_HEADER", "ASSIGN_CONTEXT"),
            "SEGMENTS",
        }
    ),
    "rollback": frozenset({"DECISIONS_MEGABYTES", "LEASE_EVERY", "NOTIFY_URLS", "STOP_LIMIT"}),
    "board": frozenset(
        {
            *("BOARD_TOKEN", "UNLEASH_PUBLIC_URL", "BOARD_ACT_TOKEN"),
            *("BOARD_IDENTITY_HEADER", "BOARD_UNLEASH_TOKEN"),
        }
    ),
}
"""What is the matter of one program; secrets of it reach no other."""
OWN = frozenset(
    {
        *("BIND", "BOARD_BIND", "ROLLBACK_METRICS_BIND", "ROLLOUT_METRICS_BIND", "SERVICE_URL"),
        *("UNLEASH_URL", "UNLEASH_PROJECT", "UNLEASH_ENVIRONMENT", "PROMETHEUS_URL"),
        *("UNLEASH_SDK_TOKEN", "UNLEASH_ADMIN_TOKEN", "UNLEASH_ADMIN_USER", "UNLEASH_ADMIN_PASSWORD"),
        *("ADMIN_TOKEN", "STATE_DIR", "DRILL_FILE", "DECISIONS_DIR", "ANALYSIS_LOG"),
        "PREDICTION_LOG",
        *("MODELS", "CHAMPION", "CHALLENGER", "CANARY_FLAG", "SHADOW_FLAG", "CANARY_PERCENT"),
    }
)
"""What the stack sets itself: another value would take its programs apart."""
SPANS = "OTEL_"
"""Of OpenTelemetry's own variables, which the service alone reads (docs/tracing.md)."""
ELSEWHERE = frozenset({"HOME", "CACHE", "STACK_HOME", "STACK_SPEC", "PROMTOOL", "AMTOOL"})
PATHS = frozenset({"LOG_DIR", "ROLLOUTS", "ROLLOUT_PLAN", "GUARDRAILS"})


class UnknownSetting(StackError):  # noqa: N818 - as in flags.unleash.errors
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
        ours: what the stack gave this shell, as `./canario shell` does: the same again is no conflict.

    Raises:
        UnknownSetting: a variable is almost a setting.
    """
    environment: dict[str, dict[str, str]] = {}
    notes = []
    for variable, value in sorted(shell.items()):
        name = variable.removeprefix(PREFIX)
        name = name if name in OWN else name.removesuffix("_FILE")
        if variable.startswith(SPANS) and value:
            environment.setdefault("service", {})[variable] = value
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
