"""The environment variables of each program. Of a shell they get what is named here and in `stack.chosen`."""

import os
import sys
from pathlib import Path

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
    """Of `python -m flags bootstrap`, which acts as Unleash's administrator."""
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


def flags_command(site: Site) -> dict[str, str]:
    """Of the flags command line, which also changes the roles of models and sees the service take them.

    And of a person's shell, who looks at the prediction log as well.
    """
    return {
        **flags(site),
        "CANARIO_MODELS": str(site.home.models),
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
        "CANARIO_MODELS": str(site.home.models),
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
        "CANARIO_MODELS": str(site.home.models),
        "CANARIO_BOARD_BIND": site.addresses.board.removeprefix("http://"),
    }


def traffic(site: Site) -> dict[str, str]:
    """Of the sample traffic."""
    return {**basic(), "CANARIO_SERVICE_URL": site.addresses.service}
