"""Who may know whom: the import graph of the rooms, as docs/decisions/0024-rooms-by-question.md has it."""

import ast
from functools import cache
from pathlib import Path

import pytest

from docs.rooms import imported

REPOSITORY = Path(__file__).parents[2]
MAY_IMPORT: dict[str, set[str]] = {
    "common": set(),
    "deploy": set(),
    "docs": {"analysis", "board", "common", "deploy", "flags", "rollback", "service", "stack"},
    "flags": {"common", "rollback"},
    "rollback": {"common", "flags"},
    "service": {"common", "flags"},
    "analysis": {"common"},
    "board": {"common", "flags", "rollback"},
    "monitoring": {"common", "rollback"},
    "stack": {"common"},
    "launcher": {"stack"},
    "drills": {"common", "flags", "service", "stack"},
    "bench": {"analysis", "common", "drills", "flags", "rollback", "service", "stack"},
}
PRODUCT = ("common", "flags", "rollback", "service", "analysis", "board", "monitoring", "deploy")
ONLY_DOOR = {
    "UnleashClient": {"service/assignment/assigner.py", "service/assignment/sdk.py"},
    "apprise": {"rollback/notify.py"},
    "duckdb": {"analysis/log/in_duckdb.py", "bench/analysis_log.py"},
    "py4j": {"analysis/log/in_spark.py"},
    "pyspark": {"analysis/log/in_spark.py"},
    "onnxruntime": {"service/models/onnx_model.py", "bench/large_models.py"},
    "mlflow": {"flags/mlflow_registry.py", "bench/model_servers/start.py"},
    "opentelemetry": {"service/spans.py"},
    "limits": {"service/api/access.py"},
    "playwright": {"drills/pictures.py", "drills/unleash_ui.py"},
    "PIL": {"drills/pictures.py"},
    "skl2onnx": {"service/export/boosters.py", "service/export/convert.py"},
    "sklearn": {
        "service/export/pipeline.py",
        "service/export/several.py",
        "service/export/convert.py",
        "service/export/unwrap.py",
        "service/train.py",
        "stack/traffic.py",
        "drills/demo.py",
        "drills/faults.py",
        "drills/rollback.py",
        "drills/story/models.py",
        "bench/large_models.py",
        "bench/model_zoo.py",
        "bench/peers.py",
        "bench/model_servers/start.py",
    },
    "supervisor": {"stack/processes/supervisor.py"},
    "tea_tasting": {
        "analysis/abtest/measure.py",
        "analysis/segments/figures.py",
        "analysis/statistics/means.py",
    },
    "grafana_foundation_sdk": {
        f"monitoring/dashboard/{name}.py" for name in ("annotations", "build", "panels")
    },
}


@cache
def imports(file: Path) -> tuple[str, ...]:
    return tuple(imported(file))


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
    assert knowing == {"admin.py", "parts.py", "rollout.py", "nightly.py"}


def test_only_forecast_and_evidence_of_a_plan_know_what_guardrails_can_see() -> None:
    knowing = {
        file.name for file in files("flags") if any(name.startswith("rollback") for name in imports(file))
    }
    assert knowing == {"forecast.py", "evidence.py"}


def test_statistics_know_neither_engines_nor_files() -> None:
    known = {
        (file.name, name.partition(".")[0])
        for file in sorted((REPOSITORY / "analysis/statistics").glob("*.py"))
        for name in imports(file)
    }
    assert not {each for each in known if each[1] in {"click", "duckdb", "ibis", "pathlib", "rich", "yaml"}}


def test_faults_are_injected_only_where_a_setting_names_a_drill_file() -> None:
    """No module of the product loads them: the challenger's process does, when it may."""
    module = "service.challenger.faults"
    knowing = {file for room in PRODUCT for file in files(room) if module in imports(file)}
    assert {str(file.relative_to(REPOSITORY)) for file in knowing} == {"service/challenger/worker.py"}
    at_the_top = ast.parse((REPOSITORY / "service/challenger/worker.py").read_text(encoding="utf-8")).body
    assert all(node.module != module for node in at_the_top if isinstance(node, ast.ImportFrom))


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


def test_no_test_imports_from_another() -> None:
    """What several need is a fixture or a module that is no test, so that a test can go or change freely."""
    borrowing = {
        (file.name, name)
        for file in files("tests")
        for name in imports(file)
        if name.startswith("tests.") and ".test_" in name
    }
    assert not borrowing
