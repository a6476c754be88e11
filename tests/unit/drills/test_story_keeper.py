"""What a story that was killed leaves behind, and that the next one puts it right."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from common.config import ConfigError
from drills.story.keeper import Keeper
from drills.story.notes import UNDER_WAY, Notebook, NotesError, opened
from flags.admin import UnleashAdmin
from flags.canary import set_share
from flags.people import held, history
from tests.unit.flags.conftest import QUICK, TOKEN
from tests.unit.flags.server import serving
from tests.unit.flags.unleash import FakeUnleash, error, gradual

NAMES = ("canary", "shadow")


class FakeStack:
    """A stack whose sample traffic may be started."""

    def __init__(self) -> None:
        self.started: list[str] = []

    def status(self) -> tuple[()]:
        """Nothing runs."""
        return ()

    def start(self, program: str) -> None:
        """Remember it."""
        self.started.append(program)


class FakeTools:
    """Command lines that were called."""

    def __init__(self) -> None:
        self.called: list[tuple[str, ...]] = []

    def flags(self, *arguments: str) -> None:
        """Remember it."""
        self.called.append(arguments)


@pytest.fixture
def unleash() -> Iterator[FakeUnleash]:
    with serving() as server:
        unleash = FakeUnleash(server)
        unleash.add("canary", gradual(10), enabled=False)
        unleash.add("shadow", gradual(0))
        yield unleash


@pytest.fixture
def admin(unleash: FakeUnleash) -> UnleashAdmin:
    return UnleashAdmin(unleash.url, TOKEN, timeouts=QUICK)


@pytest.fixture
def notebook(tmp_path: Path) -> Iterator[Notebook]:
    with opened(tmp_path) as notebook:
        yield notebook


def begun(admin: UnleashAdmin, notebook: Notebook) -> Keeper:
    tools: Any = FakeTools()
    return Keeper.found(admin, tools, notebook, NAMES, traffic=True)


def after_a_kill(admin: UnleashAdmin, notebook: Notebook) -> tuple[Keeper, FakeTools, Any]:
    """The keeper that the next story makes of the notes."""
    left, tools = notebook.left(), FakeTools()
    assert left is not None
    given: Any = tools
    return Keeper(admin, given, notebook, left), tools, FakeStack()


def state(unleash: FakeUnleash) -> dict[str, tuple[bool, str]]:
    return {name: (unleash.here(name)["enabled"], unleash.rollout(name)) for name in NAMES}


def test_what_was_changed_is_brought_back(
    unleash: FakeUnleash, admin: UnleashAdmin, notebook: Notebook
) -> None:
    before = state(unleash)
    keeper = begun(admin, notebook)
    keeper.share("shadow", 100)
    keeper.share("canary", 50)
    keeper.share("canary", 5)
    keeper.exclude("canary", {"SE", "DK"})
    assert state(unleash) == {"canary": (True, "5"), "shadow": (True, "100")}
    again, tools, stack = after_a_kill(admin, notebook)
    done = again.restore(stack)
    assert (done.told, done.failed) == ([], False)
    assert state(unleash) == before
    assert held(history(admin, "canary")) is None  # the plan may raise it again
    (call,) = tools.called
    assert call[:4] == ("include", "canary", "country=DK", "country=SE")
    assert stack.started == ["traffic"]
    assert notebook.left() is None


def test_killed_before_the_change_was_made(
    unleash: FakeUnleash, admin: UnleashAdmin, notebook: Notebook
) -> None:
    keeper = begun(admin, notebook)
    keeper.share("canary", 5)
    unleash.fail("PUT", "/strategies/", *[error(400, "killed here")] * 3)
    unleash.fail("PATCH", "/strategies/", *[error(400, "killed here")] * 3)
    with pytest.raises(Exception, match="killed here"):
        keeper.share("canary", 50)
    unleash.faults.clear()
    assert unleash.rollout("canary") == "5"
    again, _, stack = after_a_kill(admin, notebook)
    assert again.restore(stack).told == []
    assert state(unleash)["canary"] == (False, "10")


def test_what_somebody_changed_meanwhile_stays(
    unleash: FakeUnleash, admin: UnleashAdmin, notebook: Notebook
) -> None:
    begun(admin, notebook).share("shadow", 100)
    set_share(admin, "shadow", 25)
    again, _, stack = after_a_kill(admin, notebook)
    done = again.restore(stack)
    assert unleash.rollout("shadow") == "25"
    (sentence,) = done.told
    assert "so it stays as it is. As found: python3 -m stack exec python -m flags set shadow 0" in sentence
    assert not done.failed
    assert notebook.left() is None


def test_what_cannot_be_brought_back_now_is_kept_for_the_next_attempt(
    unleash: FakeUnleash, admin: UnleashAdmin, notebook: Notebook
) -> None:
    begun(admin, notebook).share("shadow", 100)
    again, _, stack = after_a_kill(admin, notebook)
    unleash.fail("GET", "shadow", *[error(400, "not now")] * 5)
    done = again.restore(stack)
    assert done.failed
    assert "not now" in done.told[0]
    unleash.faults.clear()
    again, _, stack = after_a_kill(admin, notebook)
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
