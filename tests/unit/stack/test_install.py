"""The page of `install`: what it counts, and what the models are made from."""

import pytest

from stack.install import MODEL_SOURCES, install_step_count
from stack.paths import REPOSITORY
from stack.site import Settings, with_needs


def test_the_models_are_trained_anew_when_what_makes_them_changes() -> None:
    assert [source for source in MODEL_SOURCES if not (REPOSITORY / source).is_file()] == []
    exporting = {f"service/export/{file.name}" for file in (REPOSITORY / "service" / "export").glob("*.py")}
    assert exporting <= set(MODEL_SOURCES)


@pytest.mark.parametrize(
    ("only", "count"), [(["postgres"], 1), (["unleash"], 2), (["service", "prometheus"], 3)]
)
def test_steps_are_counted(only: list[str], count: int) -> None:
    assert install_step_count(Settings(programs=with_needs(only))) == count


def test_what_makes_spans_is_installed_where_a_variable_asks_for_them() -> None:
    asked = {"service": {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}}
    assert install_step_count(Settings(programs=("service",), environment=asked)) == 3
    assert install_step_count(Settings(programs=("service",))) == 2
