"""What was read of a stage is not asked for again, and what came late is found all the same."""

from dataclasses import dataclass, field
from datetime import timedelta

import numpy as np
import pytest

from common.prometheus import Prometheus, QueryRefused
from rollback.guardrails.past import AGAIN, WHOLE_SECONDS, Past
from tests.unit.rollback.conftest import NOW, Answer, Numbers, Reading, Server

STEP = timedelta(seconds=15)
START = NOW.timestamp()
OVERLAP = AGAIN // STEP + 1
QUERY = '{__name__=~"a"}'


@dataclass
class Scene:
    """A job that reads a stage as it grows."""

    server: Server
    past: Past = field(default_factory=lambda: Past(clock=lambda: 0.0))

    def has(self, *series: tuple[dict[str, str], Reading]) -> None:
        self.server.reply = Numbers({}, counters=list(series))

    def read(self, points: int) -> dict[str, list[float]]:
        """By instance."""
        found = self.past.matrix(Prometheus(self.server.url), QUERY, NOW, STEP, points)
        assert {track.labels["instance"]: len(track.values) for track in found} == {
            track.labels["instance"]: points for track in found
        }
        return {track.labels["instance"]: track.values.tolist() for track in found}

    def asked(self) -> list[int]:
        """Points of each request since the last time."""
        spans = [(float(form["start"]), float(form["end"])) for _, form in self.server.asked]
        self.server.asked.clear()
        return [round((end - start) / STEP.total_seconds()) + 1 for start, end in spans]


@pytest.fixture
def scene(server: Server) -> Scene:
    made = Scene(server)
    made.has(counter("a"))
    return made


def counter(
    instance: str, *, behind: float = -1, born: float = 0, died: float = float("inf")
) -> tuple[dict[str, str], Reading]:
    """One that counts a second each; `behind`: at so many seconds it was one less, as seen now."""

    def value(at: float) -> float | None:
        age = at - START
        return None if age < born or age > died else age - (age == behind)

    return {"__name__": "a", "instance": instance}, value


def test_only_what_is_new_is_asked_for(scene: Scene) -> None:
    whole = scene.read(100)
    assert whole == {"a": [15.0 * at for at in range(100)]}
    assert scene.asked() == [100]
    assert scene.read(100) == whole
    assert scene.asked() == []
    assert scene.read(102) == {"a": [15.0 * at for at in range(102)]}
    assert scene.asked() == [OVERLAP + 2]


def test_what_was_stored_late_is_read_again(scene: Scene) -> None:
    scene.has(counter("a", behind=99 * 15))
    assert scene.read(100)["a"][-1] == 99 * 15 - 1
    scene.has(counter("a"))
    assert scene.read(101)["a"][-2:] == [99 * 15, 1500]
    assert scene.asked() == [100, OVERLAP + 1]


def test_what_came_very_late_begins_anew(scene: Scene) -> None:
    first_again = 100 - OVERLAP
    scene.has(counter("a", behind=first_again * 15))
    scene.read(100)
    scene.has(counter("a"))
    assert scene.read(101)["a"][first_again] == first_again * 15
    assert scene.asked() == [100, OVERLAP + 1, 101]


def test_a_new_series_is_read_from_its_beginning(scene: Scene) -> None:
    scene.read(100)
    scene.has(counter("a"), counter("b", born=300))
    found = scene.read(101)
    assert np.isnan(found["b"][:20]).all()
    assert found["b"][20:] == [15.0 * at for at in range(20, 101)]
    assert scene.asked() == [100, OVERLAP + 1, 101]


def test_a_series_that_ends_has_no_more_samples(scene: Scene) -> None:
    scene.has(counter("a"), counter("b"))
    scene.read(100)
    scene.has(counter("a"), counter("b", died=99 * 15))
    found = scene.read(101)
    assert found["b"][:-1] == [15.0 * at for at in range(100)]
    assert np.isnan(found["b"][-1])
    scene.read(150)
    assert np.isnan(scene.read(151)["b"][100:]).all()
    assert scene.asked() == [100, OVERLAP + 1, OVERLAP + 49, OVERLAP + 1]


def test_now_and_then_everything_is_read(scene: Scene) -> None:
    now = 0.0
    scene.past.clock = lambda: now
    scene.read(100)
    now = WHOLE_SECONDS + 1
    scene.read(101)
    assert scene.asked() == [100, 101]


@pytest.mark.parametrize("change", ["query", "start", "step", "points"])
def test_another_stage_begins_anew(scene: Scene, change: str) -> None:
    scene.read(100)
    other = {"query": QUERY, "start": NOW, "step": STEP, "points": 101}
    other |= {
        change: {"query": '{__name__="a"}', "start": NOW + STEP, "step": 2 * STEP, "points": 99}[change]
    }
    found = scene.past.matrix(Prometheus(scene.server.url), **other)  # type: ignore[arg-type]
    assert len(found[0].values) == other["points"]
    assert scene.asked() == [100, other["points"] * (2 if change == "step" else 1) - (change == "step")]


def test_a_failed_request_leaves_what_was_known(scene: Scene) -> None:
    scene.read(100)
    fine, scene.server.reply = scene.server.reply, lambda _path, _form: Answer(b"{}", 422)
    with pytest.raises(QueryRefused):
        scene.read(101)
    scene.server.reply = fine
    scene.asked()
    scene.read(101)
    assert scene.asked() == [OVERLAP + 1]
