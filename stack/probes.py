"""Is a program ready? Each probe answers at once, and never raises."""

import subprocess
from collections.abc import Callable

import requests

Probe = Callable[[], bool]


def answers(url: str) -> Probe:
    """Ready when GET `url` gives 200."""

    def probe() -> bool:
        with requests.Session() as session:
            session.trust_env = False  # a proxy has nothing to say about this machine's own servers
            try:
                return session.get(url, timeout=(1, 2)).status_code == 200
            except requests.RequestException:
                return False

    return probe


def succeeds(*command: str) -> Probe:
    """Ready when `command` ends with 0."""

    def probe() -> bool:
        try:
            return subprocess.run(command, capture_output=True, check=False, timeout=5).returncode == 0
        except (OSError, subprocess.TimeoutExpired):
            return False

    return probe
