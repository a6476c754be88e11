"""What a story that was killed leaves behind, and that the next one puts it right."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from common.config import ConfigError
from drills.flag_restorer import FlagRestorer
from drills.notes import UNDER_WAY, FlagNotes, Notebook, Notes, NotesError, opened
from drills.target import Target
from flags.canary.history import held, history
from flags.canary.share import read_state, set_share
from tests.unit.drills.conftest import FakeStack
from tests.unit.flags.fake_unleash import FakeUnleash, error, gradual

NAMES = ("canary", "shadow")


@pytest.fixture(autouse=True)
def flags(unleash: FakeUnleash) -> None:
    unleash.add("canary", gradual(10), enabled=False)
    unleash.add("shadow", gradual(0))


@pytest.fixture
def notebook(tmp_path: Path) -> Iterator[Notebook]:
    with opened(tmp_path) as notebook:
        yield notebook


def begun(target: Target, notebook: Notebook) -> FlagRestorer:
    found = {name: FlagNotes.found(target.admin, name) for name in NAMES}
    notes = Notes(begun=datetime.now(UTC), traffic=True, flags=found)
    notebook.write(notes)
    return FlagRestorer(target, notebook, notes)


def after_a_kill(target: Target, notebook: Notebook) -> tuple[FlagRestorer, Any]:
    """The restorer that the next story makes of the notes."""
    left = notebook.left()
    assert left is not None
    return FlagRestorer(target, notebook, left), FakeStack(notebook.path.parent)


def state(unleash: FakeUnleash) -> dict[str, tuple[bool, str]]:
    return {name: (unleash.here(name)["enabled"], unleash.rollout(name)) for name in NAMES}


def test_what_was_changed_is_brought_back(unleash: FakeUnleash, target: Target, notebook: Notebook) -> None:
    before = state(unleash)
    restorer = begun(target, notebook)
    restorer.share("shadow", 100)
    restorer.share("canary", 50)
    restorer.share("canary", 5)
    restorer.exclude("canary", {"SE", "DK"})
    assert state(unleash) == {"canary": (True, "5"), "shadow": (True, "100")}
    (constraint,) = read_state(target.admin, "canary").constraints
    assert "DK" in constraint
    assert "SE" in constraint
    again, stack = after_a_kill(target, notebook)
    done = again.restore(stack)
    assert (done.told, done.failed) == ([], False)
    assert state(unleash) == before
    assert held(history(target.admin, "canary")) is None  # the plan may raise it again
    assert read_state(target.admin, "canary").constraints == ()
    assert stack.started == ["traffic"]
    assert notebook.left() is None


def test_killed_before_the_change_was_made(unleash: FakeUnleash, target: Target, notebook: Notebook) -> None:
    restorer = begun(target, notebook)
    restorer.share("canary", 5)
    unleash.fail("PUT", "/strategies/", *[error(400, "killed here")] * 3)
    unleash.fail("PATCH", "/strategies/", *[error(400, "killed here")] * 3)
    with pytest.raises(Exception, match="killed here"):
        restorer.share("canary", 50)
    unleash.faults.clear()
    assert unleash.rollout("canary") == "5"
    again, stack = after_a_kill(target, notebook)
    assert again.restore(stack).told == []
    assert state(unleash)["canary"] == (False, "10")


def test_what_somebody_changed_meanwhile_stays(
    unleash: FakeUnleash, target: Target, notebook: Notebook
) -> None:
    begun(target, notebook).share("shadow", 100)
    set_share(target.admin, "shadow", 25)
    again, stack = after_a_kill(target, notebook)
    done = again.restore(stack)
    assert unleash.rollout("shadow") == "25"
    (sentence,) = done.told
    assert "so it stays as it is. As found: ./canario set shadow 0" in sentence
    assert not done.failed
    assert notebook.left() is None


def test_what_cannot_be_brought_back_now_is_kept_for_the_next_attempt(
    unleash: FakeUnleash, target: Target, notebook: Notebook
) -> None:
    begun(target, notebook).share("shadow", 100)
    again, stack = after_a_kill(target, notebook)
    unleash.fail("GET", "shadow", *[error(400, "not now")] * 5)
    done = again.restore(stack)
    assert done.failed
    assert "not now" in done.told[0]
    unleash.faults.clear()
    again, stack = after_a_kill(target, notebook)
    assert not again.restore(stack).failed
    assert unleash.rollout("shadow") == "0"


def test_one_story_at_a_time(tmp_path: Path) -> None:
    told = pytest.raises(NotesError, match="another story is being told")
    with opened(tmp_path), told, opened(tmp_path):
        pass
    with opened(tmp_path) as notebook:
        assert notebook.left() is None


def test_notes_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    (tmp_path / UNDER_WAY).write_text('{"begun": 3}', encoding="utf-8")
    with opened(tmp_path) as notebook, pytest.raises(ConfigError, match=UNDER_WAY):
        notebook.left()
