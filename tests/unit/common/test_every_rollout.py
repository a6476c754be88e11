"""Every rollout at once: none holds up another, and files come and go."""

import threading
from collections.abc import Iterator, Mapping
from datetime import timedelta

import pytest
from prometheus_client import CollectorRegistry, Counter, generate_latest

from common.config import ConfigError
from common.every_rollout import EveryRollout, LabelledRegistry, Undisturbed, phase

SOON = 10.0


class Work:
    """Counts its runs; hangs or raises as it is told."""

    def __init__(self, name: str, said: str) -> None:
        self.registry: CollectorRegistry | None = LabelledRegistry({"rollout": name})
        self._runs = Counter("runs", "Runs.", registry=self.registry)
        self.said, self.ran, self.closed, self.release = (
            said,
            threading.Semaphore(0),
            False,
            threading.Event(),
        )

    def run(self) -> None:
        self._runs.inc()
        self.ran.release()
        if self.said == "hangs":
            self.release.wait(SOON)
        if self.said == "raises":
            raise RuntimeError("a bug")

    def close(self) -> None:
        self.closed = True
        self.release.set()

    def ran_times(self, times: int) -> bool:
        return all(self.ran.acquire(timeout=SOON) for _ in range(times))


class Scene:
    """A folder that the test writes."""

    def __init__(self) -> None:
        self.files: dict[str, str | ConfigError] = {}
        self.works: dict[str, list[Work]] = {}
        self.every = EveryRollout[str](
            self.read, self.begin, timedelta(milliseconds=5), stamp=lambda: dict(self.files), broken="broken"
        )

    def read(self) -> Mapping[str, str | ConfigError]:
        return dict(self.files)

    def begin(self, name: str, said: str) -> Work:
        work = Work(name, said)
        self.works.setdefault(name, []).append(work)
        return work

    def has(self, **files: str | ConfigError) -> None:
        self.files = files
        self.every.look()

    def metrics(self) -> str:
        registry = CollectorRegistry()
        registry.register(self.every)
        return generate_latest(registry).decode()


@pytest.fixture
def folder() -> Iterator[Scene]:
    made = Scene()
    yield made
    made.every.close()


def test_one_that_hangs_or_raises_holds_up_no_other(folder: Scene) -> None:
    folder.has(a="hangs", b="raises", c="fine")
    assert folder.works["c"][0].ran_times(5)
    assert folder.works["b"][0].ran_times(5)
    assert folder.works["a"][0].ran_times(1)
    assert not folder.works["a"][0].ran.acquire(blocking=False)


def test_files_are_picked_up_changed_and_dropped(folder: Scene) -> None:
    folder.has(a="fine")
    folder.has(a="fine", b="fine")
    assert folder.works["b"][0].ran_times(1)
    folder.has(a="changed", b="fine")
    old, new = folder.works["a"]
    assert old.closed
    assert new.ran_times(1)
    assert len(folder.works["b"]) == 1
    folder.has(b="fine")
    assert new.closed


def test_a_file_that_breaks_is_told_and_what_it_said_goes_on(folder: Scene) -> None:
    folder.has(a="fine", b=ConfigError("b:1: no"))
    assert 'broken{rollout="b"} 1.0' in folder.metrics()
    assert 'broken{rollout="a"} 0.0' in folder.metrics()
    folder.has(a=ConfigError("a:1: no"), b="fine")
    (work,) = folder.works["a"]
    assert not work.closed
    assert work.ran_times(2)
    assert 'broken{rollout="a"} 1.0' in folder.metrics()
    folder.has(b="fine")
    assert 'rollout="a"' not in folder.metrics()


def test_the_metrics_of_all_are_one_family(folder: Scene) -> None:
    folder.has(a="fine", b="fine")
    assert all(work.ran_times(1) for (work,) in folder.works.values())
    told = folder.metrics()
    assert told.count("# TYPE runs_total counter") == 1
    assert 'runs_total{rollout="a"}' in told
    assert 'runs_total{rollout="b"}' in told


def test_a_thread_that_died_is_begun_again(folder: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    dead = threading.Event()

    def die(_self: Work) -> None:
        dead.set()
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(threading, "excepthook", lambda _: None)
        patched.setattr(Work, "run", die)
        folder.has(a="fine")
        assert dead.wait(SOON)
        for thread in [each for each in threading.enumerate() if each.name == "rollout a"]:
            thread.join(SOON)
    folder.every.look()
    assert folder.works["a"][0].ran_times(2)


def test_the_end_waits_for_what_must_not_be_disturbed() -> None:
    undisturbed, begun, go = Undisturbed(), threading.Event(), threading.Event()

    def roll_back() -> None:
        with undisturbed.held():
            begun.set()
            go.wait(SOON)

    thread = threading.Thread(target=roll_back)
    thread.start()
    assert begun.wait(SOON)
    assert not undisturbed.wait(0.01)
    go.set()
    assert undisturbed.wait(SOON)
    thread.join(SOON)


def test_runs_of_many_are_spread_over_the_period() -> None:
    tenths = [int(10 * phase(f"shop-{number:03}")) for number in range(100)]
    assert set(tenths) == set(range(10))
    assert max(map(tenths.count, tenths)) <= 20
