"""Log lines: one for each record, as logfmt or JSON, that hostile text can neither break nor forge.

A line has the time (RFC 3339, UTC, milliseconds), the level, the message, the fields of ``extra`` in
their order, then ``error``. The text of an exception of another package is never printed, since it can
contain anything: such an error is shown as its type and the line of this package that it passed.
"""

import json
import logging
import math
import re
import sys
import traceback
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Literal, TextIO

from exporter.runtime.log_writer import LogWriter

PACKAGE = __name__.partition(".")[0]
MAX_VALUE_LENGTH = 4096

_HOME = Path(__file__).resolve().parents[2]
# The attributes of a record without extras; the last three depend on formatters and Python versions.
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_NOT_IN_KEY = re.compile(r"[^A-Za-z0-9_.-]")

Format = Literal["logfmt", "json"]
Value = str | int | float | bool | None


def setup(level: str, format: Format = "logfmt", stream: TextIO | None = None) -> None:  # noqa: A002
    """Makes the root logger print to ``stream`` (default: stderr) only, see `LogWriter`.

    ``level`` is the exporter's. Libraries log from ``warning`` upwards: below, some print URLs and headers.

    Raises:
        ValueError: no such level or format.
    """
    levels = {name.lower(): number for name, number in logging.getLevelNamesMapping().items() if number}
    formatters = {"logfmt": Logfmt, "json": Json}
    if level not in levels:
        raise ValueError(f"no such log level; allowed are {', '.join(levels)}")
    if format not in formatters:
        raise ValueError(f"no such log format; allowed are {', '.join(formatters)}")
    # Otherwise a handler that fails prints message and arguments without a check.
    logging.raiseExceptions = False
    handler = LogWriter(stream or sys.stderr)
    handler.setFormatter(formatters[format]())
    logging.basicConfig(force=True, handlers=[handler], level=max(levels[level], logging.WARNING))
    logging.getLogger(PACKAGE).setLevel(levels[level])
    sys.excepthook = partial(_crashed, handler)


def _crashed(
    handler: LogWriter, kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    """Prints the traceback that ends the process after the lines before it, and as they are."""
    handler.put("".join(traceback.format_exception(kind, error, trace)))


def flush() -> None:
    """Waits until all lines are written, for a second at most: before another text is printed to stderr."""
    for handler in logging.getLogger().handlers:
        handler.flush()


def dropped() -> int:
    """The number of lines that were not written since `setup`: stderr was full, or failed."""
    return sum(handler.dropped for handler in logging.getLogger().handlers if isinstance(handler, LogWriter))


def counted(number: int, noun: str) -> str:
    """A number and its noun, as in ``1 job`` and ``2 jobs``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


class Logfmt(logging.Formatter):
    """``time=… level=… msg=… key=value``; values are quoted like JSON strings where necessary."""

    def format(self, record: logging.LogRecord) -> str:
        """The line without its end."""
        return " ".join(f"{key}={_logfmt(value)}" for key, value in _fields(record).items())


class Json(logging.Formatter):
    """One JSON object in ASCII; numbers, true, false and null keep their types."""

    def format(self, record: logging.LogRecord) -> str:
        """The line without its end."""
        return json.dumps(_fields(record), allow_nan=False)


def _fields(record: logging.LogRecord) -> dict[str, Value]:
    created = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
    fields: dict[str, Value] = {
        "time": created.replace("+00:00", "Z"),
        "level": record.levelname.lower(),
        "msg": _cut(_message(record)),
    }
    extra = {key: value for key, value in vars(record).items() if key not in _STANDARD}
    if record.exc_info and record.exc_info[1]:
        extra["error"] = record.exc_info[1]
    for name, value in extra.items():
        key = _NOT_IN_KEY.sub("_", name) or "_"
        # No field may replace another one, such as a second "level".
        while key in fields:
            key += "_"
        fields[key] = _value(value)
    return fields


def _message(record: logging.LogRecord) -> str:
    try:
        message = record.getMessage()
    except (TypeError, ValueError, KeyError):
        message = str(record.msg)
    if record.name.partition(".")[0] == PACKAGE:
        return message
    # asyncio appends the repr of the failed task, with the text of its exception, on more lines.
    return message.partition("\n")[0]


def _value(value: object) -> Value:
    if isinstance(value, int | None) or (isinstance(value, float) and math.isfinite(value)):
        return value
    return _cut(_describe(value) if isinstance(value, BaseException) else str(value))


def _cut(text: str) -> str:
    return text if len(text) <= MAX_VALUE_LENGTH else text[: MAX_VALUE_LENGTH - 1] + "…"


def _describe(error: BaseException) -> str:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    kind = type(error)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    # The text of an exception of this package contains no value of a header, a response or a secret.
    if kind.__module__.partition(".")[0] == PACKAGE:
        return f"{kind.__qualname__}: {error}"
    place = ""
    for frame, line in traceback.walk_tb(error.__traceback__):
        file = Path(frame.f_code.co_filename)
        if file.is_relative_to(_HOME / PACKAGE):
            place = f" at {file.relative_to(_HOME)}:{line}"
    return name + place


def _logfmt(value: Value) -> str:
    if not isinstance(value, str):
        return json.dumps(value)
    if value and value.isprintable() and not set(value) & set(' "=\\'):
        return value
    # Printable text stays readable in every script; control, format and bidi characters do not.
    escaped = (
        character if character.isprintable() and character not in '"\\' else json.dumps(character)[1:-1]
        for character in value
    )
    return f'"{"".join(escaped)}"'
