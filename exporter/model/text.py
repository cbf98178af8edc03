"""Text from outside, made safe to show."""

import re

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def has_control_characters(text: str) -> bool:
    """Whether any of U+0000 to U+001F and U+007F to U+009F is in it, line breaks among them."""
    return _CONTROL.search(text) is not None


def printable(text: str, limit: int | None = None) -> str:
    """The first ``limit`` characters of a text, with ``?`` for each that cannot be printed.

    The result fits one line and cannot control a terminal.
    """
    return "".join(character if character.isprintable() else "?" for character in text[:limit])
