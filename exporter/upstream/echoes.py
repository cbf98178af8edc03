"""Secrets that a vendor sends back in texts that become labels: they are left out.

A server that shows what it was sent, for example in an error in place of a state, must not publish a
credential on ``/metrics``.
"""

import base64
import html
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from urllib.parse import quote, quote_plus

from msgspec.structs import replace

from exporter.auth.credential import Credential
from exporter.model.failure import Failure
from exporter.model.job import Status
from exporter.providers.base import Found
from exporter.runtime.secret import MASK
from exporter.transport import HeaderFields, PreparedRequest
from exporter.upstream.trace import pieces_of

MIN_SECRET = 6
"""A shorter secret is not looked for: it is a part of too many words."""

MIN_PIECE = 8
"""The same for a word of a header, such as Bearer."""

HEAD = 16
"""Characters from its beginning that are enough to find a secret: a label is cut after 128."""


class Echoes:
    """Removes secrets from texts. It does not change, so any thread can use it."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        forms = {form for secret in secrets for form in _forms(secret)}
        self._heads = tuple({form[:HEAD] for form in forms})

    def text(self, text: str) -> str:
        """The text, or ``***`` if it contains a secret in any usual notation."""
        return MASK if any(head in text for head in self._heads) else text

    def status(self, status: Status) -> Status:
        """The status with ``***`` for each text that contains a secret."""
        if not self._heads:
            return status
        texts = (status.raw, status.step, status.name, status.type, status.level)
        if not self._are_in(*texts, *status.labels.values(), *status.categories):
            return status
        return replace(
            status,
            raw=self.text(status.raw),
            step=self.text(status.step),
            name=self.text(status.name),
            type=self.text(status.type),
            level=self.text(status.level),
            labels=self._labels(status.labels),
            categories={self.text(name): each for name, each in status.categories.items()},
        )

    def found(self, job: Found) -> Found | None:
        """The same for a job of a listing; ``None`` if one of its keys contains a secret."""
        if self._are_in(*job.keys.values()):
            return None
        status = None if job.status is None else self.status(job.status)
        if status is job.status and not self._are_in(job.name, *job.labels.values()):
            return job
        return replace(job, status=status, name=self.text(job.name), labels=self._labels(job.labels))

    def _are_in(self, *texts: str) -> bool:
        joined = "\n".join(texts)
        return any(head in joined for head in self._heads)

    def _labels(self, labels: Mapping[str, str]) -> Mapping[str, str]:
        return {name: self.text(text) for name, text in labels.items()}


NONE = Echoes()


class EchoesOf:
    """The `Echoes` of a credential as it is now.

    Args:
        base_url: of the system, since some credentials are for it only.
    """

    def __init__(self, credential: Credential, base_url: str) -> None:
        self._credential = credential
        self._base_url = base_url
        self._made: tuple[object, Echoes] | None = None

    def now(self) -> Echoes:
        """Raises nothing: of a credential with errors, nothing is known, and nothing was sent."""
        if self._credential.kind == "none":
            return NONE
        try:
            version = self._credential.version()
            if self._made is None or self._made[0] != version:
                self._made = version, Echoes(self._secrets())
        except Exception:  # noqa: BLE001  a plug-in's can be any
            return NONE
        return self._made[1]

    def _secrets(self) -> Iterator[str]:
        """What the credential is made of, and what it writes into a request: a token, cookies, a password."""
        yield from (secret for secret in self._credential.secrets() if len(secret) >= MIN_SECRET)
        if not self._credential.signs:  # a signature is of use for one request only
            plain, request = (PreparedRequest("GET", self._base_url, HeaderFields({})) for _ in range(2))
            with suppress(Failure):  # there is no token yet
                self._credential.apply(request)
            yield from (piece for piece in pieces_of(plain, request) if len(piece) >= MIN_PIECE)


def _forms(secret: str) -> Iterator[str]:
    """A secret as a server may write it."""
    yield from (secret, quote(secret), quote(secret, safe=""), quote_plus(secret), html.escape(secret))
    yield from (json.dumps(secret)[1:-1], json.dumps(json.dumps(secret))[3:-3])
    data = secret.encode("utf-8", "surrogateescape")
    yield data.hex()
    for before in range(3):  # base64 of a text that contains it depends on where it begins
        encoded = base64.b64encode(b"\0" * before + data).decode()
        core = encoded[-(-before * 8 // 6) : (before + len(data)) * 8 // 6]
        yield from (core, core.replace("+", "-").replace("/", "_"))
