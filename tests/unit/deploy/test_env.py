"""The env file: strong, private, never replaced by accident, and made by a Python without our packages."""

import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from deploy import env
from tests.unit.deploy.compose import REPOSITORY


def test_passwords_keep_the_rule_of_unleash() -> None:
    for _ in range(500):
        word = env.password()
        assert len(word) >= 20
        for kind in (r"[a-z]", r"[A-Z]", r"[0-9]", r"[^A-Za-z0-9]"):
            assert re.search(kind, word)
        assert not re.search(r"(.)\1\1", word)


def test_values_are_taken_literally_and_never_repeat() -> None:
    def values() -> list[str]:
        return re.findall(r"^\w+=(.*)$", env.content(), re.MULTILINE)

    first, second = values(), values()
    for value in first:
        assert re.fullmatch(r"[A-Za-z0-9:._-]{20,}", value), "no quotes, $, # or spaces"
    assert len({*first, *second}) == 2 * len(first)


def test_the_sdk_token_is_one_for_the_environment_of_the_service() -> None:
    assert re.search(
        r"^CANARIO_UNLEASH_SDK_TOKEN=default:production\.[0-9a-f]{64}$", env.content(), re.MULTILINE
    )


def test_only_the_owner_can_read_the_file(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    assert env.main(["--out", str(file)]) == 0
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_it_is_not_replaced_unless_told_to(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / ".env"
    file.write_text("mine\n", encoding="ascii")
    file.chmod(0o644)
    assert env.main(["--out", str(file)]) == 1
    assert file.read_text(encoding="ascii") == "mine\n"
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "--force" in said
    assert env.main(["--out", str(file), "--force"]) == 0
    assert "CANARIO_ADMIN_TOKEN=" in file.read_text(encoding="ascii")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_folder_that_is_missing_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert env.main(["--out", str(tmp_path / "missing" / ".env")]) == 2
    assert capsys.readouterr().err.startswith("error: ")


def test_no_secret_is_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / ".env"
    env.main(["--out", str(file)])
    said = "".join(capsys.readouterr())
    for value in re.findall(r"^\w+=(.*)$", file.read_text(encoding="ascii"), re.MULTILINE):
        assert value not in said


def test_it_runs_without_any_package(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    command = [sys.executable, "-S", "-E", "-m", "deploy.env", "--out", str(file)]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert "docker compose up" in done.stdout
    assert file.is_file()
