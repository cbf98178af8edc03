"""Converts values of responses, whatever their type, without an exception or an invented value.

Each function accepts any JSON value. For a value that it cannot convert it returns ``None`` (text: ``""``).
A boolean is no number, a number may be text, and NaN and infinity are not converted.
"""

import math
import re
from collections.abc import Mapping
from typing import Any

from exporter.config_types import check_key
from exporter.model.dates import moment

MAX_TEXT = 128
MAX_COUNT = 2**53
_YEAR_9999 = 253_370_764_800
_COUNT = re.compile(r"\d{1,16}(\.0+)?", re.ASCII)
_NUMBER = re.compile(r"[+-]?\d{1,16}(\.\d{1,24})?([eE][+-]?\d{1,3})?", re.ASCII)


def text(value: object, limit: int = MAX_TEXT) -> str:
    """A string without control characters and surrounding space, at most ``limit`` characters."""
    if not isinstance(value, str):
        return ""
    if not value.isprintable():
        value = "".join([character for character in value[: 4 * limit] if character.isprintable()])
    return value.strip()[:limit]


def key(value: object) -> str | None:
    """The key of a job that a listing names, by the rules of a key in the config."""
    if not isinstance(value, str):
        return None
    try:
        value.encode()  # a lone surrogate fits neither an address nor a label
        return check_key(value)
    except ValueError:
        return None


def flag(value: object) -> bool | None:
    """A JSON boolean."""
    return value if isinstance(value, bool) else None


def count(value: object) -> int | None:
    """A count: a whole number from 0 up to 2^53, as number or as text."""
    if type(value) is int:  # nearly all
        return value if 0 <= value <= MAX_COUNT else None
    if isinstance(value, str):
        value = value.strip()
        if not _COUNT.fullmatch(value):
            return None
        value = int(value.partition(".")[0])
    elif isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if 0 <= value <= MAX_COUNT else None


def number(value: object) -> float | None:
    """A finite number, as number or as the text that JSON has for it."""
    if isinstance(value, str):
        value = value.strip()
        value = float(value) if _NUMBER.fullmatch(value) else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        result = float(value)
    except OverflowError:
        return None
    return result if math.isfinite(result) else None


def ratio(value: object, full: float = 1.0) -> float | None:
    """A share of ``full``, from 0 to 1."""
    part = number(value)
    return part / full if part is not None and 0 <= part / full <= 1 else None


def instant(value: object) -> float | None:
    """A time as Unix seconds, in any form that `moment` reads."""
    return plausible(moment(value))


def plausible(seconds: float | None) -> float | None:
    """A time after 1970 and before 9999: others are a server's "no time", as .NET's first and last moment."""
    return seconds if seconds is not None and 0 < seconds < _YEAR_9999 else None


def mapping(value: object) -> Mapping[str, Any]:
    """A JSON object, or an empty one for anything else."""
    return value if isinstance(value, dict) else {}
