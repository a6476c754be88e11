"""The schema that editors complete a rollout's file by: as the code, and true of every file that there is."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from docs.schema import FILE, text
from docs.settings import REPOSITORY

FILES = sorted(REPOSITORY.glob("**/rollouts/*/rollout.yaml"))
SCHEMA = json.loads(FILE.read_text(encoding="utf-8"))


def faults(document: dict[str, Any]) -> list[str]:
    return [each.json_path for each in jsonschema.Draft202012Validator(SCHEMA).iter_errors(document)]


def test_the_file_is_as_the_code_is() -> None:
    assert FILE.read_text(encoding="utf-8") == text(), "run python -m docs.schema"


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.parent.name)
def test_every_rollout_fits(file: Path) -> None:
    assert faults(yaml.safe_load(file.read_text(encoding="utf-8"))) == []


def test_what_the_programs_refuse_is_marked() -> None:
    document = yaml.safe_load(FILES[0].read_text(encoding="utf-8"))
    assert faults(document | {"singals": {}}) == ["$"]
    assert faults(document | {"name": "Not A Name"}) == ["$.name"]
    assert faults(document | {"arms": document["arms"] | {"scrape_interval": "15"}}) == [
        "$.arms.scrape_interval"
    ]
