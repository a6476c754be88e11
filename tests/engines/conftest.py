"""A log in DuckDB, and the same log in another engine: Spark from the same files, ClickHouse from tables."""

from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from analysis.log import Log, open_log
from tests.engines.clickhouse import fill

numbers = count()
Opened = Callable[[Path], tuple[Log, Log]]


@pytest.fixture(
    scope="module",
    params=[
        pytest.param("spark", marks=pytest.mark.spark),
        pytest.param("clickhouse", marks=pytest.mark.clickhouse),
    ],
)
def opened(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Opened]:
    """Opens the log in a folder in DuckDB and in the other engine, which ends with the module."""

    def clickhouse_folder() -> Path:
        folder: Path = tmp_path_factory.getbasetemp() / "clickhouse"  # a process can have one
        folder.mkdir(exist_ok=True)
        return folder

    ends: list[Callable[[], Any]] = []

    def both(folder: Path) -> tuple[Log, Log]:
        log = open_log(str(folder))
        if request.param == "spark":
            other = open_log(str(folder), engine="spark")
            ends.append(other.backend._session.stop)
        else:
            schema = f"canario_{next(numbers)}"
            other = open_log(schema, engine=fill(log, clickhouse_folder(), schema))
            ends.append(other.backend.con.close)
        return log, other

    yield both
    for end in ends:
        end()
