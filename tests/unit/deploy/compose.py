"""docker-compose.yml as Compose sees it, as far as this file needs: merge keys and ${VARIABLES}."""

import re
from pathlib import Path
from typing import Any

import yaml

REPOSITORY = Path(__file__).parents[3]
FILE = REPOSITORY / "docker-compose.yml"
VARIABLE = re.compile(
    r"\$\$|\$\{(?P<name>\w+)(?::\?(?P<message>[^}]*)|:-(?P<default>[^}]*))?\}|\$(?P<unguarded>\w+)"
)

Service = dict[str, Any]
DOCUMENT: dict[str, Any] = yaml.safe_load(FILE.read_text(encoding="utf-8"))
SERVICES: dict[str, Service] = DOCUMENT["services"]

# What this repository builds; the rest are servers of others.
OURS = ("provision", "service", "rollback", "rollout", "traffic")
ONE_SHOT = ("provision",)


def variables() -> list[re.Match[str]]:
    """Every use of a variable outside of comments."""
    text = yaml.safe_dump(DOCUMENT, width=10_000)
    return [match for match in VARIABLE.finditer(text) if match[0] != "$$"]


def interpolated(value: str, environment: dict[str, str]) -> str:
    """`value` with its variables replaced; a required one that is missing is a KeyError."""

    def one(match: re.Match[str]) -> str:
        if match[0] == "$$":
            return "$"
        name, default = match["name"], match["default"]
        return environment[name] if default is None else environment.get(name) or default

    return VARIABLE.sub(one, value)


def environment_of(service: str, env_file: dict[str, str]) -> dict[str, str]:
    """The environment of a container, given the content of the env file."""
    declared = SERVICES[service].get("environment", {})
    return {name: interpolated(value, env_file) for name, value in declared.items()}
