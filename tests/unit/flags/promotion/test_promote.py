"""Promote and back: cut off at every step, at the same time, and with people who step in."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from common.model_store import ModelStore
from common.release import Note, Release, ReleaseError
from flags import mlflow_registry
from flags.canary.share import read_state, set_share
from flags.promotion import promote as promote_module
from flags.promotion.fleet import Crew, FleetError, Refusal, Worker
from flags.promotion.promote import Promoter, Refused, Unfinished
from flags.unleash.admin import UnleashAdmin
from flags.unleash.errors import ChangedMeanwhile, Unreachable
from tests.unit.common.model_folder import model
from tests.unit.flags.fake_unleash import FakeUnleash, gradual

NOTE = Note("a test")


class Workers:
    """Two workers that take a release at the second look, one after the other."""

    def __init__(self, store: ModelStore) -> None:
        self._store = store
        self.served = [store.read(), store.read()]
        self.refuses: Callable[[Release], str | None] = lambda _: None
        self.looks = 0
        self.silent = False

    def __call__(self) -> list[Crew]:
        self.looks += 1
        if self.silent:
            raise FleetError("http://service: the service does not answer")
        wanted = self._store.read()
        reason = self.refuses(wanted)
        if reason is None:
            self.served[self.looks % 2] = wanted
        refused = None if reason is None else Refusal(revision=wanted.revision, reason=reason)
        told = [
            Worker(pid=number, revision=release.revision, refused=refused)
            for number, release in enumerate(self.served)
        ]
        return [Crew(expected_workers=2, workers=told)]

    def answers(self, share: int) -> set[str]:
        """The models that users may get from the workers as they are, at this share."""
        found = set()
        for release in self.served:
            challenger = release.roles.challenger
            if share and challenger:
                found.add(challenger.name)
            if share < 100 or not challenger:
                found.add(release.roles.champion.name)
        return found


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(promote_module, "_FIRST_WAIT_SECONDS", 0.001)


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    made = ModelStore(tmp_path / "models")
    made.install(model(tmp_path / "a", "a"), model(tmp_path / "b", "b"), NOTE)
    return made


@pytest.fixture
def workers(store: ModelStore) -> Workers:
    return Workers(store)


@pytest.fixture
def promoter(store: ModelStore, admin: UnleashAdmin, workers: Workers, unleash: FakeUnleash) -> Promoter:
    unleash.add("canary", gradual(100))
    return Promoter(store, admin, "canary", workers, patience_seconds=0.5)


def roles(store: ModelStore) -> tuple[str, str | None, str | None, bool]:
    now = store.read().roles
    return (
        now.champion.name,
        now.challenger.name if now.challenger else None,
        now.previous.name if now.previous else None,
        now.settled,
    )


def test_promote_and_back(promoter: Promoter, store: ModelStore, unleash: FakeUnleash) -> None:
    done = promoter.promote(NOTE)
    assert roles(store) == ("b", None, "a", True)
    assert done.state
    assert (done.state.enabled, done.state.percent) == (True, 0)
    assert promoter.promote(NOTE).release.revision == 2, "a second time changes nothing"
    promoter.back(NOTE)
    assert roles(store) == ("a", None, None, True)
    assert promoter.back(NOTE).release.revision == 3, "nor here"
    assert unleash.rollout() == "0"


@pytest.fixture
def registered(store: ModelStore) -> ModelStore:
    """The challenger is from a registry."""
    challenger = store.read().roles.challenger
    assert challenger
    file = store.path(challenger) / "model.json"
    file.write_text(json.dumps(json.loads(file.read_bytes()) | {"training": {"mlflow": "models:/fraud/2"}}))
    return store


HANGS = "import time\ntime.sleep(60)\n"
FAILS = "class MlflowClient:\n    def set_registered_model_alias(self, *_): raise OSError('no route\\nx')\n"
WORKS = (
    "class MlflowClient:\n    def set_registered_model_alias(self, *told): open('{}', 'w').write(str(told))\n"
)


@pytest.mark.parametrize(
    ("tracking", "told"),
    [
        (HANGS, "could not be moved to models:/fraud/2: no answer within 2 s; the promotion stands"),
        (FAILS, "could not be moved to models:/fraud/2: no route; the promotion stands"),
        (WORKS, "means models:/fraud/2 now"),
    ],
    ids=["hangs", "fails", "works"],
)
def test_a_promotion_moves_the_alias_and_stands_whatever_mlflow_does(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    registered: ModelStore,
    admin: UnleashAdmin,
    workers: Workers,
    promoter: Promoter,
    tracking: str,
    told: str,
) -> None:
    package = tmp_path / "path" / "mlflow"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "tracking.py").write_text(
        tracking.format(tmp_path / "moved") if tracking is WORKS else tracking
    )
    monkeypatch.setenv("PYTHONPATH", str(package.parent))
    monkeypatch.setattr(mlflow_registry, "ALIAS_SECONDS", 2.0)
    named = Promoter(registered, admin, "canary", workers, patience_seconds=0.5, alias="champion")
    assert named.promote(NOTE).alias == f"MLflow's alias champion {told}"
    assert roles(registered) == ("b", None, "a", True)
    assert (tmp_path / "moved").exists() is (tracking is WORKS)
    if tracking is WORKS:
        assert (tmp_path / "moved").read_text() == "('fraud', 'champion', '2')"
    assert promoter.back(NOTE).alias == "", "no alias, no word"


def test_a_champion_of_no_registry_leaves_the_alias(
    store: ModelStore, admin: UnleashAdmin, workers: Workers, promoter: Promoter
) -> None:
    named = Promoter(store, admin, "canary", workers, patience_seconds=0.5, alias="champion")
    assert named.promote(NOTE).alias.endswith("the champion is not from an MLflow registry")
    assert promoter.back(NOTE).release.roles.champion.name == "a"


class Crash(BaseException):
    """The process ends here."""


def crash_at(monkeypatch: pytest.MonkeyPatch, number: int, *, after: bool) -> list[str]:
    """Let the operation `number` on disk, workers or Unleash be the last one, done or not."""
    seen: list[str] = []

    def counted(name: str, operation: Callable[..., Any]) -> Callable[..., Any]:
        def run(*args: Any, **rest: Any) -> Any:
            seen.append(name)
            if len(seen) == number and not after:
                raise Crash
            result = operation(*args, **rest)
            if len(seen) == number:
                raise Crash
            return result

        return run

    monkeypatch.setattr(ModelStore, "change", counted("change", ModelStore.change))
    monkeypatch.setattr(Workers, "__call__", counted("look", Workers.__call__))
    monkeypatch.setattr(promote_module, "set_share", counted("share", set_share))
    monkeypatch.setattr(promote_module, "read_state", counted("state", read_state))
    return seen


MOMENTS = [(number, after) for number in range(1, 8) for after in (False, True)]


@pytest.mark.parametrize(("number", "after"), MOMENTS)
def test_a_promotion_that_is_cut_off_anywhere_is_finished_by_the_next(
    promoter: Promoter, store: ModelStore, workers: Workers, unleash: FakeUnleash, number: int, after: bool
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        seen = crash_at(patch, number, after=after)
        with pytest.raises(Crash):
            promoter.promote(NOTE)
    assert seen[-1] in {"state", "change", "look", "share"}
    assert workers.answers(int(unleash.rollout())) == {"b"}, "who had the challenger keeps it"
    promoter.promote(NOTE)
    assert roles(store) == ("b", None, "a", True)
    assert unleash.rollout() == "0"
    assert workers.answers(0) == {"b"}


def test_those_are_all_moments(promoter: Promoter) -> None:
    with pytest.MonkeyPatch.context() as patch:
        seen = crash_at(patch, 99, after=False)
        promoter.promote(NOTE)
    assert seen == ["state", "change", "look", "look", "state", "share", "change"]


@pytest.mark.parametrize(("number", "after"), MOMENTS)
def test_the_way_back_from_a_promotion_that_was_cut_off(
    promoter: Promoter, store: ModelStore, workers: Workers, unleash: FakeUnleash, number: int, after: bool
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        crash_at(patch, number, after=after)
        with pytest.raises(Crash):
            promoter.promote(NOTE)
    if store.read().roles.previous is None:  # nothing was done yet
        return
    promoter.back(NOTE)
    assert roles(store) == ("a", None, None, True)
    assert unleash.rollout() == "0"
    assert workers.answers(0) == {"a"}


@pytest.mark.parametrize(("number", "after"), [moment for moment in MOMENTS if moment[0] <= 5])
def test_a_way_back_that_is_cut_off_is_finished_by_the_next(
    promoter: Promoter, store: ModelStore, workers: Workers, number: int, after: bool
) -> None:
    promoter.promote(NOTE)
    with pytest.MonkeyPatch.context() as patch:
        crash_at(patch, number, after=after)
        with pytest.raises(Crash):
            promoter.back(NOTE)
    promoter.back(NOTE)
    assert roles(store) == ("a", None, None, True)
    assert workers.answers(0) == {"a"}


@pytest.mark.parametrize(("percent", "enabled"), [(99, True), (0, True), (100, False), ("abc", True)])
def test_only_a_challenger_that_everybody_has_is_promoted(
    promoter: Promoter, store: ModelStore, unleash: FakeUnleash, percent: object, enabled: bool
) -> None:
    unleash.add("canary", gradual(percent), enabled=enabled)
    with pytest.raises(ChangedMeanwhile, match="nothing was promoted"):
        promoter.promote(NOTE)
    assert roles(store) == ("a", "b", None, True)
    promoter.promote(NOTE, expect=None)
    assert roles(store) == ("b", None, "a", True)


@pytest.mark.parametrize("how", ["off", "lowered", "to 0"])
def test_who_stops_the_challenger_meanwhile_does_not_get_it_as_champion(
    promoter: Promoter, store: ModelStore, workers: Workers, unleash: FakeUnleash, how: str
) -> None:
    def stop(wanted: Release) -> None:
        if wanted.revision == 2:
            here = unleash.here()
            here["enabled"] = how != "off"
            here["strategies"][0]["parameters"]["rollout"] = {"lowered": "5", "to 0": "0"}.get(how, "100")

    workers.refuses = stop
    with pytest.raises(ChangedMeanwhile, match="stopped"):
        promoter.promote(NOTE)
    assert roles(store) == ("a", "b", None, True)
    assert workers.answers(0) == {"a"}
    assert {release.revision for release in workers.served} == {3}


def test_models_that_a_worker_refuses_get_their_old_roles_again(
    promoter: Promoter, store: ModelStore, workers: Workers, unleash: FakeUnleash
) -> None:
    workers.refuses = lambda wanted: "no memory" if wanted.revision == 2 else None
    with pytest.raises(Refused, match="no memory"):
        promoter.promote(NOTE)
    assert roles(store) == ("a", "b", None, True)
    assert unleash.rollout() == "100"
    assert "no memory" in store.read().last.reason
    promoter.promote(NOTE)
    assert roles(store) == ("b", None, "a", True)


def test_a_champion_that_cannot_come_back_leaves_the_new_one(
    promoter: Promoter, store: ModelStore, workers: Workers
) -> None:
    promoter.promote(NOTE)
    workers.refuses = lambda wanted: "gone" if wanted.revision == 3 else None
    with pytest.raises(Refused, match="gone"):
        promoter.back(NOTE)
    assert roles(store) == ("b", None, "a", True)


def test_damaged_files_are_found_before_anything_changes(promoter: Promoter, store: ModelStore) -> None:
    entry = store.read().roles.champion
    (store.path(entry) / "model.onnx").unlink()
    with pytest.raises(ReleaseError, match=r"model\.onnx"):
        promoter.promote(NOTE)  # there would be no way back
    assert store.read().revision == 1


def test_workers_that_do_not_answer_leave_a_promotion_to_be_finished(
    promoter: Promoter, store: ModelStore, workers: Workers, unleash: FakeUnleash
) -> None:
    workers.silent = True
    with pytest.raises(Unfinished, match=r"does not answer.*Run it again"):
        promoter.promote(NOTE)
    assert roles(store) == ("b", None, "a", False)
    assert unleash.rollout() == "100"
    workers.silent = False
    promoter.promote(NOTE)
    assert roles(store) == ("b", None, "a", True)


def test_the_way_back_does_not_wait_for_unleash(
    promoter: Promoter, store: ModelStore, workers: Workers, monkeypatch: pytest.MonkeyPatch
) -> None:
    promoter.promote(NOTE)

    def down(*_: Any, **__: Any) -> None:
        raise Unreachable("Unleash does not answer")

    with monkeypatch.context() as patch:
        patch.setattr(promote_module, "set_share", down)
        with pytest.raises(Unfinished, match=r"every worker serves the champion a.*Unleash does not answer"):
            promoter.back(NOTE)
    assert workers.answers(100) == {"a"}
    assert roles(store) == ("a", None, None, False)
    promoter.back(NOTE)
    assert roles(store) == ("a", None, None, True)


def test_a_new_challenger_comes_only_at_0_and_finishes_what_was_cut_off(
    promoter: Promoter, store: ModelStore, workers: Workers, unleash: FakeUnleash, tmp_path: Path
) -> None:
    new = model(tmp_path / "c", "c")
    with pytest.raises(ReleaseError, match="canario set canary 0"):
        promoter.challenge(new, NOTE)
    workers.silent = True
    with pytest.raises(Unfinished):
        promoter.promote(NOTE)
    workers.silent = False
    promoter.challenge(new, NOTE)
    assert roles(store) == ("b", "c", "a", True)
    assert unleash.rollout() == "0"
    promoter.challenge(None, NOTE)
    assert roles(store) == ("b", None, "a", True)


def test_a_challenger_that_does_not_fit_leaves_the_old_one(
    promoter: Promoter, store: ModelStore, workers: Workers, unleash: FakeUnleash, tmp_path: Path
) -> None:
    unleash.add("canary", gradual(0))
    workers.refuses = lambda wanted: "other features" if wanted.revision == 2 else None
    with pytest.raises(Refused, match="other features"):
        promoter.challenge(model(tmp_path / "c", "c"), NOTE)
    assert roles(store) == ("a", "b", None, True)


def test_a_way_back_during_a_promotion_ends_it(
    promoter: Promoter, store: ModelStore, workers: Workers, admin: UnleashAdmin
) -> None:
    other = Promoter(store, admin, "canary", Workers(store), patience_seconds=0.5)
    begun: list[int] = []

    def interrupt(wanted: Release) -> str | None:
        if wanted.revision == 2 and not begun:
            begun.append(1)
            other.back(NOTE)
        return None

    workers.refuses = interrupt
    with pytest.raises(ReleaseError, match="changed the roles meanwhile"):
        promoter.promote(NOTE)
    assert roles(store) == ("a", None, None, True)


def test_crews_are_judged_by_every_worker() -> None:
    def crew(*revisions: int | None) -> Crew:
        workers = [Worker(pid=1, revision=one, refused=None) for one in revisions]
        return Crew(expected_workers=2, workers=workers)

    assert crew(2, 2).serves(2)
    assert crew(2, 2, 2).serves(2), "while gunicorn replaces one"
    assert not crew(2).serves(2)
    assert not crew(2, None).serves(2)
    assert not crew(1, 2).serves(2)
    assert Crew.model_validate_json(json.dumps({"expected_workers": 1, "workers": [], "more": 1}))
