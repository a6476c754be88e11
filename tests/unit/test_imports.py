"""Who may know whom: the import graph of the rooms, as docs/decisions/0001-rooms.md has it."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
MAY_IMPORT: dict[str, set[str]] = {
    "common": set(),
    "deploy": set(),
    "docs": {"analysis", "board", "common", "deploy", "flags", "rollback", "service", "stack"},
    "flags": {"common"},
    "rollback": {"common", "flags"},
    "service": {"common", "flags"},
    "analysis": {"common"},
    "board": {"common", "flags", "rollback"},
    "monitoring": {"common"},
    "stack": {"common"},
    "drills": {"common", "flags", "service", "stack"},
    "bench": {"analysis", "common", "drills", "flags", "rollback", "service", "stack"},
}
ONLY_DOOR = {
    "UnleashClient": {"service/assignment.py", "service/flag_cache.py"},
    "apprise": {"rollback/notify.py"},
    "duckdb": {"analysis/log/in_duckdb.py", "bench/analysis_log.py"},
    "py4j": {"analysis/log/in_spark.py"},
    "pyspark": {"analysis/log/in_spark.py"},
    "onnxruntime": {"service/model.py"},
    "limits": {"service/rate.py"},
    "playwright": {"drills/pictures.py", "drills/unleash_ui.py"},
    "PIL": {"drills/pictures.py"},
    "skl2onnx": {"service/onnx_graph.py"},
    "sklearn": {
        "service/export.py",
        "service/threshold.py",
        "service/train.py",
        "stack/traffic.py",
        "drills/__main__.py",
        "drills/story/command.py",
        "bench/peers.py",
    },
    "supervisor": {"stack/supervisor.py"},
    "tea_tasting": {
        "analysis/measures/experiment.py",
        "analysis/reports/segment_figures.py",
        "analysis/statistics/cuped.py",
        "analysis/statistics/means.py",
    },
    "grafana_foundation_sdk": {
        f"monitoring/dashboard/{name}.py" for name in ("annotations", "build", "panels")
    },
}


@cache
def imports(file: Path) -> tuple[str, ...]:
    return tuple(_imports(file))


def _imports(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def files(room: str) -> list[Path]:
    found = sorted((REPOSITORY / room).rglob("*.py"))
    assert found, f"no code in {room}"
    return found


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_a_room_knows_only_those_it_may(room: str) -> None:
    known = {name.partition(".")[0] for file in files(room) for name in imports(file)}
    assert (known & {*MAY_IMPORT, "tests"}) - {room} <= MAY_IMPORT[room]


def test_only_the_admin_routes_of_the_service_know_flags() -> None:
    knowing = {
        file.name for file in files("service") if any(name.startswith("flags") for name in imports(file))
    }
    assert knowing == {"admin.py", "container.py", "rollout.py"}


def test_statistics_know_neither_engines_nor_files() -> None:
    known = {
        (file.name, name.partition(".")[0])
        for file in sorted((REPOSITORY / "analysis/statistics").glob("*.py"))
        for name in imports(file)
    }
    assert not {each for each in known if each[1] in {"click", "duckdb", "ibis", "pathlib", "rich", "yaml"}}


@pytest.mark.parametrize("library", ONLY_DOOR)
def test_each_outside_library_has_one_door(library: str) -> None:
    knowing = {
        str(file.relative_to(REPOSITORY))
        for room in MAY_IMPORT
        for file in files(room)
        if any(name.partition(".")[0] == library for name in imports(file))
    }
    assert knowing <= ONLY_DOOR[library]
    assert knowing
