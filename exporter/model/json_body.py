"""JSON as systems send it, also where it breaks the rules of RFC 8259 in a detail.

Most bodies pass a fast parser that accepts only valid JSON in UTF-8. The others are read again by the parser
of the standard library, with repairs that cost one value or one character instead of the response.
"""

import json
import re
from collections.abc import Mapping
from math import isfinite
from typing import Any

import msgspec

_CHARSET = re.compile(
    r"charset\s*=\s*\"?(iso-8859-\d{1,2}|latin-?1|windows-125\d|cp125\d|gbk|gb2312|gb18030|big5|shift_jis"
    r"|euc-jp|euc-kr|koi8-[ru])\b",
    re.IGNORECASE | re.ASCII,
)
"""Charsets that are decoded by their name: a closed set, because Python remembers every name it is asked for.

UTF-16 and UTF-32 need no name: their first bytes show them.
"""

_MAX_DIGITS = 4300
"""Of a whole number: the most that Python converts by default."""

MAX_VALUES = 250_000
"""Values in a body; 4 MiB usually have 150,000. One of few bytes, such as ``{"a":1}``, needs up to 232 bytes
of memory, so all of them need 60 MB.
"""

_fast = msgspec.json.Decoder()


class TooManyValuesError(ValueError):
    """A body has more than `MAX_VALUES` values."""


def parsed(body: bytes, headers: Mapping[str, str]) -> Any:
    """The value of a body. Integers are exact; of repeated keys the last counts.

    What is repaired: a byte order mark, UTF-16 and UTF-32, a charset in ``Content-Type``, bytes that are
    invalid in it (each becomes U+FFFD), half a surrogate pair, control characters in strings. NaN, infinite
    numbers and those of thousands of digits become ``None``, as NaN does in JavaScript's ``JSON.stringify``.

    Args:
        headers: of the response, by lower-case name; read only if the body is not UTF-8.

    Raises:
        ValueError: it is not JSON.
        TooManyValuesError: it has more than `MAX_VALUES`, or as many commas and brackets in its texts.
        RecursionError: it is nested too deeply.
    """
    # Before each value there is one of these signs; only a long body has so many.
    if len(body) > MAX_VALUES and sum(map(body.count, (b",", b"[", b"{"))) > MAX_VALUES:
        raise TooManyValuesError
    try:
        return _fast.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        pass
    return parsed_text(_text(body, headers))


def parsed_text(text: str) -> Any:
    """The value of JSON in a text, repaired as in `parsed`, whose errors it raises."""
    return json.loads(
        text, strict=False, parse_int=_whole, parse_float=_finite, parse_constant=lambda _: None
    )


def _text(body: bytes, headers: Mapping[str, str]) -> str:
    charset: str = json.detect_encoding(body)
    if charset == "utf-8" and (named := _CHARSET.search(headers.get("content-type", ""))):
        try:
            body.decode()
        except ValueError:  # many servers send UTF-8 whatever their header says
            charset = named[1]
    try:
        return body.decode(charset, "replace")
    except LookupError:  # there is no ISO-8859-12
        return body.decode(errors="replace")


def _whole(digits: str) -> int | None:
    return int(digits) if len(digits) <= _MAX_DIGITS else None


def _finite(digits: str) -> float | None:
    number = float(digits)
    return number if isfinite(number) else None
