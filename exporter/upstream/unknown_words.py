"""Logs each word of a system that no table of states has, with the line of configuration that adds it."""

import logging
import threading
from collections.abc import Container

from exporter.model.job import State, Status
from exporter.providers.values import text

_log = logging.getLogger(__name__)

MAX_WORDS = 20


def example(word: str) -> str:
    """The line of configuration for a printable word that means failed."""
    quoted = word.replace("'", "''")
    return f"states: {{failed: ['{quoted}']}}"


class UnknownWords:
    """Logs words of one system.

    Args:
        system: the system's name.
        known: the words with a state, in lower case; one that means unknown is not logged.
    """

    def __init__(self, system: str, known: Container[str]) -> None:
        self._system = system
        self._known = known
        self._seen: set[str] = set()
        # The jobs of a large page are noted in a thread, others on the event loop.
        self._lock = threading.Lock()

    def note(self, job_id: str, status: Status) -> None:
        """Logs the word of a status, unless it is known, missing or logged already."""
        if status.state is not State.UNKNOWN:
            return
        shown = text(status.raw)  # text of a response: limited and printable, as in remote_job_status_info
        word = shown.casefold()
        with self._lock:
            if not word or word in self._known or word in self._seen or len(self._seen) > MAX_WORDS:
                return
            self._seen.add(word)
        if len(self._seen) > MAX_WORDS:
            _log.warning("too many unknown states; no more are logged", extra={"system": self._system})
            return
        fields = {
            "system": self._system,
            "job_id": job_id,
            "status": shown,
            "example": example(shown),
        }
        _log.warning("unknown state; add its word to states of the system", extra=fields)
