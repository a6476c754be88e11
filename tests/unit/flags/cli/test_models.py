"""`./canario models`: what it prints, and its exit codes."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from common.model_store import ModelStore
from common.release import Note, promoted
from flags.__main__ import cli
from tests.unit.common.model_folder import model
from tests.unit.flags.conftest import TOKEN
from tests.unit.flags.fake_unleash import FakeUnleash, gradual
from tests.unit.flags.server import Answer, Server, serving


@pytest.fixture
def service() -> Iterator[Server]:
    with serving() as server:
        yield server


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    return ModelStore(tmp_path / "models")


@pytest.fixture
def run(store: ModelStore, unleash: FakeUnleash, service: Server, tmp_path: Path) -> "Run":
    model(tmp_path / "a", "a")
    model(tmp_path / "b", "b")
    unleash.add("canary", gradual(100))
    return Run(
        {
            "CANARIO_UNLEASH_URL": unleash.url,
            "CANARIO_UNLEASH_ADMIN_TOKEN": TOKEN,
            "CANARIO_MODELS": str(store.folder),
            "CANARIO_SERVICE_URL": service.url,
            "CANARIO_ADMIN_TOKEN": "a-token-of-this-test",
        }
    )


class Run:
    def __init__(self, environment: dict[str, str]) -> None:
        self._environment = environment

    def __call__(self, *arguments: object) -> Result:
        return CliRunner().invoke(cli, ["models", *map(str, arguments)], env=self._environment)


def crew(revision: int) -> Answer:
    worker: dict[str, object] = {"pid": 1, "revision": revision, "refused": None, "models": {}}
    return Answer({"expected_workers": 1, "workers": [worker], "wanted": None})


def test_from_the_first_models_to_the_way_back(
    run: Run, tmp_path: Path, service: Server, unleash: FakeUnleash
) -> None:
    first = run("init", "--champion", tmp_path / "a", "--challenger", tmp_path / "b")
    assert first.exit_code == 0, first.output
    assert "champion    a 1" in first.output
    assert "challenger  b 1" in first.output
    service.script(crew(1), crew(2))
    promotion = run("promote", "--reason", "it is better")
    assert promotion.exit_code == 0, promotion.output
    assert "champion    b 1" in promotion.output
    assert "previous    a 1" in promotion.output
    assert "every worker serves this" in promotion.output
    assert "the flag canary: 0%" in promotion.output
    assert service.calls[0].headers["Authorization"] == "Bearer a-token-of-this-test"
    shown = json.loads(run("show", "--json").output)
    assert shown["history"][-1]["reason"] == "it is better"
    service.script(crew(3))
    assert "champion    a 1" in run("back").output
    assert unleash.rollout() == "0"


def test_what_was_cut_off_is_shown(run: Run, store: ModelStore, tmp_path: Path) -> None:
    run("init", "--champion", tmp_path / "a", "--challenger", tmp_path / "b")
    store.change(lambda now: promoted(now, Note("ada")))
    assert "not finished" in run("show").output


def test_a_share_below_100_is_the_flags_fault(run: Run, tmp_path: Path, unleash: FakeUnleash) -> None:
    run("init", "--champion", tmp_path / "a", "--challenger", tmp_path / "b")
    unleash.add("canary", gradual(25))
    refused = run("promote")
    assert refused.exit_code == 4
    assert "25% of canary, not 100%" in refused.output


def test_without_a_challenger_the_models_keep_their_roles(run: Run, tmp_path: Path) -> None:
    run("init", "--champion", tmp_path / "a")
    refused = run("promote")
    assert refused.exit_code == 5
    assert "no challenger to promote" in refused.output
    assert run("back").exit_code == 5
    assert run("challenger").exit_code == 2
    assert run("challenger", tmp_path / "b", "--none").exit_code == 2


def test_a_new_challenger(run: Run, tmp_path: Path, service: Server, unleash: FakeUnleash) -> None:
    run("init", "--champion", tmp_path / "a")
    unleash.add("canary", gradual(0))
    service.script(crew(2))
    assert "challenger  b 1" in run("challenger", tmp_path / "b").output
    service.script(crew(3))
    assert "challenger  none" in run("challenger", "--none").output


def test_old_models_are_removed_when_asked(run: Run, tmp_path: Path, store: ModelStore) -> None:
    run("init", "--champion", tmp_path / "a", "--challenger", tmp_path / "b")
    assert run("prune").output == "nothing to remove\n"
    old = store.add(model(tmp_path / "c", "c")).folder
    assert run("prune", "--keep", 0, "--dry-run").output == f"would remove {old}\n"
    assert run("prune").output == "nothing to remove\n", "five are kept"
    assert run("prune", "--keep", 0).output == f"removed {old}\n"
    assert run("prune", "--keep", -1).exit_code == 2


def test_a_folder_without_models_is_told(run: Run) -> None:
    shown = run("show")
    assert shown.exit_code == 2
    assert "roles.json: cannot be read" in shown.output


@pytest.mark.parametrize("status", [401, 500])
def test_a_service_that_refuses_is_told(run: Run, tmp_path: Path, service: Server, status: int) -> None:
    run("init", "--champion", tmp_path / "a", "--challenger", tmp_path / "b")
    service.answer = lambda _: Answer({}, status)
    unfinished = run("promote", "--wait", 0.3)
    assert unfinished.exit_code == 5
    assert f"the service answers {status}" in unfinished.output
