"""What `up` says at its end: where everything is, one thing to try, what to move, what to do next."""

import json
import os
from pathlib import Path

from stack.site import ADMIN, Site

# The first row of scikit-learn's breast cancer data: a tumour that was malignant.
SAMPLE_ROW = (
    17.99, 10.38, 122.8, 1001.0, 0.1184, 0.2776, 0.3001, 0.1471, 0.2419, 0.07871,
    1.095, 0.9053, 8.589, 153.4, 0.006399, 0.04904, 0.05373, 0.01587, 0.03003, 0.006193,
    25.38, 17.33, 184.6, 2019.0, 0.1622, 0.6656, 0.7119, 0.2654, 0.4601, 0.1189,
)  # fmt: skip


def summary(site: Site) -> str:
    """Only about the programs that this stack has. It tells one secret: the password of Unleash's page."""
    return "\n\n".join(filter(None, (_addresses(site), _try(site), _move(site), _next(site))))


def _addresses(site: Site) -> str:
    at, has = site.addresses, site.settings.programs
    lines = []
    if "unleash" in has:
        password = site.secrets.read("unleash-admin.password")
        lines.append(f"Unleash      {at.unleash}   user {ADMIN}, password {password}")
    if "service" in has:
        lines.append(
            f"Service      {at.service}   its API: {at.service}/docs   metrics: {at.service}/metrics"
        )
    if "prometheus" in has:
        lines.append(f"Prometheus   {at.prometheus}/classic/graph   alerts: {at.prometheus}/classic/alerts")
    if "postgres" in has:
        lines.append(f"PostgreSQL   {at.postgres}   secrets: {_short(site.home.secrets)}")
    return "\n".join(f"  {line}" for line in lines)


def _try(site: Site) -> str:
    if "service" not in site.settings.programs:
        return ""
    body = json.dumps({"user_id": "ada", "features": SAMPLE_ROW})
    return (
        "Ask for a prediction (the answer says which model gave it, and why):\n"
        f"  curl -s {site.addresses.service}/predict -H 'Content-Type: application/json' -d '{body}'"
    )


def _move(site: Site) -> str:
    if "unleash" not in site.settings.programs or "service" not in site.settings.programs:
        return ""
    return (
        "Give users the challenger: open\n"
        f"  {site.addresses.unleash}/projects/default/features/canary\n"
        "edit the strategy under `production`, move the slider `Rollout`, save. Users follow within 3 s."
    )


def _next(site: Site) -> str:
    del site
    return "Next: make status, make logs, make demo (a rollback to watch), make down."


def _short(path: Path) -> str:
    relative = os.path.relpath(path)
    return str(path) if relative.startswith("..") else relative
