"""Evidence is one rollout's, on real servers: two of them, which cannot be told apart or can."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
import yaml

from common.files import replace_whole
from flags.canary.share import read_state, set_share
from flags.unleash.admin import UnleashAdmin
from stack.api import Stack
from stack.paths import REPOSITORY
from stack.processes import environment
from stack.servers import monitoring
from tests.integration.conftest import FLAG, Service
from tests.integration.own_service import own_service
from tests.integration.rollout_scene import GUARDRAILS
from tests.unit.waiting import until

# A job of this test alone, so that nobody else's selector finds the other one's service.
BOTH, OURS, THEIRS = 'job="pair"', 'job="pair", rollout="ours"', 'job="pair", rollout="theirs"'


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
def scraped(stack: Stack, **services: Service) -> Iterator[None]:
    """Prometheus scrapes them as one job, each with its name in the label `rollout`."""
    targets = [
        {"targets": [each.url.removeprefix("http://")], "labels": {"job": "pair", "rollout": name}}
        for name, each in services.items()
    ]
    file = monitoring.prometheus_config(stack.site).parent / "targets" / "other-pair.yml"
    replace_whole(file, yaml.safe_dump(targets))
    try:
        yield
    finally:
        stack.scrape("pair")


def confused(stack: Stack, folder: Path, flag: str) -> bool:
    """Whether the job of this flag cannot measure, because it sees another rollout's service."""
    code, told = one_pass(stack, folder, canary_flag=flag, selector=BOTH)
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
        scraped(stack, ours=service, theirs=other),
    ):
        # Where their numbers cannot be told apart, nobody is rolled back for them.
        for flag in (FLAG, own_flag):
            until(partial(confused, stack, tmp_path, flag), 60, every=1)
            assert read_state(admin, flag).enabled

        def passed(flag: str, selector: str) -> int:
            for each in (service, other):
                each.predict_all(users)
            return one_pass(stack, tmp_path, canary_flag=flag, selector=selector)[0]

        until(lambda: passed(own_flag, THEIRS) == 1, 120, every=1)
        assert not read_state(admin, own_flag).enabled
        until(lambda: passed(FLAG, OURS) == 0, 60, every=1)
        assert (read_state(admin, FLAG).enabled, read_state(admin, FLAG).percent) == (True, 50)
