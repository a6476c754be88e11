"""What `up` says at its end: where everything is, one thing to try, what to move, what to do next."""

import os
from pathlib import Path

from stack.install import alertmanager
from stack.paths import REPOSITORY
from stack.site import ADMIN, Site

REQUEST = REPOSITORY / "docs" / "request.json"


def summary(site: Site) -> str:
    """Only about the programs that this stack has. It tells one secret: the password of Unleash's page."""
    return "\n\n".join(filter(None, (_addresses(site), _try(site), _move(site), _next())))


def _addresses(site: Site) -> str:
    at, has = site.addresses, site.settings.programs
    lines = []
    if "board" in has:
        lines.append(f"Board        {at.board}   the rollout on one page, for everybody who looks")
    if "unleash" in has:
        password = site.secrets.read("unleash-admin.password")
        lines.append(f"Unleash      {at.unleash}   user {ADMIN}, password {password}")
    if "service" in has:
        lines.append(
            f"Service      {at.service}   its API: {at.service}/docs   metrics: {at.service}/metrics"
        )
    if "prometheus" in has:
        lines.append(f"Prometheus   {at.prometheus}/classic/graph   alerts: {at.prometheus}/classic/alerts")
    if "alertmanager" in has:
        tool = _short(alertmanager.amtool(site.cache))
        lines.append(f"Alertmanager {at.alertmanager}   {tool} --alertmanager.url={at.alertmanager} alert")
    if "postgres" in has:
        lines.append(f"PostgreSQL   {at.postgres}   secrets: {_short(site.home.secrets)}")
    return "\n".join(f"  {line}" for line in lines)


def _try(site: Site) -> str:
    if "service" not in site.settings.programs:
        return ""
    header = "-H 'Content-Type: application/json'"
    return (
        "Ask for a prediction (the answer says which model gave it, and why):\n"
        f"  curl -s {site.addresses.service}/predict {header} -d @{_short(REQUEST)}"
    )


def _move(site: Site) -> str:
    if "unleash" not in site.settings.programs or "service" not in site.settings.programs:
        return ""
    plan = "\nOr let the plan do it: python3 -m stack exec python -m flags rollout begin"
    return (
        "Give users the challenger: open\n"
        f"  {site.addresses.unleash}/projects/default/features/canary\n"
        "unfold `production`, edit its strategy (the pencil), move the slider `Rollout`, save.\n"
        "Users follow within 3 s, on every worker." + (plan if "rollout" in site.settings.programs else "")
    )


def _next() -> str:
    return (
        "Next: make demo (a bad challenger is taken away while you watch), make story (from shadow to the "
        "decision, with reports),\nmake status, make logs, make down."
    )


def _short(path: Path) -> str:
    relative = os.path.relpath(path)
    return str(path) if relative.startswith("..") else relative
