"""Evidence is one challenger's, on real servers, also where a swap lags."""

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from common.model_store import MODEL_FILE
from common.names import Model
from flags.canary.share import read_state
from flags.unleash.admin import UnleashAdmin
from stack.api import Stack
from stack.paths import REPOSITORY
from tests.integration.conftest import FLAG
from tests.integration.rollout_scene import Scene, scene_of, wait_until

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
