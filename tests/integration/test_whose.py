"""Evidence is one rollout's, on real servers: two of them, which cannot be told apart or can."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from flags.canary.share import read_state, set_share
from flags.unleash.admin import UnleashAdmin
from stack.api import Stack
from stack.paths import REPOSITORY
from stack.processes import environment
from stack.servers import monitoring
from tests.integration.conftest import FLAG, Service, wait_for
from tests.integration.own_service import own_service
from tests.integration.rollout_scene import GUARDRAILS


def one_pass(stack: Stack, folder: Path, **settings: str) -> tuple[int, str]:
    """Exit code and what was told of one pass of a rollback job with these settings."""
    file = folder / "guardrails.yaml"
    file.write_text(GUARDRAILS, encoding="utf-8")
    variables = environment.rollback(stack.site) | {
        f"CANARIO_{name.upper()}": value for name, value in settings.items()
    }
    done = subprocess.run(
        [sys.executable, "-m", "rollback", "--json", "--guardrails", str(file)],
        cwd=REPOSITORY,
        env=variables,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


@contextmanager
def scraped_too(stack: Stack, url: str) -> Iterator[Any]:
    """Prometheus scrapes this service beside the stack's; the function that it gives sets its labels."""
    file = monitoring.prometheus_config(stack.site).parent / "targets" / "service.yml"
    before = file.read_text(encoding="utf-8")

    def scrape(**labels: str) -> None:
        other = {"targets": [url.removeprefix("http://")], "labels": labels}
        file.write_text(yaml.safe_dump([*yaml.safe_load(before), other]), encoding="utf-8")

    try:
        yield scrape
    finally:
        file.write_text(before, encoding="utf-8")
        # Whose numbers these are must be clear again for the tests that follow.
        folder = file.parent.parent
        wait_for(lambda: one_pass(stack, folder, canary_flag=FLAG)[0] == 0, 60, "one rollout again")


def confused(stack: Stack, folder: Path, flag: str) -> bool:
    """Whether the job of this flag cannot measure, because it sees another rollout's service."""
    code, told = one_pass(stack, folder, canary_flag=flag)
    return code == 3 and "another rollout than" in told


@pytest.mark.timeout(300)
def test_a_fault_in_one_rollout_leaves_the_other_untouched(
    stack: Stack, service: Service, admin: UnleashAdmin, own_flag: str, tmp_path: Path
) -> None:
    set_share(admin, FLAG, 50)
    users = [f"u{number}" for number in range(60)]
    drill = tmp_path / "drill.json"
    drill.write_text(json.dumps({"kind": "exception"}), encoding="utf-8")
    with (
        own_service(stack, tmp_path / "own", canary_flag=own_flag, drill_file=str(drill)) as other,
        scraped_too(stack, other.url) as scrape,
    ):
        scrape()
        # Their numbers cannot be told apart, so nobody is rolled back for them.
        for flag in (FLAG, own_flag):
            wait_for(partial(confused, stack, tmp_path, flag), 60, f"the job of {flag} sees both")
            assert read_state(admin, flag).enabled
        scrape(rollout="other")
        ours, theirs = 'job="service", rollout=""', 'job="service", rollout="other"'

        def passed(flag: str, selector: str) -> int:
            for each in (service, other):
                each.predict_all(users)
            return one_pass(stack, tmp_path, canary_flag=flag, selector=selector)[0]

        wait_for(lambda: passed(own_flag, theirs) == 1, 120, "the faulty one is rolled back")
        assert not read_state(admin, own_flag).enabled
        wait_for(lambda: passed(FLAG, ours) == 0, 60, "the other is judged, and well")
        assert (read_state(admin, FLAG).enabled, read_state(admin, FLAG).percent) == (True, 50)
