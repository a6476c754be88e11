"""The command line of flags, with the accounts of a running stack."""

import subprocess
import sys

from stack.api import Stack
from stack.paths import REPOSITORY
from stack.processes import environment

FILE = """
flags:
  - name: {flag}
    description: a test
    leased: true
    initial: {{enabled: true, percent: 25}}
"""


def cli(stack: Stack, *args: str, **settings: str) -> tuple[int, str]:
    """Exit code and output of `python -m flags` with these CANARIO_ variables."""
    told = {f"CANARIO_{name.upper()}": value for name, value in settings.items()}
    done = subprocess.run(
        [sys.executable, "-m", "flags", *args],
        cwd=REPOSITORY,
        env=environment.flags(stack.site) | told,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "Traceback" not in done.stderr
    return done.returncode, done.stdout + done.stderr
