"""YAML and JSON files and settings, validated whole, with the line of every fault.

A YAML file is parsed by PyYAML and validated by pydantic, which knows the path of every fault; where there is
one, the file is parsed once more into nodes, which know their lines. So is JSON, which is parsed as JSON
before, some 70 times faster.

The addresses of servers, as every room's settings take them.
"""

import json
import os
from collections import Counter
from collections.abc import Callable, Hashable, Mapping
from copy import deepcopy
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, TypeVar
from urllib.parse import urlsplit

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, SecretStr, ValidationError, WrapValidator

from common.errors import CanarioError

Model = TypeVar("Model", bound=BaseModel)
Location = tuple[int | str, ...]

PREFIX = "CANARIO_"
# A faulty JSON file is parsed again for the lines of its faults, by PyYAML, at half a second a MiB or more. A
# worker that serves may do it every 30 s, so a longer file has faults without lines.
LONGEST_WITH_LINES = 64 * 1024
KEPT = 256  # parsed documents that are remembered
MOST_FAULTS = 50  # told of one file


class ConfigError(CanarioError):
    """A file or a setting that cannot be used. The text has one line for each fault."""


class StrictModel(BaseModel):
    """Base of everything read from a file: unknown keys are faults, values do not change afterwards."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class _FileText(str):
    """What a file held that a variable named; it knows the file."""

    file: Path


class FileSecret(SecretStr):
    """A secret in a file that may be replaced while the process runs, as a token is that was renewed."""

    def __init__(self, text: str, file: Path) -> None:
        super().__init__(text)
        self.file = file
        self._seen = _stamp(file)

    def get_secret_value(self) -> str:
        """What the file holds now; what it held last where it is gone, or empty for a moment."""
        now = _stamp(self.file)
        if now is not None and now != self._seen:
            try:
                text = self.file.read_text(encoding="utf-8").strip()
            except (OSError, UnicodeDecodeError):
                text = ""
            if text:
                self._secret_value, self._seen = text, now
        return self._secret_value


def _stamp(file: Path) -> tuple[int, int, int] | None:
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def _followed(value: Any, validate: Callable[[Any], SecretStr]) -> SecretStr:
    secret = validate(value)
    return FileSecret(secret.get_secret_value(), value.file) if isinstance(value, _FileText) else secret


Followed = Annotated[SecretStr, WrapValidator(_followed)]
"""A secret that is read again when its file changes."""


class _Loader(yaml.SafeLoader):
    """A safe loader that refuses a key written twice, which YAML otherwise resolves silently."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: dict[Any, yaml.Node] = {}
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, Hashable):
                raise yaml.constructor.ConstructorError(
                    None, None, "a key must be a single value", key_node.start_mark
                )
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} stands here twice", key_node.start_mark
                )
            seen[key] = key_node
        return super().construct_mapping(node, deep)


def load_yaml(path: Path, model: type[Model]) -> Model:
    """Read `path` as one YAML document and validate it as `model`.

    Raises:
        ConfigError: the file cannot be read, is no YAML, or does not fit; every fault is named as
            `path:line: key.path: what is wrong`.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from error
    try:
        data = deepcopy(_parsed(text))
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ConfigError(f"{path}:{line}: is no valid YAML: {error.problem}") from error
    except (yaml.YAMLError, ValueError) as error:  # a date or number that is none is a ValueError
        raise ConfigError(f"{path}: is no valid YAML: {error}") from error
    except RecursionError as error:
        raise ConfigError(f"{path}: is nested too deeply") from error
    try:
        return model.model_validate(data)
    except ValidationError as error:
        root = yaml.compose(text, _Loader)
        raise _told(path, error, lambda at: f":{line_of(root, at)}") from error


@lru_cache(maxsize=KEPT)
def _parsed(text: str) -> Any:
    """What a document says. A hundred rollouts may share one file, and all are read when one has changed."""
    loader = _Loader(text)
    try:
        root = loader.get_single_node()
        return {} if root is None else loader.construct_document(root)
    finally:
        loader.dispose()


def load_json(path: Path, model: type[Model]) -> Model:
    """Read `path` as one JSON document and validate it as `model`.

    Raises:
        ConfigError: as `load_yaml`; only where the file is over LONGEST_WITH_LINES no line is named.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from error
    try:
        data = json.loads(text, object_pairs_hook=_without_repetition, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        raise ConfigError(f"{path}:{error.lineno}: is no valid JSON: {error.msg}") from error
    except ValueError as error:
        raise ConfigError(f"{path}: is no valid JSON: {error}") from error
    except RecursionError as error:
        raise ConfigError(f"{path}: is nested too deeply") from error
    try:
        return model.model_validate(data)
    except ValidationError as error:
        root = _nodes(text)
        raise _told(path, error, lambda at: f":{line_of(root, at)}" if root else "") from error


def _told(path: Path, error: ValidationError, line: Callable[[Location], str]) -> ConfigError:
    found = error.errors(include_url=False, include_input=False)
    faults = [
        f"{path}{line(fault['loc'])}: {dotted(fault['loc'])}: {plain(fault['msg'])}"
        for fault in found[:MOST_FAULTS]
    ]
    if more := len(found) - len(faults):
        faults.append(f"{path}: and {more} faults more")
    return ConfigError("\n".join(faults))


def _without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of JSON. A key that is written twice is a fault, as in YAML."""
    made = dict(pairs)
    if len(made) < len(pairs):
        [(twice, _)] = Counter(key for key, _ in pairs).most_common(1)
        raise ValueError(f"the key {twice!r} stands in one object twice")
    return made


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no number")


def _nodes(text: str) -> yaml.Node | None:
    """JSON as nodes that know their lines (JSON is YAML, all but tabs); None where that cannot be had."""
    if len(text) > LONGEST_WITH_LINES:
        return None
    try:
        return yaml.compose(text, _Loader)
    except (yaml.YAMLError, RecursionError):
        return None


def line_of(root: yaml.Node | None, location: Location) -> int:
    """The 1-based line of the deepest node on `location`; where a key is missing, its parent's line."""
    node, line = root, 1
    for step in location:
        if isinstance(node, yaml.MappingNode):
            pair = next((pair for pair in node.value if pair[0].value == str(step)), None)
            if pair is None:
                continue  # pydantic puts names of union members into the path; they are not in the file
            line, node = pair[0].start_mark.line + 1, pair[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
            node = node.value[step]
            line = node.start_mark.line + 1
    return line


def dotted(location: Location) -> str:
    """`("guardrails", 0, "limit")` as `guardrails[0].limit`; the whole document as `document`."""
    text = ""
    for step in location:
        text += f"[{step}]" if isinstance(step, int) else f".{step}"
    return text.lstrip(".") or "document"


def plain(message: str) -> str:
    """Pydantic's message without the words that it puts before a validator's own sentence."""
    return message.removeprefix("Value error, ")


def load_settings(
    model: type[Model], environment: Mapping[str, str] = os.environ, prefix: str = PREFIX
) -> Model:
    """Validate the variables `{prefix}{FIELD}` of `environment` as `model`, all faults at once.

    Any of them may be given as `{prefix}{FIELD}_FILE`, the path of a file that holds the value, so that
    a secret need not stand in the environment. An empty variable counts as absent.

    Raises:
        ConfigError: with one line for each variable that does not fit; values are never told.
    """
    values: dict[str, str] = {}
    faults: dict[str, str] = {}
    for name in model.model_fields:
        variable = f"{prefix}{name}".upper()
        if value := environment.get(variable):
            values[name] = value
        elif file := environment.get(f"{variable}_FILE"):
            try:
                values[name] = text = _FileText(Path(file).read_text(encoding="utf-8").strip())
                text.file = Path(file)
            except (OSError, UnicodeDecodeError) as error:
                faults[variable] = f"{variable}_FILE: {file} cannot be read: {error}"
    try:
        settings = model.model_validate(values)
    except ValidationError as error:
        for fault in error.errors(include_url=False, include_input=False):
            variable = f"{prefix}{fault['loc'][0]}".upper() if fault["loc"] else "settings"
            needed = " (set it, or its _FILE)" if fault["type"] == "missing" else ""
            faults.setdefault(variable, f"{variable}: {plain(fault['msg'])}{needed}")
        raise ConfigError("\n".join(faults.values())) from None  # the cause would show values
    if faults:
        raise ConfigError("\n".join(faults.values()))
    return settings


def _checked(url: str) -> str:
    """The address of a server, without a slash at its end. Values are not told: one may hold a password."""
    parts = urlsplit(url.strip())
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.port == 0:
        raise ValueError("is no address like http://127.0.0.1:4242")
    if parts.username or parts.password:
        raise ValueError("holds a user name: give the address alone, and the token by its own setting")
    if parts.query or parts.fragment:
        raise ValueError("ends in ? or #: give the address alone")
    if parts.path.rstrip("/").endswith("/api"):
        raise ValueError("ends in /api: give the address of the server, as in http://127.0.0.1:4242")
    return url.strip().rstrip("/")


UnleashUrl = Annotated[str, AfterValidator(_checked)]


def _check_prometheus(url: SecretStr) -> SecretStr:
    """An address, perhaps with user and password or a path prefix. Its value is never told."""
    text = url.get_secret_value().strip().rstrip("/")
    parts = urlsplit(text)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("is no address like http://127.0.0.1:9090")
    if parts.query or parts.fragment:
        raise ValueError("ends in ? or #")
    if parts.path.endswith("/api/v1"):
        raise ValueError("ends in /api/v1: give the address of the server, as in http://127.0.0.1:9090")
    return SecretStr(text)


PrometheusUrl = Annotated[SecretStr, AfterValidator(_check_prometheus)]
