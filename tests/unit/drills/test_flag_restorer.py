"""What a demo that was killed leaves behind, and that the next one puts it right."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from common.config import ConfigError
from drills.flag_restorer import FlagRestorer
from drills.notes import UNDER_WAY, FlagNotes, Notebook, Notes, NotesError, opened
from drills.target import Target
from flags.canary.history import held, history
from flags.canary.share import set_share
from tests.unit.flags.fake_unleash import FakeUnleash, error, gradual


@pytest.fixture(autouse=True)
def flag(unleash: FakeUnleash) -> None:
    unleash.add("canary", gradual(10), enabled=False)


@pytest.fixture
def notebook(tmp_path: Path) -> Iterator[Notebook]:
    with opened(tmp_path) as notebook:
        yield notebook


def begun(target: Target, notebook: Notebook) -> FlagRestorer:
    notes = Notes(begun=datetime.now(UTC), found=FlagNotes.of(target.admin, "canary"))
    notebook.write(notes)
    return FlagRestorer(target, notebook, notes)


def after_a_kill(target: Target, notebook: Notebook) -> FlagRestorer:
    """The restorer that the next demo makes of the notes."""
    left = notebook.left()
    assert left is not None
    return FlagRestorer(target, notebook, left)


def state(unleash: FakeUnleash) -> tuple[bool, str]:
    return unleash.here("canary")["enabled"], unleash.rollout("canary")


def test_what_was_changed_is_brought_back(unleash: FakeUnleash, target: Target, notebook: Notebook) -> None:
    restorer = begun(target, notebook)
    restorer.share(50)
    restorer.share(5)
    assert state(unleash) == (True, "5")
    done = after_a_kill(target, notebook).restore()
    assert (done.told, done.failed) == (
        "canary is as it was found: off, 10%, no version blocked by it",
        False,
    )
    assert state(unleash) == (False, "10")
    assert held(history(target.admin, "canary")) is None  # the plan may raise it again
    assert notebook.left() is None


def test_killed_before_the_change_was_made(unleash: FakeUnleash, target: Target, notebook: Notebook) -> None:
    restorer = begun(target, notebook)
    restorer.share(5)
    unleash.fail("PUT", "/strategies/", *[error(400, "killed here")] * 3)
    unleash.fail("PATCH", "/strategies/", *[error(400, "killed here")] * 3)
    with pytest.raises(Exception, match="killed here"):
        restorer.share(50)
    unleash.faults.clear()
    assert unleash.rollout("canary") == "5"
    assert not after_a_kill(target, notebook).restore().failed
    assert state(unleash) == (False, "10")


def test_what_somebody_changed_meanwhile_stays(
    unleash: FakeUnleash, target: Target, notebook: Notebook
) -> None:
    begun(target, notebook).share(100)
    set_share(target.admin, "canary", 25)
    done = after_a_kill(target, notebook).restore()
    assert unleash.rollout("canary") == "25"
    assert "so it stays as it is. As found: ./canario lift canary" in done.told
    assert "./canario set canary 10" in done.told
    assert not done.failed
    assert notebook.left() is None


def test_what_cannot_be_brought_back_now_is_kept_for_the_next_attempt(
    unleash: FakeUnleash, target: Target, notebook: Notebook
) -> None:
    begun(target, notebook).share(100)
    unleash.fail("GET", "canary", *[error(400, "not now")] * 5)
    done = after_a_kill(target, notebook).restore()
    assert done.failed
    assert "not now" in done.told
    unleash.faults.clear()
    assert not after_a_kill(target, notebook).restore().failed
    assert unleash.rollout("canary") == "10"


def test_one_demo_at_a_time(tmp_path: Path) -> None:
    told = pytest.raises(NotesError, match="another demo runs")
    with opened(tmp_path), told, opened(tmp_path):
        pass
    with opened(tmp_path) as notebook:
        assert notebook.left() is None


def test_notes_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    (tmp_path / UNDER_WAY).write_text('{"begun": 3}', encoding="utf-8")
    with opened(tmp_path) as notebook, pytest.raises(ConfigError, match=UNDER_WAY):
        notebook.left()
