"""Samples to bytes: lines are rendered when a job is read and only joined in a scrape, which is fast.

Text format 0.0.4 (https://prometheus.io/docs/instrumenting/exposition_formats/) and OpenMetrics
1.0.0 (https://prometheus.io/docs/specs/om/open_metrics_spec/). Sample lines are the same bytes in
both; only the lines about a family differ. A `Row` keeps values beside lines: a new row copies the lines
whose values are the same, which are most.
"""

import functools
from collections.abc import Hashable, Iterator, Mapping, Sequence
from enum import Enum
from types import MappingProxyType
from typing import Any, Generic

from msgspec import Struct
from msgspec.json import Encoder
from msgspec.structs import astuple

from exporter.metrics import Metric, Samples, Table, View


class Row(Struct, frozen=True, gc=False):
    """The lines of one job or system.

    Args:
        identity: the first labels of every line.
        values: cells of the table with the value of each metric of the table.
        lines: cells with its lines, ``b""`` for an absent series. For a metric that is shared, what is
            around the identity in them: one tuple for all jobs with the same samples.
    """

    identity: bytes
    values: Struct
    lines: Struct

    @property
    def size(self) -> int:
        """Of the lines, in bytes."""
        cells: Any = astuple(self.lines)
        return sum(len(self.identity.join(cell) if type(cell) is tuple else cell) for cell in cells)


_ESCAPES = str.maketrans({"\\": r"\\", "\n": r"\n", '"': r"\""})
_HELP_ESCAPES = str.maketrans({"\\": r"\\", "\n": r"\n"})  # the older format does not escape quotes in help
_UNKNOWN = object()
"""No value is equal to it."""
_encode = Encoder().encode
_FEW = 10
"""More samples, such as of categories, differ from job to job: a cache of them would only need memory."""
_ROWS_OF_A_PART = 100
"""Rows that are joined at a time: what malloc has given a thread once, such as 10 MB, it keeps for it."""
_UNITS = ("seconds", "ratio")


class Format(Enum):
    """A format that a scraper can accept, and its content type."""

    TEXT = "text/plain; version=0.0.4; charset=utf-8"
    OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"


def label_text(labels: Mapping[str, str]) -> str:
    """Labels as they are between the braces of a sample line."""
    return ",".join(f'{name}="{value.translate(_ESCAPES)}"' for name, value in labels.items())


def number_text(value: float) -> str:
    """A number as both formats write it."""
    kind = type(value)
    if kind is float:
        # The shortest text of the same number, as by repr(), which needs six times as long. JSON has no NaN.
        text = _encode(value).decode()
        return text if text != "null" else repr(value)
    return str(int(value)) if kind is int or kind is bool else repr(float(value))


def render_row(
    table: Table[View],
    identity: str,
    view: View,
    *,
    before: Row | None = None,
    same: bool = False,
    current_only: bool = False,
) -> Row:
    """Renders the metrics of ``table`` for one job or system.

    Args:
        identity: the first labels of every line, as rendered by `label_text`.
        before: the row so far, with the same table and identity. Lines whose values have not changed,
            which are most, are copied from it.
        same: only what is of each read can have another value than in ``before``.
        current_only: of a state set, only the series that is 1.
    """
    if before is None:
        key, group = identity.encode(), table.all_values
        values, lines = [_UNKNOWN] * len(table), [b""] * len(table)
    else:
        key = before.identity
        group = table.read_values if same else table.all_values
        values, lines = [*astuple(before.values)], [*astuple(before.lines)]
    for (place, metric), value in zip(group.metrics, group.of(view), strict=True):
        if value != values[place]:
            values[place] = value
            lines[place] = _lines(metric, identity, value, current_only=current_only)
    return Row(key, table.cells(*values), table.cells(*lines))


def _lines(metric: Metric[View], identity: str, value: Any, *, current_only: bool) -> Any:
    if metric.show is not None:
        value = metric.show(value)
    if value is None:
        return b""
    if metric.labels:
        samples: Samples = value
        if current_only and metric.type == "stateset":
            samples = tuple(sample for sample in samples if sample[1])
        if not samples:
            return b""
        if metric.shared:
            return _shared(metric, samples)
        around = _around if len(samples) <= _FEW else _around.__wrapped__
        return identity.join(around(metric, samples)).encode()
    if not identity:
        return f"{metric.name} {number_text(value)}\n".encode()
    return f"{metric.name}{{{identity}}} {number_text(value)}\n".encode()


@functools.lru_cache(maxsize=500)
def _around(metric: Metric[Any], samples: Samples) -> tuple[str, ...]:
    """The text around the identity in the lines of a metric. Many jobs have the same samples."""
    start = f"{metric.name}{{"
    ends = []
    for values, value in samples:
        own = ",".join(
            [
                f'{label}="{text.translate(_ESCAPES)}"'
                for label, text in zip(metric.labels, values, strict=True)
            ]
        )
        ends.append(f",{own}}} {number_text(value)}\n")
    return (start, *[end + start for end in ends[:-1]], ends[-1])


@functools.lru_cache(maxsize=500)
def _shared(metric: Metric[Any], samples: Samples) -> tuple[bytes, ...]:
    return tuple([part.encode() for part in _around(metric, samples)])


class Page(Generic[View]):
    """The current rows of many jobs (or systems), joined by family on demand.

    Args:
        table: the metrics, in the order of the page.
        rows: by key.
        heads: of the families, from another page of the same table.
    """

    def __init__(
        self,
        table: Table[View],
        rows: Mapping[Hashable, Row] = MappingProxyType({}),
        heads: Mapping[Format, Sequence[bytes]] | None = None,
    ) -> None:
        self._table = table
        self._heads = heads or {form: [_head(metric, form) for metric in table] for form in Format}
        self._rows = dict(rows)

    def put(self, key: Hashable, row: Row) -> None:
        """Replaces the row of ``key``; a new key goes to the end of every family."""
        self._rows[key] = row

    def drop(self, key: Hashable) -> None:
        """Removes the row of ``key``, if it has one."""
        self._rows.pop(key, None)

    def families(self, format_: Format, *, only: Hashable = None) -> Iterator[bytes]:
        """The parts of each family that has samples, without the end mark of OpenMetrics.

        Args:
            only: the key of the one row that is wanted, if not all are.
        """
        rows = [*self._rows.values()] if only is None else [*filter(None, [self._rows.get(only)])]
        columns = zip(*[astuple(row.lines) for row in rows], strict=True)
        for metric, head, column in zip(self._table, self._heads[format_], columns, strict=False):
            if any(column):
                yield head
                for start in range(0, len(column), _ROWS_OF_A_PART):
                    some = slice(start, start + _ROWS_OF_A_PART)
                    part = column[some]
                    if metric.shared:
                        pairs = zip(rows[some], part, strict=True)
                        part = tuple([row.identity.join(around) for row, around in pairs])
                    yield b"".join(part)

    def render(self, format_: Format, *, only: Hashable = None) -> bytes:
        """All `families` together."""
        return b"".join(self.families(format_, only=only))

    def copy(self) -> "Page[View]":
        """The rows of this moment, which another thread can render."""
        return Page(self._table, self._rows, self._heads)


def _head(metric: Metric[View], format_: Format) -> bytes:
    """HELP, TYPE and UNIT of a family.

    OpenMetrics names a family without the suffix of its samples (``_total``, ``_info``); the older
    format knows neither info nor stateset and names every family by its samples.
    """
    if format_ is Format.TEXT:
        type_ = metric.type if metric.type == "counter" else "gauge"
        help_ = metric.help.translate(_HELP_ESCAPES)
        return f"# HELP {metric.name} {help_}\n# TYPE {metric.name} {type_}\n".encode()
    family = family_name(metric)
    head = f"# HELP {family} {metric.help.translate(_ESCAPES)}\n# TYPE {family} {metric.type}\n"
    unit = family.rpartition("_")[2]
    return (head + (f"# UNIT {family} {unit}\n" if unit in _UNITS else "")).encode()


def family_name(metric: Metric[View]) -> str:
    """The name of the family in OpenMetrics."""
    suffix = {"counter": "_total", "info": "_info"}.get(metric.type, "")
    return metric.name.removesuffix(suffix)


def negotiate(accept: str) -> Format:
    """The format for an ``Accept`` header (RFC 9110 section 12.5.1): OpenMetrics only if preferred.

    Anything else gives the text format, which every scraper accepts.
    """
    best, chosen = 0.0, Format.TEXT
    for part in accept[:4096].split(","):
        media, *parameters = (piece.strip() for piece in part.lower().split(";"))
        values = dict(piece.partition("=")[::2] for piece in parameters)
        quality = _quality(values.get("q", "1"))
        format_ = _matching(media, values.get("version", "").strip('"'))
        if format_ is not None and quality > best:
            best, chosen = quality, format_
    return chosen


def _matching(media: str, version: str) -> Format | None:
    if media == "application/openmetrics-text" and version in ("", "1.0.0"):
        return Format.OPENMETRICS
    if media in ("text/plain", "text/*", "*/*") and version in ("", "0.0.4"):
        return Format.TEXT
    return None


def _quality(value: str) -> float:
    try:
        quality = float(value)
    except ValueError:
        return 0.0
    return quality if 0 <= quality <= 1 else 0.0


def accepts_gzip(accept_encoding: str) -> bool:
    """Whether an ``Accept-Encoding`` header allows gzip (RFC 9110 section 12.5.3)."""
    for part in accept_encoding[:4096].lower().split(","):
        coding, _, parameter = (piece.strip() for piece in part.partition(";"))
        if coding in ("gzip", "x-gzip", "*"):
            return _quality(parameter.removeprefix("q=").strip() or "1") > 0
    return False
