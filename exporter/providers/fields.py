"""Reads the fields of an object of a response, and notes those whose value cannot be used.

A field is absent if it is missing, null or blank text. So is one with a value of a wrong type, which costs
no other field: it gets a note for `Status.notes`.
"""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from exporter.model.dates import moment
from exporter.providers import values
from exporter.providers.values import MAX_COUNT, MAX_TEXT

Value = TypeVar("Value")


class Fields:
    """The fields of one object.

    Args:
        body: any JSON value; one that is no object has no fields.
        place: what notes write before the name of a field.
        notes: of the object that contains this one, by place.

    Attributes:
        raw: the object itself.
    """

    def __init__(self, body: object, place: str = "", notes: dict[str, str] | None = None) -> None:
        self.raw: Mapping[str, Any] = body if isinstance(body, dict) else {}
        self._place = place
        self._notes = {} if notes is None else notes

    @property
    def notes(self) -> tuple[str, ...]:
        """One line for each field with a value that cannot be used, also in the objects inside."""
        return tuple(self._notes.values())

    def note(self, name: str, why: str) -> None:
        """Notes why a field is left out; ``why`` is without any text of the response."""
        place = self._place + name
        self._notes[place] = f"{place}: {why}"

    def why_left_out(self, name: str) -> str:
        """The note about a field that was read; empty if there is none."""
        return self._notes.get(self._place + name, "")

    def read(self, name: str, convert: Callable[[Any], Value | None], allowed: str) -> Value | None:
        """The value of a field.

        Args:
            convert: ``None`` for a value that cannot be used.
            allowed: what the value should be, for the note.
        """
        value = self.raw.get(name)
        if value is None:
            return None
        result = convert(value)
        if result is None:
            self._leave_out(name, value, allowed)
        return result

    def _leave_out(self, name: str, value: object, allowed: str) -> None:
        if not (isinstance(value, str) and not value.strip()):
            self.note(name, f"the value is not {allowed}")

    # The methods below do not call `read` for the values that most fields have.

    def text(self, name: str, limit: int = MAX_TEXT) -> str:
        """As `values.text`."""
        value = self.raw.get(name)
        if value is None or isinstance(value, str):
            return values.text(value, limit)
        self._leave_out(name, value, "text")
        return ""

    def flag(self, name: str) -> bool | None:
        """As `values.flag`."""
        value = self.raw.get(name)
        if value is None or isinstance(value, bool):
            return value
        self._leave_out(name, value, "true or false")
        return None

    def count(self, name: str) -> int | None:
        """As `values.count`."""
        value = self.raw.get(name)
        if value is None or (type(value) is int and 0 <= value <= MAX_COUNT):
            return value
        return self.read(name, values.count, "a whole number from 0")

    def ratio(self, name: str, full: float = 1.0) -> float | None:
        """As `values.ratio`."""
        return self.read(name, lambda value: values.ratio(value, full), f"a number from 0 to {full:g}")

    def instant(self, name: str) -> float | None:
        """As `values.instant`; a time that means "no time" gets no note."""
        value = self.raw.get(name)
        if value is None:
            return None
        at = moment(value)
        if at is None:
            self._leave_out(name, value, "a time")
        return values.plausible(at)

    def nested(self, *names: str) -> "Fields":
        """The fields of the objects under these names together; those of the later ones take precedence."""
        together: Mapping[str, Any] = {}
        for name in names:
            found = self.raw.get(name)
            if isinstance(found, dict):
                together = {**together, **found} if together else found
            elif found is not None:
                self._leave_out(name, found, "an object")
        return Fields(together, f"{self._place}{names[-1]}.", self._notes)

    def inside(self, body: object, name: str) -> "Fields":
        """The fields of an object that is part of a field; its notes are added to those of this one."""
        return Fields(body, f"{self._place}{name}.", self._notes)
