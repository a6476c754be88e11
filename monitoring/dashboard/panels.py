"""Panels as this dashboard wants them: each with a question as its description, a unit, and a legend."""

from collections.abc import Mapping, Sequence
from typing import Final

from grafana_foundation_sdk.builders import common as common_builders
from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.builders import prometheus, stat, statetimeline, table, timeseries
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import common
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

SOURCE: Final = models.DataSourceRef(type_val="prometheus", uid="${datasource}")
PLACE: Final = {1: 24, 2: 12, 3: 8, 4: 6, 6: 4}  # panels in a line, and the columns of each; Grafana has 24
# Colours of Grafana's own palette, which has a light and a dark shade of each.
COLOURS: Final = {"champion": "blue", "challenger": "orange", "wanted": "purple"}
GOOD, WARN, BAD, PLAIN = "green", "yellow", "red", "text"

Panels = Sequence[Builder[models.Panel]]
Steps = tuple[tuple[float | None, str], ...]


def query(
    expression: str, legend: str = "", *, ref: str = "A", instant: bool = False
) -> prometheus.Dataquery:
    """A query for a line, or with `instant` for the number of now."""
    made = (
        prometheus.Dataquery()
        .datasource(SOURCE)
        .expr(expression)
        .ref_id(ref)
        .legend_format(legend or "__auto")
    )
    return made.instant() if instant else made.range()


def lines(
    title: str, why: str, queries: Mapping[str, str], *, unit: str, per_line: int = 2
) -> timeseries.Panel:
    """Lines over time; `queries` has legends, such as `{{model}}`, and their PromQL."""
    panel = (
        timeseries.Panel()
        .title(title)
        .description(why)
        .datasource(SOURCE)
        .unit(unit)
        .min(0)
        .height(8)
        .span(PLACE[per_line])
        .line_width(2)
        .fill_opacity(8)
        .show_points(common.VisibilityMode.NEVER)
        .legend(_legend())
        .tooltip(_tooltip())
        .color_scheme(builders.FieldColor().mode(models.FieldColorModeId.PALETTE_CLASSIC_BY_NAME))
    )
    for number, (legend, expression) in enumerate(queries.items()):
        panel = panel.with_target(query(expression, legend, ref=chr(ord("A") + number)))
    for name, colour in COLOURS.items():
        fixed = {"mode": "fixed", "fixedColor": colour}
        panel = panel.override_by_name(name, [models.DynamicConfigValue(id_val="color", value=fixed)])
    return panel


def with_limit(panel: timeseries.Panel, steps: Steps) -> timeseries.Panel:
    """The panel with a dashed line at each threshold."""
    style = common_builders.GraphThresholdsStyleConfig().mode(common.GraphThresholdsStyleMode.DASHED)
    return panel.thresholds(thresholds(steps)).thresholds_style(style)


def stacked(panel: timeseries.Panel) -> timeseries.Panel:
    """The panel with its lines on top of each other."""
    stacking = common_builders.StackingConfig().mode(common.StackingMode.NORMAL).group("A")
    return panel.stacking(stacking).fill_opacity(40)


def number(
    title: str, why: str, expression: str, *, unit: str, steps: Steps = ((None, PLAIN),)
) -> stat.Panel:
    """One number, as it is now."""
    return (
        stat.Panel()
        .title(title)
        .description(why)
        .datasource(SOURCE)
        .unit(unit)
        .no_value("-")
        .height(4)
        .span(PLACE[6])
        .graph_mode(common.BigValueGraphMode.NONE)
        .color_mode(common.BigValueColorMode.VALUE)
        .reduce_options(common_builders.ReduceDataOptions().calcs(["lastNotNull"]))
        .thresholds(thresholds(steps))
        .with_target(query(expression, instant=True))
    )


def states(
    title: str, why: str, expression: str, legend: str, names: Mapping[int, tuple[str, str]]
) -> statetimeline.Panel:
    """A band for each series that shows which of the named states it was in."""
    return (
        statetimeline.Panel()
        .title(title)
        .description(why)
        .datasource(SOURCE)
        .unit("short")
        .height(8)
        .span(PLACE[2])
        .line_width(0)
        .fill_opacity(70)
        .show_value(common.VisibilityMode.NEVER)
        .legend(_legend())
        .tooltip(_tooltip())
        .mappings([mapping(names)])
        .with_target(query(expression, legend))
    )


def rows_of_now(
    title: str,
    why: str,
    queries: Mapping[str, str],
    *,
    per_line: int = 2,
    columns: Mapping[str, str | Mapping[int, tuple[str, str]]] | None = None,
) -> table.Panel:
    """A table: a line for each set of labels, a column for each query, named by its key.

    `columns` has the unit of a column, or its numbers as words in colours.
    """
    panel = (
        table.Panel()
        .title(title)
        .description(why)
        .datasource(SOURCE)
        .unit("short")
        .height(8)
        .span(PLACE[per_line])
        .no_value("-")
        .align(common.FieldTextAlignment.AUTO)
        .inspect(False)
        .with_transformation(models.DataTransformerConfig(id_val="merge", options={}))
        .with_transformation(
            models.DataTransformerConfig(
                id_val="organize",
                options={
                    "excludeByName": {"Time": True, "job": True, "instance": True},
                    "renameByName": {f"Value #{_ref(number)}": name for number, name in enumerate(queries)}
                    | {"Value": next(iter(queries))},
                },
            )
        )
    )
    for place, expression in enumerate(queries.values()):
        target = query(expression, ref=_ref(place), instant=True).format(PromQueryFormat.TABLE)
        panel = panel.with_target(target)
    for name, shown in (columns or {}).items():
        what, value = ("unit", shown) if isinstance(shown, str) else ("mappings", [mapping(shown)])
        panel = panel.override_by_name(name, [models.DynamicConfigValue(id_val=what, value=value)])
    return panel


def mapping(names: Mapping[int, tuple[str, str]]) -> models.ValueMap:
    """Numbers as words in colours."""
    options = {
        str(value): models.ValueMappingResult(text=text, color=colour, index=place)
        for place, (value, (text, colour)) in enumerate(names.items())
    }
    return models.ValueMap(options=options)


def thresholds(steps: Steps) -> builders.ThresholdsConfig:
    """Colours from each value on; the first value is None, for all that lies below."""
    made = [models.Threshold(value=value, color=colour) for value, colour in steps]
    return builders.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps(made)


def _ref(place: int) -> str:
    return chr(ord("A") + place)


def _legend() -> common_builders.VizLegendOptions:
    return (
        common_builders.VizLegendOptions()
        .display_mode(common.LegendDisplayMode.LIST)
        .placement(common.LegendPlacement.BOTTOM)
        .show_legend(True)
    )


def _tooltip() -> common_builders.VizTooltipOptions:
    return (
        common_builders.VizTooltipOptions()
        .mode(common.TooltipDisplayMode.MULTI)
        .sort(common.SortOrder.DESCENDING)
    )
