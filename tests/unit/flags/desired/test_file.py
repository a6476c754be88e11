"""The file of desired flags: what ships, and what each fault says and where."""

from pathlib import Path

import pytest

from common.config import ConfigError
from flags.desired.file import DEFAULT_FILE, DesiredFlag, Initial, load_desired

GOOD = """\
flags:
  - name: canary
    description: d
"""


def load(tmp_path: Path, text: str) -> tuple[DesiredFlag, ...]:
    path = tmp_path / "flags.yaml"
    path.write_text(text)
    return load_desired(path).flags


def test_the_shipped_file_asks_for_two_flags_that_expose_nobody() -> None:
    flags = load_desired().flags
    assert [flag.name for flag in flags] == ["canary", "shadow"]
    assert {(flag.stickiness, flag.initial.percent) for flag in flags} == {("userId", 0)}
    assert DEFAULT_FILE.name == "flags.yaml"


def test_people_can_narrow_a_share_by_country() -> None:
    assert load_desired().context == ("country",)


def test_what_is_left_out_is_safe(tmp_path: Path) -> None:
    (flag,) = load(tmp_path, GOOD)
    assert (flag.type, flag.stickiness, flag.initial) == (
        "release",
        "userId",
        Initial(enabled=False, percent=0),
    )


@pytest.mark.parametrize(
    ("text", "line", "fault"),
    [
        (
            GOOD + "    stickiness: random\n",
            4,
            "flags[0].stickiness: must be userId: drawn by anything else, a user",
        ),
        (GOOD + "    stickiness: default\n", 4, "must be userId"),
        (GOOD + "    initial: {percent: 101}\n", 4, "flags[0].initial.percent: Input should be less than"),
        (GOOD + "    initial: {percent: -1}\n", 4, "flags[0].initial.percent: Input should be greater than"),
        (
            GOOD + "    initial: {percent: 5.5}\n",
            4,
            "flags[0].initial.percent: Input should be a valid integer",
        ),
        (
            GOOD + "    initial: {percent: true}\n",
            4,
            "flags[0].initial.percent: Input should be a valid integer",
        ),
        (
            GOOD + "    initial: {percent: '5'}\n",
            4,
            "flags[0].initial.percent: Input should be a valid integer",
        ),
        (
            GOOD + "    initial: {enabled: 1}\n",
            4,
            "flags[0].initial.enabled: Input should be a valid boolean",
        ),
        (GOOD + "    percent: 5\n", 4, "flags[0].percent: Extra inputs are not permitted"),
        (GOOD + "    type: toggle\n", 4, "flags[0].type: Input should be 'release'"),
        (GOOD + "    name: shadow\n", 4, "the key 'name' stands here twice"),
        (GOOD + GOOD.partition("\n")[2], 1, "flags: stand here more than once: canary"),
        ("flags:\n  - name: a b\n    description: d\n", 2, "flags[0].name: String should match"),
        ("flags:\n  - name: ..\n    description: d\n", 2, "flags[0].name: String should match"),
        ("flags:\n  - name: canary\n", 2, "flags[0].description: Field required"),
        ("flags:\n  - name: canary\n    description: ''\n", 3, "flags[0].description: String should have"),
        ("flags: []\n", 1, "flags: is empty: name at least one flag"),
        ("", 1, "flags: Field required"),
        ("flags: [\n", 2, "is no valid YAML"),
    ],
)
def test_a_fault_names_file_line_and_key(tmp_path: Path, text: str, line: int, fault: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, text)
    assert str(caught.value).startswith(f"{tmp_path / 'flags.yaml'}:{line}: ")
    assert fault in str(caught.value)


def test_all_faults_are_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, "flags:\n  - name: a b\n    description: d\n    stickiness: random\n    type: x\n")
    assert [line.split(":")[1] for line in str(caught.value).splitlines()] == ["2", "5", "4"]


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.yaml: cannot be read"):
        load_desired(tmp_path / "none.yaml")
