"""A probe explained for people: what was understood, then the requests and responses it is from."""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

from msgspec import Struct

from exporter.collector.probed import Probe
from exporter.metrics import JobView
from exporter.metrics.exposition import Format
from exporter.model.job import State, Status
from exporter.model.pacing import Why
from exporter.model.text import printable
from exporter.upstream.trace import Exchange
from exporter.upstream.unknown_words import example

WHY_NOT = {
    Why.FRESH: "the last read is younger than min_interval, or ended after the deadline of its scrape",
    Why.FINAL: "the run has ended for good and final_interval has not passed",
    Why.PACING: "the vendor asked to wait",
}

_NO_REQUEST = (
    "This probe sent no request for the job: it shared a read under way, or no request could be sent.",
    "Requests for tokens and logins are not shown.",
)


def explain(probe: Probe, expressions: Iterable[str] = (), *, samples: bool = True) -> str:
    """The result of one read and its fields, then requests, responses, timing and samples, without secrets.

    Args:
        expressions: lines about what the expressions of the configuration find.
        samples: whether the samples of the job are shown.
    """
    job = probe.record.job
    keys = " ".join(f"{name}={value}" for name, value in job.keys.items())
    lines = [
        f"Job     {job.system}/{job.id} ({job.provider}, {job.kind})",
        f"Keys    {keys}",
        "",
        *_why_not(probe),
        *_result(probe),
        "",
        *expressions,
        *_requests(probe),
    ]
    if samples:
        lines += ["Samples", "", probe.render(Format.TEXT).decode().removesuffix("\n")]
    else:
        lines.pop()  # the empty line after what is last
    return "".join(f"{printable(line)}\n" for line in "\n".join(lines).split("\n"))


def _why_not(probe: Probe) -> Iterator[str]:
    if probe.why_not is not None:
        yield f"Not read now ({probe.why_not}): {WHY_NOT[probe.why_not]}."
        if probe.record.view is not None:
            yield f"The last result is of {_moment(probe.record.view.read_at)}."
        yield ""


def _requests(probe: Probe) -> Iterator[str]:
    if probe.why_not is not None:
        return
    trace = probe.trace
    exchanges = trace.exchanges if trace is not None else []
    if not exchanges:
        yield from _NO_REQUEST
        yield ""
    for number, exchange in enumerate(exchanges, 1):
        yield from _exchange(number, exchange)
    if trace is not None and trace.more:
        yield f"… and {trace.more} more requests."
        yield ""


def _exchange(number: int, exchange: Exchange) -> Iterator[str]:
    yield f"Request {number}"
    yield f"  {exchange.method} {exchange.url}"
    yield from (f"  {name}: {value}" for name, value in exchange.headers)
    if exchange.body_bytes:
        yield f"  ({exchange.body_bytes} bytes in the body)"
    yield ""
    yield f"Response {number}"
    if exchange.failure:
        yield f"  none: {exchange.failure}"
    elif exchange.timing is None:
        yield "  none yet; the read is still under way"
    else:
        yield f"  HTTP status {exchange.status}, {exchange.response_bytes} bytes"
        if exchange.confirmed_bytes is not None:
            yield f"  not modified: the last response ({exchange.confirmed_bytes} bytes) is used again"
        yield from (f"  {name}: {value}" for name, value in exchange.response_headers)
        timing = exchange.timing
        yield (
            f"  name {_ms(timing.name_lookup)}, connect {_ms(timing.connect)}, TLS {_ms(timing.tls)}, "
            f"first byte {_ms(timing.first_byte)}, total {_ms(timing.total)}"
        )
    yield ""


def _result(probe: Probe) -> Iterator[str]:
    view = probe.record.view
    if view is None:
        yield "Nothing is known of the job yet."
    elif view.status is None:
        detail = f": {probe.record.detail}" if probe.record.detail else ""
        yield f"Not read ({view.reason}{detail})"
    else:
        yield f"Read in {_ms(view.read_seconds)}"
        yield from _fields(view, view.status)


def _fields(view: JobView, status: Status) -> Iterator[str]:
    raw = status.raw or "(none)"
    yield f"  state: {raw} → {status.state}"
    if status.state is State.UNKNOWN and status.raw:
        yield f"  unknown word: add it to the system, as in {example(status.raw)}"
    for name, value in _known(status):
        if name in ("state", "raw", "notes"):
            continue
        dated = name.endswith(("_at", "_since")) and isinstance(value, float | int)
        yield f"  {name}: {_moment(value) if dated else value}"
    yield f"  in this state since: {_moment(view.history.state_since)}"
    if status.notes:
        yield "Left out"
        yield from (f"  {note}" for note in status.notes)


def _known(holder: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    """Each field that has a value; fields of nested values with their path."""
    for field in holder.__struct_fields__:
        value = getattr(holder, field)
        name = f"{place}{field}"
        if isinstance(value, Struct):
            yield from _known(value, f"{name}.")
        elif isinstance(value, dict):
            for key, inner in value.items():
                path = f"{name}.{key}"
                yield from _known(inner, f"{path}.") if isinstance(inner, Struct) else [(path, inner)]
        elif value is not None and value != "":
            yield name, value


def _moment(at: float) -> str:
    try:
        written = datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")
    except (ValueError, OverflowError, OSError):
        return repr(at)
    return f"{at:.3f} ({written.replace('+00:00', 'Z')})"


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.1f} ms"
