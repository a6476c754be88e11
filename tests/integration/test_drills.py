"""The fault drill's machinery: k6 against a real service. Its speed is for `./canario drill faults`."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from stack.paths import REPOSITORY


@pytest.mark.slow
def test_a_fault_is_measured_beside_a_run_without_it(tmp_path: Path) -> None:
    figures_file = tmp_path / "faults.json"
    done = subprocess.run(
        [
            *(sys.executable, "-m", "drills", "faults", "--only", "exception"),
            *("--seconds", "3", "--rounds", "2", "--json", str(figures_file)),
        ],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode in {0, 1}, done.stdout + done.stderr  # 1: a ratio on a busy machine
    (fault,) = json.loads(figures_file.read_text(encoding="utf-8"))["faults"]
    assert fault["kind"] == "exception"
    assert fault["failed"] == 0
    assert len(fault["fixed"]) == len(fault["fixed_without"]) == 2
    for having, without in zip(fault["fixed"], fault["fixed_without"], strict=True):
        assert having["outside"]["requests"] > 50
        assert without["fell_back"] <= 0.05 * without["inside"]["requests"]
        assert having["fell_back"] == having["inside"]["requests"] > 10
