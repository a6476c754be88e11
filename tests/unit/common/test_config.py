"""Config files and settings: every fault is named with its place, and secrets are never told."""

from pathlib import Path

import pytest
from pydantic import Field, SecretStr

from common import config
from common.config import ConfigError, StrictModel, load_json, load_settings, load_yaml


class Rule(StrictModel):
    name: str
    limit: float = Field(gt=0)


class Document(StrictModel):
    rules: list[Rule]


class Settings(StrictModel):
    url: str
    token: SecretStr = Field(min_length=8)
    workers: int = 2


def write(folder: Path, text: str) -> Path:
    file = folder / "rules.yaml"
    file.write_text(text, encoding="utf-8")
    return file


def test_reads_a_document(tmp_path: Path) -> None:
    document = load_yaml(write(tmp_path, "rules:\n  - {name: a, limit: 1}\n"), Document)
    assert document == Document(rules=[Rule(name="a", limit=1.0)])


def test_names_every_fault_with_its_line(tmp_path: Path) -> None:
    file = write(tmp_path, "rules:\n  - name: a\n    limit: -1\n  - name: b\n    colour: red\n")
    with pytest.raises(ConfigError) as caught:
        load_yaml(file, Document)
    assert str(caught.value).splitlines() == [
        f"{file}:3: rules[0].limit: Input should be greater than 0",
        f"{file}:4: rules[1].limit: Field required",
        f"{file}:5: rules[1].colour: Extra inputs are not permitted",
    ]


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        ("rules: [\n", 2, "is no valid YAML"),
        ("rules: []\nrules: []\n", 2, "the key 'rules' stands here twice"),
        ("", 1, "rules: Field required"),
        ("- a\n", 1, "document: Input should be a valid dictionary"),
    ],
)
def test_refuses_what_is_no_document(tmp_path: Path, text: str, line: int, what: str) -> None:
    file = write(tmp_path, text)
    with pytest.raises(ConfigError, match=rf"^{file}:{line}: .*{what}"):
        load_yaml(file, Document)


def test_refuses_yaml_that_makes_objects(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is no valid YAML"):
        load_yaml(write(tmp_path, "rules: !!python/object/apply:os.getcwd []\n"), Document)


def test_says_which_file_is_missing(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"absent\.yaml: cannot be read: .*No such file"):
        load_yaml(tmp_path / "absent.yaml", Document)


def write_json(folder: Path, text: str) -> Path:
    file = folder / "rules.json"
    file.write_text(text, encoding="utf-8")
    return file


def test_reads_json_with_numbers_that_yaml_takes_for_text(tmp_path: Path) -> None:
    document = load_json(write_json(tmp_path, '{"rules": [{"name": "1e-05", "limit": 1e-05}]}'), Document)
    assert document == Document(rules=[Rule(name="1e-05", limit=1e-05)])


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('{"rules": [\n  {"name": "a",\n   "limit": -1}\n]}', ":3: rules[0].limit: Input should be greater"),
        ('{"rules":\n [}', ":2: is no valid JSON: Expecting value"),
        ('{"rules": [{"name": "a", "limit": NaN}]}', ": is no valid JSON: NaN is no number"),
        ('{"rules": [], "rules": []}', ": is no valid JSON: the key 'rules' stands in one object twice"),
        ("rules: []", ":1: is no valid JSON"),
        ("", ":1: is no valid JSON"),
        ("[" * 100_000, ": is nested too deeply"),
        ('{\n\t"rules": 1}', ": rules: Input should be a valid list"),  # YAML has no tabs, hence no line
    ],
)
def test_json_that_does_not_fit_is_refused_with_its_place(tmp_path: Path, text: str, told: str) -> None:
    file = write_json(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        load_json(file, Document)
    assert str(caught.value).startswith(f"{file}{told}")


def test_long_json_never_meets_the_yaml_parser(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes seconds for what JSON takes milliseconds, while other threads answer requests."""

    def parse(*_: object) -> None:
        raise AssertionError("the YAML parser was asked")

    monkeypatch.setattr(config, "_Loader", parse)
    rules = ", ".join('{"name": "a", "limit": 0}' for _ in range(5_000))
    file = write_json(tmp_path, f'{{"rules": [{rules}]}}')
    with pytest.raises(ConfigError) as caught:
        load_json(file, Document)
    lines = str(caught.value).splitlines()
    assert lines[0] == f"{file}: rules[0].limit: Input should be greater than 0"
    assert lines[config.MOST_FAULTS :] == [f"{file}: and {5_000 - config.MOST_FAULTS} faults more"]


def test_settings_come_from_variables_and_files(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("long-enough\n", encoding="utf-8")
    settings = load_settings(
        Settings,
        {"CANARIO_URL": "http://x", "CANARIO_TOKEN_FILE": str(tmp_path / "token"), "CANARIO_WORKERS": "4"},
    )
    assert (settings.url, settings.workers) == ("http://x", 4)
    assert settings.token.get_secret_value() == "long-enough"


def test_settings_name_every_fault_and_no_secret() -> None:
    with pytest.raises(ConfigError) as caught:
        load_settings(Settings, {"CANARIO_TOKEN": "s3cret", "CANARIO_WORKERS": "many"})
    told = str(caught.value)
    assert "CANARIO_URL: Field required" in told
    assert "CANARIO_WORKERS: Input should be a valid integer" in told
    assert "CANARIO_TOKEN: " in told
    assert "s3cret" not in told
    assert caught.value.__cause__ is None


def test_settings_say_which_secret_file_is_missing() -> None:
    with pytest.raises(ConfigError, match="CANARIO_TOKEN_FILE: /nowhere/token cannot be read") as caught:
        load_settings(Settings, {"CANARIO_URL": "http://x", "CANARIO_TOKEN_FILE": "/nowhere/token"})
    assert len(str(caught.value).splitlines()) == 1


def test_an_empty_variable_counts_as_absent() -> None:
    with pytest.raises(ConfigError, match="CANARIO_URL: Field required"):
        load_settings(Settings, {"CANARIO_URL": "", "CANARIO_TOKEN": "long-enough"})
