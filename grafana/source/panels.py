"""Panels with what all of them have: data source, size, description, and why they may be empty."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from grafana_foundation_sdk.builders import (
    bargauge,
    dashboard,
    heatmap,
    prometheus,
    stat,
    statetimeline,
    table,
    timeseries,
)
from grafana_foundation_sdk.builders import common as looks
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import common
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models.heatmap import HeatmapColorMode
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

SOURCE = common.DataSourceRef(type_val="prometheus", uid="${datasource}")
STEP = "15s"
"""The finest step: an outage of two minutes is a gap."""
RATE_STEP = "1m"
"""With it $__rate_interval holds four scrapes, be they 15 s apart or a minute."""
NO_JOBS = "No data: is the exporter scraped, and does a job match the variables and filters above?"
BLANK = "-"
GREY = "#6C7A89"

AnyPanel = Builder[model.Panel]
Panel = TypeVar(
    "Panel",
    bargauge.Panel,
    heatmap.Panel,
    stat.Panel,
    statetimeline.Panel,
    table.Panel,
    timeseries.Panel,
)


@dataclass(frozen=True)
class Text:
    """What a panel says of itself.

    Args:
        title: a few words, short enough for the width of the panel.
        about: what it shows, and what to do when that is bad.
        empty: why nothing may be there; on a panel of numbers, in two or three words.
    """

    title: str
    about: str
    empty: str = NO_JOBS


def over_time(expression: str, legend: str) -> prometheus.Dataquery:
    """A query for lines."""
    return _query(expression).range().legend_format(legend)


def now(expression: str, legend: str = "") -> prometheus.Dataquery:
    """A query for numbers: what holds at the end of the time shown."""
    return _query(expression).instant().legend_format(legend)


def _query(expression: str) -> prometheus.Dataquery:
    step = RATE_STEP if "$__rate_interval" in expression else STEP
    return prometheus.Dataquery().expr(expression).datasource(SOURCE).interval(step)


def _dressed(panel: Panel, text: Text, unit: str, size: tuple[int, int]) -> Panel:
    panel.title(text.title).description(text.about)
    panel.datasource(SOURCE).unit(unit).span(size[0]).height(size[1])
    return panel


def number(text: Text, unit: str, size: tuple[int, int], *queries: prometheus.Dataquery) -> stat.Panel:
    """A big number, or several."""
    panel = _dressed(stat.Panel(), text, unit, size).targets(list(queries))
    # Grafana's own thresholds would make any number over 80 red.
    panel.color_scheme(fixed("text")).graph_mode(common.BigValueGraphMode.NONE)
    return panel.reduce_options(_last()).mappings([missing(text.empty)])


def badge(
    text: Text,
    unit: str,
    size: tuple[int, int],
    query: prometheus.Dataquery,
    mappings: Sequence[model.ValueMapping] = (),
) -> stat.Panel:
    """The same on a coloured ground. Grey, with the reason, if there is no number."""
    panel = number(text, unit, size, query).color_mode(common.BigValueColorMode.BACKGROUND)
    return panel.color_scheme(by_limits()).mappings([*mappings, missing(text.empty)])


def word(
    text: Text,
    size: tuple[int, int],
    expression: str,
    label: str,
    mappings: Sequence[model.ValueMapping] = (),
) -> stat.Panel:
    """A label of a single series, in big letters.

    Args:
        text: what the panel says of itself.
        size: width and height.
        expression: what it asks.
        label: the one that is shown.
        mappings: patterns of its values to a coloured ground.
    """
    panel = badge(text, "string", size, _query(expression).instant().format(PromQueryFormat.TABLE), mappings)
    if not mappings:
        panel.color_mode(common.BigValueColorMode.NONE)
    return panel.color_scheme(fixed("text")).reduce_options(_last().fields(f"/^{label}$/"))


def bars(text: Text, unit: str, size: tuple[int, int], *queries: prometheus.Dataquery) -> bargauge.Panel:
    """Horizontal bars, the value beside each."""
    panel = _dressed(bargauge.Panel(), text, unit, size).targets(list(queries)).reduce_options(_last())
    panel.orientation(common.VizOrientation.HORIZONTAL).display_mode(common.BarGaugeDisplayMode.GRADIENT)
    panel.name_placement(common.BarGaugeNamePlacement.LEFT).color_scheme(fixed("blue"))
    panel.text(looks.VizTextDisplayOptions().title_size(12).value_size(14))
    # Else a single bar is as high as the panel.
    panel.sizing(common.BarGaugeSizing.MANUAL).min_viz_height(16).max_viz_height(32)
    return panel.mappings([missing(text.empty)]).min(0)


def lines(text: Text, unit: str, size: tuple[int, int], *queries: prometheus.Dataquery) -> timeseries.Panel:
    """Values over time."""
    panel = _dressed(timeseries.Panel(), text, unit, size).targets(list(queries)).min(0)
    panel.no_value(text.empty).line_width(1).fill_opacity(8).show_points(common.VisibilityMode.AUTO)
    panel.color_scheme(dashboard.FieldColor().mode(model.FieldColorModeId.PALETTE_CLASSIC))
    panel.tooltip(
        looks.VizTooltipOptions().mode(common.TooltipDisplayMode.MULTI).sort(common.SortOrder.DESCENDING)
    )
    return panel.legend(legend())


def stacked(text: Text, unit: str, size: tuple[int, int], *queries: prometheus.Dataquery) -> timeseries.Panel:
    """Values over time that make up a sum."""
    panel = lines(text, unit, size, *queries).fill_opacity(60).line_width(0)
    return panel.stacking(looks.StackingConfig().mode(common.StackingMode.NORMAL))


def timeline(
    text: Text, mappings: Sequence[model.ValueMapping], size: tuple[int, int], *queries: prometheus.Dataquery
) -> statetimeline.Panel:
    """Who was in which state when. The queries always have an answer: see `queries.otherwise`."""
    panel = _dressed(statetimeline.Panel(), text, "none", size).targets(list(queries))
    panel.mappings(list(mappings)).merge_values(merge_values=True).show_value(common.VisibilityMode.AUTO)
    # Not by thresholds: Grafana would then show those instead of the words of the mappings.
    panel.color_scheme(fixed("text")).row_height(0.9).span_nulls(span_nulls=False)
    return panel.legend(legend()).per_page(20)


def warmth(text: Text, unit: str, size: tuple[int, int], buckets: str) -> heatmap.Panel:
    """How a histogram moves; `buckets` are rates by ``le``."""
    query = over_time(buckets, "{{le}}").format(PromQueryFormat.HEATMAP)
    panel = _dressed(heatmap.Panel(), text, "short", size).with_target(query).calculate(calculate=False)
    panel.no_value(text.empty)
    colors = heatmap.HeatmapColorOptions().mode(HeatmapColorMode.SCHEME).scheme("Blues").exponent(0.5)
    panel.color(colors.steps(64))
    panel.cell_values(heatmap.CellValues().unit("reqps").decimals(2))
    return panel.y_axis(heatmap.YAxisConfig().unit(unit)).show_legend()


@dataclass(frozen=True)
class Column:
    """One column of a table.

    Args:
        field: the label or ``Value #A`` that it shows.
        title: its head.
        unit: of a number.
        mappings: values to words and colours; they colour the cell.
        link: what a click opens.
        gauge: a bar from 0 to 1.
        width: in pixels.
    """

    field: str
    title: str
    unit: str = ""
    mappings: Sequence[model.ValueMapping] = ()
    link: dashboard.DashboardLink | None = None
    gauge: bool = False
    width: int = 0

    def properties(self) -> list[model.DynamicConfigValue]:
        """What Grafana is told of it."""
        settings: dict[str, object] = {}
        if not self.unit:
            settings["custom.wrapText"] = True
        if self.unit:
            settings["unit"] = self.unit
            # Its icon would leave no space for the title, and numbers are rarely filtered.
            settings["custom.filterable"] = False
        if self.mappings:
            settings["mappings"] = [*self.mappings, missing(BLANK)]
            settings["custom.cellOptions"] = common.TableColoredBackgroundCellOptions()
            # They are words, also where the values are numbers.
            settings["custom.align"] = "left"
        if self.link:
            settings["links"] = [self.link.build()]
        if self.gauge:
            mode = common.BarGaugeDisplayMode.BASIC
            settings |= {"custom.cellOptions": common.TableBarGaugeCellOptions(mode=mode), "min": 0, "max": 1}
            settings["color"] = fixed("blue").build()
        if self.width:
            settings["custom.width"] = self.width
        return [model.DynamicConfigValue(key, value) for key, value in settings.items()]


def rows(
    text: Text,
    columns: Sequence[Column],
    size: tuple[int, int],
    *expressions: str,
    hide: Sequence[str] = (),
    needed: Sequence[str] = (),
    sort: Sequence[str] = (),
    rank: str = "",
) -> table.Panel:
    """A table: the rows of all queries with equal labels become one; labels that no column names come last.

    Args:
        text: what it says of itself.
        columns: those that have a title, in their order.
        size: width and height.
        expressions: what it asks; the answer of the first is ``Value #A``, of a single one ``Value``.
        hide: fields that are not shown.
        needed: fields that are not shown, but that links need.
        sort: titles of the columns by which rows are sorted; with a minus sign before it, the largest first.
        rank: a field by which rows are sorted, instead; it is not shown.
    """
    queries = [_query(one).instant().format(PromQueryFormat.TABLE) for one in expressions]
    panel = _dressed(table.Panel(), text, "short", size).targets([*queries]).no_value(text.empty)
    if len(queries) > 1:
        panel.with_transformation(model.DataTransformerConfig(id_val="merge", options={}))
    shown = {column.field: column.title for column in columns}
    # So it is called where the other queries have no answer.
    if "Value #A" in shown:
        shown["Value"] = shown["Value #A"]
    if rank:
        order = {"fields": {}, "sort": [{"field": rank}]}
        panel.with_transformation(model.DataTransformerConfig(id_val="sortBy", options=order))
    hidden = [one for one in ("Time", "Value", "__name__", rank, *hide) if one and one not in shown]
    organize = {
        "excludeByName": dict.fromkeys(hidden, True),
        "indexByName": {field: place for place, field in enumerate(shown)},
        "renameByName": shown,
    }
    panel.with_transformation(model.DataTransformerConfig(id_val="organize", options=organize))
    # The value of the row that says why there is no other, see `queries.otherwise`.
    panel.mappings([missing(BLANK)])
    # The reason why a table is empty is none why a cell is.
    panel.override_by_regexp("/.*/", [model.DynamicConfigValue("noValue", BLANK)])
    for column in columns:
        if properties := column.properties():
            panel.override_by_name(column.title, properties)
    for one in needed:
        panel.override_by_name(one, [model.DynamicConfigValue("custom.hidden", value=True)])
    panel.sort_by(
        [
            looks.TableSortByFieldState()
            .display_name(title.removeprefix("-"))
            .desc(desc=title.startswith("-"))
            for title in sort
        ]
    )
    return panel.filterable(filterable=True)


def words(texts: Mapping[str, tuple[str, str]]) -> list[model.ValueMapping]:
    """Values to the word and the colour that they are shown as."""
    results = {
        value: model.ValueMappingResult(text=text, color=color, index=index)
        for index, (value, (text, color)) in enumerate(texts.items())
    }
    return [model.ValueMap(options=results)]


def patterns(texts: Mapping[str, str]) -> list[model.ValueMapping]:
    """Regular expressions of texts to the colour that they have. The first that matches counts."""
    return [
        model.RegexMap(
            options=model.DashboardRegexMapOptions(
                pattern=pattern, result=model.ValueMappingResult(color=color, index=index)
            )
        )
        for index, (pattern, color) in enumerate(texts.items())
    ]


def missing(text: str) -> model.ValueMapping:
    """What stands for no number: a text in grey, which is neither good nor bad."""
    result = model.ValueMappingResult(text=text, color=GREY, index=99)
    match = model.SpecialValueMatch.NULL_AND_NAN
    return model.SpecialValueMap(options=model.DashboardSpecialValueMapOptions(match=match, result=result))


def limits(*steps: tuple[float, str], base: str = "green") -> dashboard.ThresholdsConfig:
    """Colours from a value on."""
    colors = [
        model.Threshold(value=None, color=base),
        *(model.Threshold(value, color) for value, color in steps),
    ]
    return dashboard.ThresholdsConfig().mode(model.ThresholdsMode.ABSOLUTE).steps(colors)


def colored(panel: Panel, colors: Mapping[str, str]) -> Panel:
    """Series by their legend, each in a colour of its own, and in words: without underscores."""
    return named(panel, {legend: (legend.replace("_", " "), color) for legend, color in colors.items()})


def named(panel: Panel, texts: Mapping[str, tuple[str, str]]) -> Panel:
    """Series by their legend, each with a word for it and a colour of its own."""
    for legend, (text, color) in texts.items():
        properties = {"displayName": text, "color": fixed(color).build()}
        panel.override_by_name(legend, [model.DynamicConfigValue(*one) for one in properties.items()])
    return panel


def fixed(color: str) -> dashboard.FieldColor:
    """One colour, but where a mapping has another."""
    return dashboard.FieldColor().mode(model.FieldColorModeId.FIXED).fixed_color(color)


def by_limits() -> dashboard.FieldColor:
    """Colours by the limits that the panel has."""
    return dashboard.FieldColor().mode(model.FieldColorModeId.THRESHOLDS)


def dashed(limit: float) -> tuple[dashboard.ThresholdsConfig, looks.GraphThresholdsStyleConfig]:
    """A dashed line at a limit."""
    style = looks.GraphThresholdsStyleConfig().mode(common.GraphThresholdsStyleMode.DASHED)
    return limits((limit, "red"), base="transparent"), style


def _last() -> looks.ReduceDataOptions:
    return looks.ReduceDataOptions().calcs(["lastNotNull"]).values(values=False)


def legend(*numbers: str) -> looks.VizLegendOptions:
    """Below a panel, each series with these calculations of Grafana, such as sum."""
    below = looks.VizLegendOptions().show_legend(show_legend=True).calcs([*numbers])
    return below.display_mode(common.LegendDisplayMode.LIST).placement(common.LegendPlacement.BOTTOM)
