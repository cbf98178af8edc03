"""Requests of providers with what a system adds to them. Equal headers are made once."""

from collections.abc import Mapping, Sequence

from exporter.auth.credential import Credential
from exporter.model.http import Request
from exporter.transport import HeaderFields, PreparedRequest, lines_of, prepared_base

MAX_HEADS = 100
"""Of one system. Its requests have few different headers; a provider whose requests all differ needs more."""


_Head = tuple[object, HeaderFields, Sequence[bytes]]
"""A version of the credential, and the headers of requests with it as fields and as lines."""


_NONE: _Head = object(), HeaderFields({}), ()


class PreparedRequests:
    """The requests of one system with its base URL, its headers and its credential.

    The path of a request is appended to the base URL. The headers of a request override those of the system.
    """

    def __init__(self, base_url: str, headers: Mapping[str, str], credential: Credential) -> None:
        self._base_url = prepared_base(base_url)
        self._headers = headers
        self._credential = credential
        self._signs = credential.signs
        self._heads: dict[object, _Head] = {}

    def without_credential(self, request: Request) -> PreparedRequest:
        """A newly prepared request to which no credential was applied."""
        headers = HeaderFields({**self._headers, **dict(request.headers)})
        if request.body:
            headers["Content-Length"] = str(len(request.body))
        return PreparedRequest(request.method, self._base_url + request.path, headers, request.body)

    def with_credential(self, request: Request, version: object) -> PreparedRequest:
        """The request as it is sent with this version of the credential.

        Raises:
            Failure: reason ``auth``, the credential cannot be applied.
        """
        if self._signs:
            # A signature is valid for one send only.
            signed = self.without_credential(request)
            self._credential.apply(signed)
            return signed
        body = request.body
        key = (request.headers, len(body)) if body else request.headers
        made, headers, lines = self._heads.get(key) or _NONE
        if made != version:
            made, headers, lines = self._heads[key] = self._head(request, version)
        return PreparedRequest(request.method, self._base_url + request.path, headers, body, lines)

    def _head(self, request: Request, version: object) -> _Head:
        prepared = self.without_credential(request)
        self._credential.apply(prepared)
        if len(self._heads) >= MAX_HEADS:
            self._heads.clear()
        return version, prepared.headers, lines_of(prepared)
