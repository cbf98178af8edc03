"""Which series there are and which labels they carry, told by the code and the rules."""

from collections.abc import Callable, Iterable, Mapping

import promql_parser as promql
import yaml
from prometheus_client.parser import text_string_to_metric_families

from exporter.metrics import IDENTITY, JOB_METRICS, PROBE_METRICS, SYSTEM_METRICS
from exporter.metrics.instrumentation import Instrumentation
from tests.grafana.linter import metric, parsed
from tests.stack import RULES

Labels = frozenset[str]
Known = Mapping[str, Labels]
Tell = Callable[[str, str], None]
"""Is told the name of a metric, if any, and what is wrong."""

PLACE = frozenset({"instance", "pod", "container", "endpoint", "service", "namespace"})
TARGET = PLACE | {"job", "cluster"}
"""What service discovery says of a target; the users' own labels are nobody's business here."""

# Of Prometheus's own client, on Linux; fewer elsewhere.
_PROCESS = ("cpu_seconds_total", "open_fds", "max_fds", "resident_memory_bytes", "virtual_memory_bytes")
_SCRAPE = ("duration_seconds", "samples_scraped", "samples_post_metric_relabeling", "series_added")
_SET_OPERATORS = frozenset({"and", "unless"})


def exported() -> dict[str, Labels]:
    """Metrics that come with a scrape, each with the labels it has in Prometheus."""
    names = ["up", *(f"scrape_{name}" for name in _SCRAPE), "process_start_time_seconds"]
    known = dict.fromkeys([*names, *(f"process_{name}" for name in _PROCESS)], TARGET)
    for job in JOB_METRICS:
        known[job.name] = TARGET | {*IDENTITY, *job.labels}
    for system in SYSTEM_METRICS:
        known[system.name] = TARGET | {"system", *system.labels}
    for probe in PROBE_METRICS:
        known[probe.name] = TARGET
    instrumentation = Instrumentation("0")
    instrumentation.of("any").answered(200, 0.1)
    instrumentation.of("any").watching(1)
    instrumentation.scrapes.labels("/metrics")
    instrumentation.web_config()
    for family in text_string_to_metric_families(instrumentation.render(openmetrics=False).decode()):
        for sample in family.samples:
            known[sample.name] = TARGET | known.get(sample.name, frozenset()) | {*sample.labels}
    return known


def rules() -> list[dict[str, object]]:
    groups = yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


def everything() -> Known:
    """The same with what the rules record, and the alerts as series."""
    known = exported()
    # A rule that looks at what it recorded before finds no such metric here yet; no label is lost by that.
    alerts = TARGET | {"alertname", "alertstate"}
    for rule in rules():
        own = rule.get("labels", {})
        assert isinstance(own, Mapping)
        labels = labels_of(parsed(str(rule["expr"])), known, lambda _name, _text: None) | {*own}
        if "record" in rule:
            known[str(rule["record"])] = labels
        else:
            alerts |= labels
    return known | {"ALERTS": alerts, "ALERTS_FOR_STATE": alerts}


def labels_of(node: promql.Expr, known: Known, tell: Tell) -> Labels:
    """The labels that a query's answer can carry; tells of metrics and labels that do not exist."""
    match node:
        case promql.VectorSelector():
            return _of_selector(node, known, tell)
        case promql.MatrixSelector():
            return _of_selector(node.vector_selector, known, tell)
        case promql.ParenExpr() | promql.UnaryExpr() | promql.SubqueryExpr():
            return labels_of(node.expr, known, tell)
        case promql.AggregateExpr():
            return _of_aggregation(node, known, tell)
        case promql.BinaryExpr():
            return _of_operation(node, known, tell)
        case promql.Call():
            return _of_call(node, known, tell)
    return frozenset()


def _of_selector(node: promql.VectorSelector, known: Known, tell: Tell) -> Labels:
    name = metric(node)
    if name not in known:
        tell(name, f"there is no metric {name or node}")
        return frozenset()
    for matcher in node.matchers.matchers:
        if matcher.name not in known[name]:
            tell(name, f"{name} has no label {matcher.name}")
    return known[name]


def _of_aggregation(node: promql.AggregateExpr, known: Known, tell: Tell) -> Labels:
    inner = labels_of(node.expr, known, tell)
    operation, modifier = str(node.op), node.modifier
    # These choose among series and leave their labels alone.
    if operation in {"topk", "bottomk", "limitk"}:
        return inner
    listed = frozenset(modifier.labels) if modifier else frozenset()
    if modifier is None or modifier.type == promql.AggModifierType.By:
        _tell_absent(listed - inner, "by", tell)
        kept = listed & inner
    else:
        _tell_absent(listed - inner - PLACE, "without", tell)
        kept = inner - listed
    new = {node.param.val} if isinstance(node.param, promql.StringLiteral) else set()
    return kept | new


def _of_operation(node: promql.BinaryExpr, known: Known, tell: Tell) -> Labels:
    left, right = labels_of(node.lhs, known, tell), labels_of(node.rhs, known, tell)
    operation, modifier = str(node.op), node.modifier
    matching = modifier.matching if modifier else None
    named = frozenset(matching.labels) if matching else frozenset()
    _tell_absent(named - left - right - PLACE, "on or ignoring", tell)
    if operation in _SET_OPERATORS:
        return left
    if operation == "or" or not _are_vectors(node):
        return left | right
    # Arithmetic and comparisons: the labels of the side of which there may be many.
    card = modifier.card if modifier else promql.VectorMatchCardinality.OneToOne
    added = frozenset((modifier.group_labels if modifier else None) or ())
    if card == promql.VectorMatchCardinality.ManyToOne:
        return left | added
    if card == promql.VectorMatchCardinality.OneToMany:
        return right | added
    if matching is None:
        return left
    return left & named if matching.type == promql.LabelModifierType.Include else left - named


def _are_vectors(node: promql.BinaryExpr) -> bool:
    return not (_is_scalar(node.lhs) or _is_scalar(node.rhs))


def _is_scalar(node: promql.Expr) -> bool:
    match node:
        case promql.ParenExpr() | promql.UnaryExpr():
            return _is_scalar(node.expr)
        case promql.BinaryExpr():
            return _is_scalar(node.lhs) and _is_scalar(node.rhs)
        case promql.Call():
            return bool(node.func.return_type == promql.ValueType.Scalar)
    return isinstance(node, promql.NumberLiteral)


def _of_call(node: promql.Call, known: Known, tell: Tell) -> Labels:
    inner = frozenset[str]().union(*(labels_of(one, known, tell) for one in node.args))
    name = node.func.name
    # Few functions change labels.
    if name == "histogram_quantile":
        return inner - {"le"}
    if name in {"label_replace", "label_join"}:
        return inner | {node.args[1].val}
    return frozenset() if name in {"scalar", "vector", "time"} else inner


def _tell_absent(labels: Iterable[str], where: str, tell: Tell) -> None:
    for label in sorted(labels):
        tell("", f"{where} ({label}): nothing there has it")
