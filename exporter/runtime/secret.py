"""Values that are never shown.

A secret is written in the configuration as text, ``{env: NAME}`` or ``{file: PATH}``. Only ``reveal()``
returns its value; ``repr``, ``str``, format and pickling show nothing. A file is read again when it has
changed, so a rotated secret needs no restart.
"""

import logging
import os
import re
import threading
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import NoReturn
from urllib.parse import unquote_plus

from exporter.model.clock import SYSTEM_CLOCK, Clock
from exporter.runtime import files
from exporter.runtime.calls import CALLS, Repeated

_log = logging.getLogger(__name__)

MASK = "***"
MAX_BYTES = 64 * 1024
SECRET_PARAMETER = re.compile(r"auth|code|cred|jwt|key|pass|pwd|secret|sess|sid|sig|token", re.IGNORECASE)
# Only from the beginning of a parameter: from each character it would take too long.
_PARAMETER = re.compile(r"(?<![^&;])([^&;=]*)=([^&;]*)")
LOOK_AGAIN_SECONDS = 1.0
# Of words such as HUAWEI_SK. Another name of a variable that is not set can be the secret itself.
_VARIABLE = re.compile(r"[A-Z]{1,12}|[A-Z]{1,20}(_[A-Z]{1,20}[0-9]?){1,8}")


def masked_url(url: str, *, every: bool = False) -> str:
    """A URL without the values of parameters whose names suggest a secret, or of every parameter."""
    address, mark, query = url.partition("?")

    def masked(parameter: re.Match[str]) -> str:
        name = parameter[1]
        secret = every or SECRET_PARAMETER.search(unquote_plus(name))
        return f"{name}={MASK}" if secret else parameter[0]

    return address + mark + _PARAMETER.sub(masked, query)


Rule = Callable[[str], object]
"""Raises a ``ValueError`` for a value that cannot be sent; its text must not quote the value."""


class SecretError(ValueError):
    """A secret cannot be read. The text names its source, never a value."""


class Secret:
    """A value that no repr, log line, error or traceback shows.

    Args:
        key: equal for secrets with the same source.
        value: ``None`` if it is not read.
        rules: see `with_rule`.
    """

    __slots__ = ("_key", "_rules", "_value")

    def __init__(self, key: Hashable, value: "str | _File | None", rules: tuple["Rule", ...] = ()) -> None:
        self._key = key
        self._value = value
        self._rules = rules

    @classmethod
    def plain(cls, value: str) -> "Secret":
        """A secret whose value is in the configuration itself."""
        return cls(value, value)

    @classmethod
    def env(cls, name: str) -> "Secret":
        """The value of an environment variable without its last line break.

        Raises:
            SecretError: it is not set, or empty.
        """
        if name not in os.environ:
            shown = f" {name}" if _VARIABLE.fullmatch(name) else ""
            raise SecretError(f"the environment variable{shown} is not set")
        value = _without_line_break(os.environ[name])
        if not value:
            raise SecretError(f"the environment variable {name} is empty; set it to the secret")
        return cls(value, value)

    @classmethod
    def file(cls, path: Path, clock: Clock = SYSTEM_CLOCK, *, written: str = "") -> "Secret":
        """The content of a file without its last line break, read again when the file changes.

        Args:
            written: the path as the user wrote it, see `files.problem`.

        Raises:
            SecretError: it cannot be read, is empty, is not UTF-8 text or is larger than 64 KiB.
        """
        return cls(path, _File(path, clock, written))

    @classmethod
    def unread(cls, *source: str) -> "Secret":
        """A secret that is not read: its source as written, such as ``env`` and a name."""
        return cls(source, None)

    @property
    def is_unread(self) -> bool:
        """Whether it has no value, so that `reveal` raises a `SecretError`."""
        return self._value is None

    def reveal(self) -> str:
        """The value, for requests only; raises a `SecretError` if it is not read."""
        if self._value is None:
            raise SecretError("the secret is not read")
        return self._value if isinstance(self._value, str) else self._value.read()

    def with_rule(self, rule: "Rule") -> "Secret":
        """The same secret with a rule, which every later value of its file must fulfill as well.

        Raises:
            ValueError: the value does not fulfill it; the text is that of the rule.
        """
        if not self.is_unread:
            rule(self.reveal())
        return Secret(self._key, self._value, (*self._rules, rule))

    def check(self, value: str) -> None:
        """Raises the ``ValueError`` of the first rule that a value of this secret does not fulfill."""
        for rule in self._rules:
            rule(value)

    def look_again(self) -> None:
        """Makes the next `reveal` check the file, however recent the last check is."""
        if isinstance(self._value, _File):
            self._value.look_again()

    def __eq__(self, other: object) -> bool:
        """Whether both have the same source: the same value, or the same file."""
        return isinstance(other, Secret) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)

    def __repr__(self) -> str:
        return f"Secret({MASK})"

    def __str__(self) -> str:
        return MASK

    def __format__(self, spec: str) -> str:
        return MASK

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret cannot be pickled or copied")


def _without_line_break(text: str) -> str:
    """Without one line break at the end, which an editor or ``echo`` adds."""
    return text.removesuffix("\n").removesuffix("\r")


class _File:
    """A file that can be replaced at any time; the last good value stays in use while it is missing.

    It is read in a thread, for which the caller, which can be the event loop, waits only a moment. The event
    loop and the threads that renew credentials call it, so one of them waits for the other.
    """

    __slots__ = ("_clock", "_lock", "_look_at", "_lost", "_path", "_repeated", "_stamp", "_value")

    def __init__(self, path: Path, clock: Clock, written: str) -> None:
        self._path = path
        self._clock = clock
        self._lock = threading.Lock()
        self._lost = False
        self._look_at = 0.0
        self._stamp: files.Stamp = ()
        try:
            self._stamp, self._value = CALLS.run(lambda: _load(path), path)
        except OSError as error:
            raise SecretError(files.problem(path, error, written)) from None
        self._repeated = Repeated(self._changed, path)

    def read(self) -> str:
        with self._lock:
            return self._read()

    def _read(self) -> str:
        now = self._clock.monotonic()
        if now < self._look_at:
            return self._value
        self._look_at = now + LOOK_AGAIN_SECONDS
        try:
            if changed := self._repeated.result():
                self._stamp, self._value = changed
            self._lost = False
        except (OSError, SecretError) as error:
            if not self._lost:
                reason = error.strerror if isinstance(error, OSError) else str(error)
                fields = {"path": str(self._path), "reason": reason}
                _log.warning("failed to read secret file; keeping the previous value", extra=fields)
            self._lost = True
        return self._value

    def look_again(self) -> None:
        self._look_at = 0.0

    def _changed(self) -> tuple[files.Stamp, str] | None:
        """The new stamp and value; ``None`` if the file has not changed."""
        return None if files.stamp_here(self._path) == self._stamp else _load(self._path)


def _load(path: Path) -> tuple[files.Stamp, str]:
    """The stamp and the value of a secret; raises an `OSError` or a `SecretError`."""
    stamp = files.stamp_here(path)
    data = files.read_here(path, MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise SecretError(f"{path} is larger than {MAX_BYTES} bytes, too large for a secret")
    try:
        value = _without_line_break(data.decode())
    except UnicodeDecodeError:
        raise SecretError(f"{path} is not UTF-8 text") from None
    if not value:
        raise SecretError(f"{path} is empty")
    return stamp, value
