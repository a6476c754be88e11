"""Evidence is one challenger's and one rollout's, on real servers: a swap that lags, and two rollouts."""

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from common.model_store import MODEL_FILE
from common.names import Model
from flags.canary.share import read_state, set_share
from flags.unleash.admin import UnleashAdmin
from stack.api import Stack
from stack.paths import REPOSITORY
from stack.processes import environment
from stack.servers import monitoring
from tests.integration.conftest import FLAG, Service, wait_for
from tests.integration.own_service import own_service
from tests.integration.rollout_scene import GUARDRAILS, Scene, scene_of, wait_until

PLAN = """
begin: by_hand
promote: by_hand
stages:
  - {shadow: 100, samples: 100, agreement: 0.5, failures: 0.5}
  - {share: 1}
  - {share: 100}
"""
SWAPS = 3


@pytest.fixture
def scene(stack: Stack, admin: UnleashAdmin, tmp_path: Path) -> Iterator[Scene]:
    with scene_of(stack, admin, tmp_path, speed=1, plan=PLAN) as scene:
        yield scene


def version_of(scene: Scene, version: str) -> Path:
    """The stack's challenger as another version: the same model, which nobody has shadowed as that."""
    folder = scene.folder / f"challenger-{version}"
    shutil.copytree(scene.stack.site.cache.model(Model.CHALLENGER), folder)
    (metadata,) = (each for each in folder.iterdir() if each.name == "model.json")
    told = json.loads(metadata.read_text(encoding="utf-8"))
    metadata.write_text(json.dumps(told | {"version": version}), encoding="utf-8")
    assert (folder / MODEL_FILE).exists()
    return folder


def deploy(scene: Scene, folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "flags", "models", "challenger", str(folder)],
        cwd=REPOSITORY,
        env=scene.variables,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.timeout(300)
def test_a_new_challenger_does_not_inherit_the_shadow_of_the_one_before(scene: Scene) -> None:
    """`models challenger v7 && rollout begin && rollout advance`, before Prometheus has heard of the swap."""
    scene.cli("begin")
    wait_until(lambda: scene.cli("advance")[0] == 0, 30, "the shadow begins")
    with scene.load():
        wait_until(
            lambda: scene.status()["step"]["kind"] == "advance", 90, "the first challenger has its samples"
        )
    for number in range(SWAPS):  # nobody asks any more, so that none of them ever has a sample
        deploy(scene, version_of(scene, f"7.{number}.0"))
        scene.cli("begin")
        begun = time.monotonic()
        while time.monotonic() - begun < 8:
            code, told = scene.cli("advance")
            assert code == 11, told
            assert not read_state(scene.admin, FLAG).exposed
    with scene.load():
        wait_until(lambda: scene.cli("advance")[0] == 0, 120, "the last one, by samples of its own")
    assert read_state(scene.admin, FLAG).percent == 1


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
