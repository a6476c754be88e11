"""Which models are served, and since when."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import cast

import pytest

from board.served import read_served, served_query
from common.answers import MARK, Sample
from common.names import Model
from common.prometheus import Prometheus
from tests.unit.rollback.conftest import ARMS

NOW = datetime.now(UTC).replace(microsecond=0)


def sample(mark: str, model: str, version: str, ago: timedelta = timedelta()) -> Sample:
    labels = {MARK: mark, "model": model, "name": "forest", "version": version, "sha256": "ab"}
    return Sample(labels, (NOW - ago).timestamp())


def read(*found: Sample) -> list[tuple[Model, str, datetime | None]]:
    prometheus = cast(Prometheus, type("Answers", (), {"vector": lambda *_: list(found)})())
    return [(one.role, one.model.version, one.since) for one in read_served(prometheus, ARMS)]


@pytest.mark.parametrize(
    ("seen", "since"),
    [
        ([timedelta(hours=3)], timedelta(hours=3)),
        (
            [timedelta(minutes=20), timedelta(minutes=4)],
            timedelta(minutes=20),
        ),  # coarse and fine: the first counts
        ([timedelta(days=14, hours=23, minutes=50)], None),
    ],
)
def test_it_is_served_since_it_was_first_seen(seen: list[timedelta], since: timedelta | None) -> None:
    found = [sample("min", "champion", "1", ago) for ago in seen]
    told = read(sample("serve", "champion", "1"), *found)
    assert told == [(Model.CHAMPION, "1", None if since is None else NOW - since)]


def test_one_that_came_back_is_served_since_the_other_left() -> None:
    hours = timedelta(hours=1)
    assert read(
        sample("serve", "challenger", "2"),
        sample("min 15d:10m", "challenger", "2", 9 * hours),
        sample("min 15d:10m", "challenger", "3", 5 * hours),
        sample("max 15d:10m", "challenger", "3", 2 * hours),
    ) == [(Model.CHALLENGER, "2", NOW - 2 * hours)]


def test_what_is_not_served_now_is_not_told() -> None:
    assert read(sample("min", "challenger", "3", timedelta(hours=1))) == []


def test_a_service_without_versions_tells_none() -> None:
    arms = replace(ARMS, signals=ARMS.signals.model_copy(update={"versions": None}))
    assert served_query(arms) is None
