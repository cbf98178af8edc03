"""Rules about what people see: no false colour, nothing cut off, trouble first, no panel without a word."""

import re
from collections.abc import Iterator

import promql_parser as promql

from tests.grafana.dashboards import Dashboard, Panel
from tests.grafana.linter import Finding, Rule, inner_query, metric, parsed, selectors

COLUMN, AROUND = 39.83, 82
"""Pixels of a grid column at 1280 with the menu docked; of a title's panel that are not for its text."""
TOLERANCE = 0.5
PADDING, FILTER, SORTED, UNSET = 12, 21, 22, 150
"""Pixels of a column's head that are not for its text; the least width of a column that has none set."""
# Measured in Grafana: pixels of characters of titles and heads.
_WIDTHS = {
    "iIjl'.,|": 4.0,
    " frt": 4.8,
    "s": 7.4,
    "ckvxyz": 8.0,
    "FL": 8.2,
    "ABCDGHKNOPQRSTUVXYZ": 9.8,
    "mwMW": 12.0,
}
_OTHERS = 8.5
BAR_TEXT = {"titleSize": 12, "valueSize": 14}
GREY = range(0x50, 0xB0)
"""Legible on a dark and on a light ground."""
_TINT = 48

_COLOURED = frozenset({"stat", "gauge"})
_NEVER_EMPTY = frozenset({"state-timeline", "status-history", "table"})
_TIMELINES = frozenset({"state-timeline", "status-history"})
_RANKED = frozenset({"table", "bargauge"})
# Their rows are the fields of one thing, in the order of the columns.
_TURNED = frozenset({"reduce", "rowsToFields", "transpose"})
_SORTS = re.compile(r"\s*(sort\w*|topk|bottomk)\b")
_HEX = re.compile(r"#(..)(..)(..)")
_SET, _COMPARED = frozenset({"or", "and", "unless"}), frozenset({"==", "!=", "<", ">", "<=", ">="})


def heatmap_steps(dashboard: Dashboard) -> Iterator[Finding]:
    for panel in dashboard.panels:
        if panel.type == "heatmap" and panel.options.get("color", {}).get("steps", 0) < 2:
            yield Finding("has no steps of colour, so it shows nothing", panel.title)


def missing_data(dashboard: Dashboard) -> Iterator[Finding]:
    """What is missing has a word and is grey; `noValue` has the colour of the lowest threshold."""
    for panel in dashboard.shown:
        if panel.type in _COLOURED | _TIMELINES and panel.defaults.get("noValue"):
            yield Finding("has noValue, which has the colour of a value", panel.title)
        if panel.type in _COLOURED:
            results = panel.special("null+nan")
            if not results:
                yield Finding("has no mapping of null and NaN", panel.title)
            for result in results:
                if not str(result.get("text", "")).strip():
                    yield Finding("a mapping of null and NaN without text", panel.title)
                if not _is_grey(str(result.get("color", ""))):
                    yield Finding(f"missing data has the colour {result.get('color')}", panel.title)


def _is_grey(color: str) -> bool:
    parts = _HEX.fullmatch(color)
    if parts is None:
        return False
    red_green_blue = [int(part, 16) for part in parts.groups()]
    return max(red_green_blue) - min(red_green_blue) <= _TINT and all(one in GREY for one in red_green_blue)


def titles_fit(dashboard: Dashboard) -> Iterator[Finding]:
    for panel in dashboard.panels:
        room = panel.model["gridPos"]["w"] * COLUMN - AROUND
        if panel.type != "row" and width(panel.title) > room + TOLERANCE:
            yield Finding(f"its title has {width(panel.title):.0f} pixels, {room:.0f} are seen", panel.title)


def heads_fit(dashboard: Dashboard) -> Iterator[Finding]:
    """The head of each column is seen beside its signs."""
    for panel in (one for one in dashboard.panels if one.type == "table"):
        widths, hidden, filters = map(
            panel.column_settings, ("custom.width", "custom.hidden", "custom.filterable")
        )
        filterable = panel.defaults.get("custom", {}).get("filterable", False)
        by = {one["displayName"] for one in panel.options.get("sortBy") or ()}
        for head in (one for one in panel.columns if not hidden.get(one)):
            signs = filters.get(head, filterable) * FILTER + (head in by) * SORTED
            room = widths.get(head, UNSET) - PADDING - signs
            if width(head) > room + TOLERANCE:
                yield Finding(
                    f"the head {head} has {width(head):.0f} pixels, {room:.0f} are seen", panel.title
                )


def width(text: str) -> float:
    """Pixels of a title or a head."""
    pixels = {character: value for characters, value in _WIDTHS.items() for character in characters}
    return sum(pixels.get(character, _OTHERS) for character in text)


def bar_text(dashboard: Dashboard) -> Iterator[Finding]:
    for panel in dashboard.panels:
        if panel.type == "bargauge" and panel.options.get("text") != BAR_TEXT:
            yield Finding(f"text of the size {panel.options.get('text')}", panel.title)


def ranked(dashboard: Dashboard) -> Iterator[Finding]:
    """What has many rows begins with those that matter, not with the first by id."""
    for panel in dashboard.panels:
        if panel.type in _RANKED and not _is_sorted(panel):
            yield Finding("is not sorted", panel.title)


def _is_sorted(panel: Panel) -> bool:
    transformations = {one["id"] for one in panel.model.get("transformations", [])}
    if panel.options.get("sortBy") or "sortBy" in transformations or transformations & _TURNED:
        return True
    return any(_SORTS.match(target.expr) for target in panel.targets[:1])


def quiet_annotations(dashboard: Dashboard) -> Iterator[Finding]:
    for one in dashboard.annotations:
        # Grafana enables it where nothing is said.
        if dashboard.name != "job" and one.get("enable", True):
            yield Finding(f"the annotation {one['name']} is on")


def no_recordings(dashboard: Dashboard) -> Iterator[Finding]:
    asked = [(panel.title, target.expr) for panel, target in dashboard.queries]
    asked += [("", str(one["expr"])) for one in dashboard.annotations]
    asked += [("", inner_query(one) or "") for one in dashboard.variables if one.type == "query"]
    for title, expression in asked:
        for name in {metric(one) for one in selectors(expression)}:
            if ":" in name:
                yield Finding("needs a recording rule", title, name)


def never_empty(dashboard: Dashboard) -> Iterator[Finding]:
    """A timeline without data is an error in Grafana, a table without rows has no head."""
    for panel in dashboard.shown:
        if panel.type in _NEVER_EMPTY and not answers([target.expr for target in panel.targets]):
            yield Finding("may have no row, and no query that says why", panel.title)


def answers(expressions: list[str]) -> bool:
    """Whether one of the expressions has an answer whatever Prometheus has."""
    try:
        operands = [one for expression in expressions for one in _operands(parsed(expression))]
    except ValueError:
        return True  # the rule about PromQL tells
    texts = {str(one) for one in operands}
    for one in operands:
        if _answers(one):
            return True
        # Says why there is nothing exactly where another operand has none.
        if isinstance(one, promql.BinaryExpr) and str(one.op) == "unless" and _answers(one.lhs):
            others = [other for other in operands if other is not one]
            return {str(other) for other in _operands(one.rhs)} <= texts or _was_seen(one.rhs, others)
    return False


def _was_seen(node: promql.Expr, others: list[promql.Expr]) -> bool:
    """Whether it is what the others ask for, at any time that is shown."""
    if not (isinstance(node, promql.Call) and node.func.name == "last_over_time"):
        return False
    asked, *_ = selectors(str(node))
    here = [one for other in others for one in selectors(str(other))]
    return "@ end()" in str(node) and any(_same(asked, one) for one in here)


def _same(one: promql.VectorSelector, other: promql.VectorSelector) -> bool:
    return (metric(one), str(one.matchers)) == (metric(other), str(other.matchers))


def _operands(node: promql.Expr) -> list[promql.Expr]:
    """Of `or`, the others being one operand."""
    if isinstance(node, promql.ParenExpr):
        return _operands(node.expr)
    if isinstance(node, promql.BinaryExpr) and str(node.op) == "or":
        return _operands(node.lhs) + _operands(node.rhs)
    return [node]


def _answers(node: promql.Expr) -> bool:
    match node:
        case promql.NumberLiteral() | promql.StringLiteral():
            return True
        case promql.ParenExpr() | promql.UnaryExpr() | promql.AggregateExpr():
            return _answers(node.expr)
        case promql.BinaryExpr():
            return _operation_answers(node)
        case promql.Call():
            # absent() has no answer where there is a series, others where their argument has none.
            name = node.func.name
            return name in {"vector", "time", "scalar"} or (
                name not in {"absent", "absent_over_time"} and all(_answers(one) for one in node.args)
            )
    return False


def _operation_answers(node: promql.BinaryExpr) -> bool:
    operation = str(node.op)
    if operation == "or":
        return _answers(node.lhs) or _answers(node.rhs)
    filters = operation in _COMPARED and not (node.modifier and node.modifier.return_bool)
    if operation in _SET or filters:
        return False
    return _answers(node.lhs) and _answers(node.rhs)


LOOKS: dict[str, Rule] = {
    "heatmap-steps": heatmap_steps,
    "missing-data": missing_data,
    "titles-fit": titles_fit,
    "heads-fit": heads_fit,
    "bar-text": bar_text,
    "ranked": ranked,
    "quiet-annotations": quiet_annotations,
    "no-recordings": no_recordings,
    "never-empty": never_empty,
}
