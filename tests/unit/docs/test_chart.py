"""The chart's page has every value."""

from docs import chart


def test_the_page_is_up_to_date() -> None:
    assert chart.PAGE.read_text(encoding="utf-8") == chart.page(), "python -m docs.chart writes it"


def test_every_value_says_what_it_is() -> None:
    rows = {row.name: row for row in chart.rows()}
    assert rows["service.autoscaling.maxReplicas"].default == "10"
    assert rows["mesh.routes"].default == "[]"
    assert all(row.meaning.endswith((".", "`")) for row in rows.values())
    bare = {f"{part}.secret" for part in ("service", "mesh")} | {"image", "service.models"}
    assert not bare & rows.keys(), "a heading is no value"
