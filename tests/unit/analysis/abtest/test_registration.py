"""The file of a registered test: written once, verified, never believed when it was edited."""

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from analysis.abtest.registration import RegisteredSegment, read, write
from analysis.errors import AnalysisError
from analysis.metric import Kind, Metric
from common.config import ConfigError
from tests.unit.analysis.abtest.registered import WHEN, registration


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"segment": RegisteredSegment(property="country", value="NO"), "covariate": None, "guardrails": []},
        {
            "metric": Metric(name="basket", outcome="bought", kind=Kind.MEAN),
            "baseline": -4,
            "deviation": 1.5,
        },
        {"registered": datetime.fromisoformat("2026-11-02T09:30:00.123456+01:00"), "note": "Größer: ja?"},
    ],
)
def test_what_was_written_is_read(tmp_path: Path, changes: dict[str, Any]) -> None:
    promised = registration(**changes)
    written = write(promised, tmp_path / "test.yaml")
    found, sha256 = read(tmp_path / "test.yaml")
    assert found == promised
    assert sha256 == written == found.sha256


# A file as it was written by version 1, and the hash that it had then.
OF_VERSION_1 = """\
name: loan-4
registered: '2026-11-02T08:30:00+00:00'
by: kim
flag: canary
share: 50.0
metric:
  name: bought
  outcome: bought
  kind: proportion
  direction: increase
segment: null
segments_by: []
baseline: 0.95
effect: 0.02
alpha: 0.05
power: 0.8
deviation: null
dispersion: 0.0
skewness: 0.0
users:
  champion: 2312
  challenger: 2312
window: 7d
covariate: 14d
guardrails:
- name: returned
  outcome: returned
  kind: proportion
  direction: decrease
note: ''
sha256: b9da382c64cbe84378058e42f88851c060ae4e8447a3ba240ad1a80f27672b3d
"""


def test_a_file_of_an_earlier_version_is_read_and_believed(tmp_path: Path) -> None:
    """Tests last for weeks: an update in between changes neither what was promised nor its hash."""
    path = tmp_path / "test.yaml"
    path.write_text(OF_VERSION_1, encoding="utf-8")
    found, sha256 = read(path)
    assert found == registration()
    assert found.sha256 == sha256


def test_a_registered_test_is_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "test.yaml"
    write(registration(), path)
    before = path.read_bytes()
    with pytest.raises(AnalysisError, match="never overwritten"):
        write(registration(effect=0.05), path)
    assert path.read_bytes() == before


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(AnalysisError, match="cannot be written"):
        write(registration(), tmp_path / "none" / "test.yaml")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("effect: 0.02", "effect: 0.03"),
        ("challenger: 2312", "challenger: 1312"),
        ("outcome: bought", "outcome: opened"),
        ("direction: increase", "direction: decrease"),
        ("2026-11-02", "2026-10-02"),
        ("window: 7d", "window: 1d"),
        ("alpha: 0.05\n", ""),  # also where the default would be the same
    ],
)
def test_an_edit_does_not_fit_the_hash(tmp_path: Path, old: str, new: str) -> None:
    path = tmp_path / "test.yaml"
    write(registration(), path)
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")
    found, sha256 = read(path)
    assert found.sha256 != sha256


def test_layout_does_not_count(tmp_path: Path) -> None:
    path = tmp_path / "test.yaml"
    write(registration(), path)
    lines = path.read_text(encoding="utf-8").splitlines()
    path.write_text("\n".join(["# reviewed by Ida", "", *lines, ""]), encoding="utf-8")
    found, sha256 = read(path)
    assert found.sha256 == sha256


def test_every_fault_is_named_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "test.yaml"
    write(registration(), path)
    text = path.read_text(encoding="utf-8")
    text = text.replace("share: 50", "share: 150").replace("window: 7d", "window: 7").replace("by:", "who:")
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        read(path)
    faults = str(caught.value).splitlines()
    lines = text.splitlines()
    for key, number in (
        (each, next(i for i, line in enumerate(lines, 1) if line.startswith(each)))
        for each in ("share", "window", "who")
    ):
        assert any(fault.startswith(f"{path}:{number}: {key}") for fault in faults), (key, faults)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"baseline": 1.2}, "between 0 and 1"),
        ({"metric": Metric(name="n", outcome="n", kind=Kind.COUNT), "baseline": 0}, "above 0"),
        ({"metric": Metric(name="n", outcome="n", kind=Kind.MEAN)}, "standard deviation"),
        ({"deviation": 2.0}, "standard deviation"),
        ({"guardrails": [Metric(name="bought", outcome="bought")]}, "two metrics of one name"),
        ({"registered": WHEN.replace(tzinfo=None)}, "timezone"),
        ({"window": timedelta(days=7)}, "duration"),
    ],
)
def test_what_cannot_be(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        registration(**changes)
