"""Text from outside, made safe to show."""


def printable(text: str, limit: int | None = None) -> str:
    """The first ``limit`` characters of a text, with ``?`` for each that cannot be printed.

    The result fits one line and cannot control a terminal.
    """
    return "".join(character if character.isprintable() else "?" for character in text[:limit])
