"""What comes back from the wire."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Timing:
    """How long each phase took, in seconds; 0 for a phase that a kept connection spares.

    ``first_byte`` is from the request being ready to send until the answer began; ``total`` is the
    whole transfer.
    """

    name_lookup: float = 0.0
    connect: float = 0.0
    tls: float = 0.0
    first_byte: float = 0.0
    total: float = 0.0


class Headers(Mapping[str, str]):
    """Headers of an answer by lower-case name, repeated ones joined by ``", "``.

    Read from the raw lines when first asked for: most answers' headers nobody looks at.
    """

    __slots__ = ("_fields", "_lines")

    def __init__(self, lines: list[bytes]) -> None:
        self._lines = lines
        self._fields: dict[str, list[str]] | None = None

    def every(self, name: str) -> list[str]:
        """Each value of a header that may stand more than once (``set-cookie``)."""
        return self._read().get(name, [])

    def __getitem__(self, name: str) -> str:
        return ", ".join(self._read()[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._read())

    def __len__(self) -> int:
        return len(self._read())

    def __repr__(self) -> str:
        # Names only: a value may be a cookie.
        return f"Headers({', '.join(self)})"

    def _read(self) -> dict[str, list[str]]:
        if self._fields is None:
            self._fields = _fields(self._lines)
            self._lines = []
        return self._fields


def _fields(lines: list[bytes]) -> dict[str, list[str]]:
    fields: dict[str, list[str]] = {}
    values: list[str] = []
    in_head = False
    for line in lines:
        text = line.decode("latin-1").rstrip("\r\n")
        if not in_head:
            # Each head begins anew: those of a proxy and of 1xx stand before the one that counts.
            # What follows the last one are trailers, which are no headers.
            if text.startswith("HTTP/"):
                fields, values, in_head = {}, [], True
        elif not text:
            in_head = False
        elif text[0] in " \t":
            values[-1:] = [f"{value} {text.strip()}" for value in values[-1:]]
        else:
            name, _, value = text.partition(":")
            values = fields.setdefault(name.strip().lower(), [])
            values.append(value.strip())
    return fields


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer, whatever its status; the body is unpacked and bounded."""

    status: int
    headers: Headers
    body: bytes = field(repr=False)
    timing: Timing
