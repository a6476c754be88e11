"""A new model each night: it begins where nothing is in the way, and disturbs no rollout."""

from collections.abc import Callable
from pathlib import Path

import pytest

from common.model_store import ModelStore
from common.release import Note, ReleaseError
from flags.canary import marks
from flags.promotion.fleet import Crew, Worker
from flags.promotion.offer import Offer, Outcome, offer
from flags.promotion.promote import Promoter
from flags.unleash.admin import UnleashAdmin
from tests.unit.common.model_folder import model
from tests.unit.flags.fake_unleash import FakeUnleash, gradual

NOTE = Note("a test")
Try = Callable[..., Offer]


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    """A champion alone."""
    made = ModelStore(tmp_path / "models")
    made.install(model(tmp_path / "a", "a"), None, NOTE)
    return made


@pytest.fixture
def attempt(store: ModelStore, admin: UnleashAdmin, unleash: FakeUnleash, tmp_path: Path) -> Try:
    """Offers the model of that name, at a share of the flag."""
    unleash.add("canary", gradual(0))

    def serving() -> list[Crew]:
        return [
            Crew(expected_workers=1, workers=[Worker(pid=1, revision=store.read().revision, refused=None)])
        ]

    def _attempt(name: str, *, supersede: bool = False, approve: bool = False) -> Offer:
        folder = tmp_path / name
        found = folder if folder.exists() else model(folder, name)
        promoter = Promoter(store, admin, "canary", serving, patience_seconds=0.5)
        return offer(promoter, store, admin, "canary", found, NOTE, supersede=supersede, approve=approve)

    return _attempt


def challenger(store: ModelStore) -> str | None:
    found = store.read().roles.challenger
    return found.name if found else None


def label_of(store: ModelStore) -> str:
    found = store.read().roles.challenger
    assert found
    return marks.label(found.version, found.sha256)


def test_it_starts_once_and_then_there_is_nothing_new(attempt: Try, store: ModelStore) -> None:
    said = attempt("b")
    assert said.outcome is Outcome.STARTED
    assert said.sentence.startswith("started: b ")
    assert "`./canario rollout begin` approves its start" in said.sentence
    assert challenger(store) == "b"
    revision = store.read().revision
    again = attempt("b")
    assert (again.outcome, store.read().revision) == (Outcome.NOTHING_NEW, revision)
    assert "is the challenger already" in again.sentence
    assert "is the champion already" in attempt("a").sentence


def test_the_plan_may_start_with_it(attempt: Try, store: ModelStore, admin: UnleashAdmin) -> None:
    attempt("b")
    assert not marks.values(marks.tags_of(admin, "canary"), marks.BEGIN)
    assert attempt("b", approve=True).outcome is Outcome.NOTHING_NEW
    assert marks.values(marks.tags_of(admin, "canary"), marks.BEGIN) == (label_of(store),)


@pytest.mark.parametrize("supersede", [False, True])
def test_a_rollout_under_way_is_not_disturbed(
    attempt: Try, store: ModelStore, unleash: FakeUnleash, supersede: bool
) -> None:
    attempt("b")
    unleash.add("canary", gradual(5))
    said = attempt("c", supersede=supersede)
    assert said.outcome is Outcome.WAITS
    assert said.sentence.startswith("waits: the flag canary gives b ")
    assert said.sentence.endswith(" 5%")
    assert challenger(store) == "b"


def test_one_that_nobody_has_met_gives_way_if_it_is_said(attempt: Try, store: ModelStore) -> None:
    attempt("b")
    said = attempt("c")
    assert said.outcome is Outcome.WAITS
    assert "--supersede replaces it" in said.sentence
    assert challenger(store) == "b"
    assert attempt("c", supersede=True).outcome is Outcome.STARTED
    assert challenger(store) == "c"


def test_one_that_was_rolled_back_gives_way_and_stays_blocked(
    attempt: Try, store: ModelStore, admin: UnleashAdmin
) -> None:
    attempt("b")
    blocked = label_of(store)
    marks.quarantine(admin, "canary", blocked)
    assert attempt("c").outcome is Outcome.STARTED
    assert challenger(store) == "c"
    said = attempt("b", supersede=True)
    assert said.outcome is Outcome.REFUSED
    assert "was rolled back and is blocked" in said.sentence
    assert marks.quarantined(admin, "canary") == {blocked}
    assert challenger(store) == "c"


def test_a_folder_that_is_none_is_told(attempt: Try, tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    with pytest.raises(ReleaseError, match="cannot be read as a model's card"):
        attempt("none")
