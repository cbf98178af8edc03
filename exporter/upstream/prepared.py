"""Prepared requests, kept while nothing changes: to prepare one costs more than to send it."""

from collections.abc import Mapping

import requests
from requests import PreparedRequest

from exporter.auth.credential import Credential
from exporter.model.http import Request

MIN_KEPT = 1000
KEPT_PER_JOB = 4


class PreparedRequests:
    """The requests of one system with its base URL, its headers and its credential.

    The path of a request is appended to the base URL. The headers of a request override those of the system.
    """

    def __init__(self, base_url: str, headers: Mapping[str, str], credential: Credential) -> None:
        self._base_url = base_url
        self._headers = headers
        self._credential = credential
        self._kept: dict[Request, tuple[object, PreparedRequest]] = {}
        self._limit = MIN_KEPT

    def expect_jobs(self, jobs: int) -> None:
        """Sets how many requests are kept; beyond that the oldest is dropped."""
        self._limit = MIN_KEPT + KEPT_PER_JOB * jobs

    def without_credential(self, request: Request) -> PreparedRequest:
        """A newly prepared request to which no credential was applied."""
        url, headers = self._base_url + request.path, {**self._headers, **dict(request.headers)}
        return requests.Request(request.method, url, headers=headers, data=request.body or None).prepare()

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
            if len(self._kept) >= self._limit:
                del self._kept[next(iter(self._kept))]
            self._kept[request] = kept
        if not signs:
            return kept[1]
        # A signature is valid for one send only: it is applied to a copy.
        signed = kept[1].copy()
        self._credential.apply(signed)
        return signed
