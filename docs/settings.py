"""docs/settings.md, made from the settings of the processes: `python -m docs.settings` writes it.

Each process declares its settings as a pydantic model, whose fields are the variables. What `make` and the
env file of the containers take is read from their own code; a test sees that no variable is missing anywhere.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from types import UnionType
from typing import Any, Final, Literal, NamedTuple, Union, get_args, get_origin

import click
from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from analysis.__main__ import main as analysis
from board.settings import BoardSettings
from common.config import PREFIX
from common.options import written
from deploy import env
from flags.cli.models import ModelsSettings
from flags.mesh.settings import MeshJobSettings
from flags.rollout.settings import RolloutJobSettings, RolloutSettings
from flags.settings import BootstrapSettings, FlagsSettings
from rollback.settings import RollbackSettings
from service.settings import Settings as ServiceSettings
from stack.cli import cli as stack
from stack.ports import DEFAULTS as PORTS
from stack.traffic import main as traffic

REPOSITORY: Final = Path(__file__).resolve().parent.parent
PAGE: Final = REPOSITORY / "docs" / "settings.md"
HEAD: Final = """\
# Settings

Made from the code by `python -m docs.settings`; a test fails where this page and the code differ.

Every process is set by environment variables, and checks them all at its start: what is wrong is told in
one line each, with exit code 2. Any variable of the processes may be given as `<NAME>_FILE` instead, the
path of a file that holds the value; secrets belong there. An empty variable counts as absent. Durations are
written as in Prometheus: `15s`, `5m`, `1h30m`. `./canario up` and docker compose set what their processes
need, so nothing here must be set by hand to begin. What is policy and not setting stands in files:
[guardrails](guardrails.md), the [plan](rollout.md) and the [flags](../flags/flags.yaml).
"""
# Where a field's name says its unit.
UNITS: Final = {"_seconds": "seconds", "_ms": "ms", "_megabytes": "MiB", "_mb": "MiB", "_bytes": "bytes"}

Model = type[BaseModel]


class Row(NamedTuple):
    """One line of a table; `default` is written as the reader would type it."""

    name: str
    kind: str
    default: str
    meaning: str


class Section(NamedTuple):
    """The settings of one process."""

    title: str
    text: str
    rows: tuple[Row, ...]


# Read where no model declares them: by the stack before it has any, and by tests.
STACK: Final = (
    Row("CANARIO_HOME", "folder", ".canario", "data, secrets, logs and ports of one stack"),
    Row(
        "CANARIO_CACHE",
        "folder",
        ".canario",
        "the venv, the servers and the example models; stacks may share it",
    ),
)
MAKE: Final = (
    Row("PYTHON", "program", "python3", "with which the venv is made; 3.11 or later"),
    Row("TESTS", "paths", "", "of `make test`: only these tests, the slow ones included"),
    Row(
        "BROWSER",
        "0 or 1",
        "1",
        "of `make test`: 0 leaves out the tests in the Unleash UI, which need Chromium",
    ),
    Row("STACKS", "number", "3", "of `make test`: how many tests with servers run at once, each on its own"),
    Row("ARGS", "text", "", "more options for `demo`, `drill` and `bench`"),
)
ANALYSIS: Final = (Row("CANARIO_ANALYSIS_LOG", "path or address", "", "the prediction log"),)
TESTS: Final = (
    Row("CANARIO_PROMTOOL", "program", "that of the stack", "`promtool`, for the tests of the rules"),
    Row("CANARIO_AMTOOL", "program", "that of the stack", "`amtool`, for the tests of Alertmanager's file"),
    Row(
        "CANARIO_TEST_ROLLOUT_SPEED", "number", "20000", "how many times faster the plan of the tests passes"
    ),
    Row("CANARIO_TEST_ROLLOUT_TRIALS", "number", "10", "people who edit a plan at work"),
    Row("CANARIO_TEST_RUNBOOK_TRIALS", "number", "1", "times that the drills of the runbook run"),
    Row("CANARIO_TEST_THOROUGH", "0 or 1", "0", "all of what chance tries, as `make test-slow` does"),
    Row("CHAOS_TRIALS", "number", "4", "trials of `make chaos`, where it is `TRIALS`"),
    Row("CHAOS_SEED", "number", "1", "of their chance; `SEED` of `make chaos`"),
    Row("CHAOS_JSON", "file", "", "for their figures; `JSON` of `make chaos`"),
    Row("PROMOTIONS", "number", "3", "promotions under load"),
)


def sections() -> tuple[Section, ...]:
    """All of the page, in its order."""
    return (
        _of(
            ServiceSettings,
            "Service",
            "`python -m service`, or gunicorn with `service/gunicorn_conf.py`. `PROMETHEUS_MULTIPROC_DIR` may"
            " name the folder that its workers count in, which must be its own.",
        ),
        _of(RollbackSettings, "Rollback job", "`python -m rollback` and its commands."),
        _of(FlagsSettings, "Flags", "`python -m flags`; all of its commands but `bootstrap` take these."),
        _of(
            ModelsSettings,
            "Models",
            "`./canario models`, beside those of flags, of which `CANARIO_MODELS` is required.",
            FlagsSettings,
        ),
        _of(
            RolloutSettings,
            "Rollout plan",
            "`./canario rollout`, beside those of flags. To promote by itself it needs the models"
            " folder, the service's address and its token.",
            FlagsSettings,
        ),
        _of(
            RolloutJobSettings,
            "Rollout job",
            "`python -m flags rollout advance --every`, beside those of the plan.",
            RolloutSettings,
        ),
        _of(
            MeshJobSettings,
            "Mesh job",
            "`./canario mesh`, beside those of flags. Without an address it reaches Kubernetes as"
            " the pod's ServiceAccount, or as KUBECONFIG says.",
            RolloutJobSettings,
        ),
        _of(
            BootstrapSettings,
            "Bootstrap",
            "`./canario bootstrap`, which makes the users of the other processes in Unleash.",
        ),
        _of(
            BoardSettings,
            "Board",
            "`python -m board`, beside those of flags and of the plan.",
            RolloutSettings,
        ),
        Section(
            "Analysis",
            "`python -m analysis`; other choices are options of its commands.",
            tuple(_of_commands(analysis)) or ANALYSIS,
        ),
        Section("Sample traffic", "`python -m stack.traffic`.", tuple(_of_command(traffic))),
        Section(
            "Stack on a bare machine",
            "`./canario up`: as variables, before the command or behind it. The processes get what they need"
            " from the stack, and of your shell at `up` the settings of above that the stack does not"
            " set itself: `./canario up CANARIO_GUEST_MEMORY_MB=512`. What is not used is told, and a name"
            " that is almost one is refused. The next `up` without it goes back to the default.",
            (*STACK, *_of_ports(), *_of_commands(stack), *MAKE),
        ),
        Section(
            "Containers",
            "The file `.env` beside docker-compose.yml; `python3 -m deploy.env` writes it with new secrets."
            " Any setting of the service, the jobs and the board may stand in a file `settings.env` beside"
            " it; what docker-compose.yml sets itself (addresses, tokens, folders) stays as it is.",
            tuple(_of_env()),
        ),
        Section("Tests", "Of long trials.", TESTS),
    )


def page() -> str:
    """The page as Markdown."""
    contents = [f"- [{one.title}](#{one.title.lower().replace(' ', '-')})" for one in sections()]
    parts = [HEAD, "\n".join(contents) + "\n"]
    for section in sections():
        head = "| variable | kind | default | meaning |\n|---|---|---|---|"
        rows = [
            f"| `{row.name}` | {row.kind} | {_code(row.default)} | {_sentence(row.meaning)} |"
            for row in section.rows
        ]
        parts.append("\n".join([f"## {section.title}\n", f"{section.text}\n", head, *rows, ""]))
    return "\n".join(parts)


def variables() -> frozenset[str]:
    """The names of all settings."""
    return frozenset(row.name for section in sections() for row in section.rows)


def _of(model: Model, title: str, text: str, beside: Model = BaseModel) -> Section:
    fields = {name: field for name, field in model.model_fields.items() if name not in beside.model_fields}
    return Section(title, text, tuple(_row(name, field) for name, field in fields.items()))


def _row(name: str, field: FieldInfo) -> Row:
    meaning = _sentence(field.description or "")
    default = "**required**" if field.is_required() else written(field.default)
    return Row(f"{PREFIX}{name.upper()}", _kind(name, field), default, meaning)


def _kind(name: str, field: FieldInfo) -> str:
    """What may be written there: unit, or kind of text, and limits."""
    types = _types(field.annotation)
    if any(get_origin(one) is Literal for one in types):
        return " or ".join(str(value) for one in types for value in get_args(one))
    unit = next((unit for ending, unit in UNITS.items() if name.endswith(ending)), None)
    if unit is None:
        unit = _word(name, types)
    return " ".join(filter(None, (unit, _limits(field.metadata))))


def _word(name: str, types: Sequence[Any]) -> str:
    words = {bool: "true or false", int: "number", float: "number", timedelta: "duration", Path: "path"}
    if name.endswith("_url") or name.endswith("_urls"):
        return "address" if name.endswith("_url") else "addresses"
    if SecretStr in types:
        return "secret"
    return next((word for kind, word in words.items() if kind in types), "text")


def _limits(metadata: Iterable[Any]) -> str:
    low = high = ""
    for one in metadata:
        if (value := getattr(one, "ge", None)) is not None:
            low = f"from {value:,}"
        elif (value := getattr(one, "gt", None)) is not None:
            low = f"over {value:,}"
        if (value := getattr(one, "le", None)) is not None:
            high = f"to {value:,}"
        inner = getattr(one, "metadata", None)  # a Field inside Annotated
        if inner and not (low or high):
            return _limits(inner)
    return " ".join(filter(None, (low, high)))


def _types(annotation: Any) -> tuple[Any, ...]:
    """The plain types in an annotation, without None."""
    if get_origin(annotation) in (Union, UnionType):
        return tuple(each for one in get_args(annotation) for each in _types(one))
    if hasattr(annotation, "__metadata__"):
        return _types(annotation.__origin__)
    return () if annotation is type(None) else (annotation,)


def _of_ports() -> Iterator[Row]:
    for program, port in PORTS.items():
        yield Row(f"{program.upper()}_PORT", "number", str(port), f"on which {program} listens on 127.0.0.1")


def _of_commands(group: click.Group) -> Iterator[Row]:
    seen: set[str] = set()
    for command in group.commands.values():
        inner = _of_commands(command) if isinstance(command, click.Group) else _of_command(command)
        for row in inner:
            if row.name not in seen:
                seen.add(row.name)
                yield row


def _of_command(command: click.Command) -> Iterator[Row]:
    for option in command.params:
        if isinstance(option, click.Option) and isinstance(option.envvar, str):
            is_flag = option.is_flag
            if is_flag:
                told = "01"[option.default is True]
            elif option.required:
                told = "**required**"
            else:  # click has a mark of its own for an option without default
                told = str(option.default) if isinstance(option.default, str | int | float) else ""
            kind = "0 or 1" if is_flag else "address" if option.envvar.endswith("_URL") else "text"
            yield Row(option.envvar, kind, told, _sentence(option.help or ""))


def _of_env() -> Iterator[Row]:
    for name, about in env.SECRETS.items():
        yield Row(name, "secret", "**required**", about)
    for name, option in env.OPTIONS.items():
        yield Row(name, option.kind, option.default, option.about)


def _sentence(text: str) -> str:
    text = text.strip().removesuffix(".")
    return text[:1].upper() + text[1:]


def _code(text: str) -> str:
    return text if text.startswith("**") else f"`{text}`" if text else "none"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
