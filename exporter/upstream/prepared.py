"""Prepared requests, kept while nothing changes: to prepare one costs more than to send it."""

from collections.abc import Mapping

from requests import PreparedRequest

from exporter.auth.credential import Credential
from exporter.model.http import Request
from exporter.transport import KeptRequest

MIN_KEPT = 1000
KEPT_PER_JOB = 4
USUAL_BYTES = 4096
"""Of a prepared request; the limit in bytes is that of so many usual ones."""
OVERHEAD = 2048
"""What one needs besides its URL, headers and body, in bytes."""


class PreparedRequests:
    """The requests of one system with its base URL, its headers and its credential.

    The path of a request is appended to the base URL. The headers of a request override those of the system.
    """

    def __init__(self, base_url: str, headers: Mapping[str, str], credential: Credential) -> None:
        self._base_url = base_url
        self._headers = headers
        self._credential = credential
        self._kept: dict[Request, tuple[object, PreparedRequest]] = {}
        self._bytes = 0
        self.expect_jobs(0)

    def expect_jobs(self, jobs: int) -> None:
        """Sets how many bytes of requests are kept; beyond that the oldest are dropped."""
        self._limit = (MIN_KEPT + KEPT_PER_JOB * jobs) * USUAL_BYTES

    def without_credential(self, request: Request) -> PreparedRequest:
        """A newly prepared request to which no credential was applied."""
        url, headers = self._base_url + request.path, {**self._headers, **dict(request.headers)}
        prepared = KeptRequest()
        prepared.prepare(request.method, url, headers=headers, data=request.body or None)
        return prepared

    def with_credential(self, request: Request, version: object) -> PreparedRequest:
        """The request as it is sent with this version of the credential.

        Raises:
            Failure: reason ``auth``, the credential cannot be applied.
        """
        signs = self._credential.signs
        kept = self._kept.get(request)
        if kept is None or (kept[0] != version and not signs):
            kept = version, self.without_credential(request)
            if not signs:
                self._credential.apply(kept[1])
            self._keep(request, kept)
        if not signs:
            return kept[1]
        # A signature is valid for one send only: it is applied to a copy.
        signed = kept[1].copy()
        self._credential.apply(signed)
        return signed

    def _keep(self, request: Request, kept: tuple[object, PreparedRequest]) -> None:
        self._forget(request)
        self._kept[request] = kept
        self._bytes += _size(kept[1])
        while self._bytes > self._limit:
            self._forget(next(iter(self._kept)))

    def _forget(self, request: Request) -> None:
        if kept := self._kept.pop(request, None):
            self._bytes -= _size(kept[1])


def _size(prepared: PreparedRequest) -> int:
    """About how many bytes it needs."""
    # The path is also in the request that it is kept for.
    headers = sum(map(len, prepared.headers.values()))
    return 2 * len(prepared.url or "") + len(prepared.body or b"") + headers + OVERHEAD
