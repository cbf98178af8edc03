"""Cookies as a credential: those of a login, which later responses may change."""

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar
from urllib.parse import urlsplit

from exporter.auth.set_cookie import SetCookie, parse
from exporter.auth.token import TokenCredential
from exporter.model.http import TOKEN
from exporter.runtime.secret import Secret
from exporter.transport import Outgoing, prepared_base

if TYPE_CHECKING:
    from requests import Response

MAX_COOKIES = 20
MAX_LINES = 100
MAX_COOKIE_LENGTH = 4096
MAX_HEADER_LENGTH = 8192

# Few systems say when a session expires, so it is renewed only after it was rejected.
NO_END_SECONDS = 10 * 365 * 86400.0
_VALUE = re.compile(r"[\x21-\x3a\x3c-\x7e]+")


class CookieCredential(TokenCredential):
    """A credential that sends the cookies of a session to one host.

    After a login, requests are sent one at a time until there is a response. Spring Security, for example,
    replaces the id of a session with the first request after a login that an application wrote itself
    (``SessionManagementFilter``), and the old id is invalid from then on.

    Args:
        secrets: of the login.
    """

    keeps_cookies: ClassVar[bool] = True
    action: ClassVar[str] = "log in to"

    def __init__(self, *secrets: Secret) -> None:
        super().__init__(*secrets)
        self._base_url = ""
        self._headers: Mapping[str, str] = {}
        self._changes = 0
        self._confirmed: object = None

    def bind(self, base_url: str, headers: Mapping[str, str]) -> None:
        """Keeps both for the login: if it is on the system itself, it is behind the same gateways."""
        self._base_url, self._headers = base_url, headers

    def apply(self, request: Outgoing) -> None:
        """Sets the cookies, if the request is to the system's own host; fails without a session."""
        cookies = self.grant.cookies
        if cookies and origin(request.url or "") == origin(self._base_url):
            request.headers["Cookie"] = _header(cookies)

    def version(self) -> object:
        """Changes with every login and with every cookie that a response changed."""
        return super().version(), self._changes

    def is_unconfirmed(self, version: object) -> bool:
        """Whether there was no response yet to a request with the cookies of this login."""
        login = super().version()
        return login != self._confirmed and self._is_of(login, version) and bool(self.grant.cookies)

    def store_cookies(self, version: object, cookies: Sequence[str]) -> None:
        """Stores cookies that replace or extend those of this login; none is removed."""
        with self._lock:
            login = super().version()
            if not self._is_of(login, version):
                return
            self._confirmed = login
            if cookies and (kept := self.grant.cookies):
                found = _read(cookies[:MAX_COOKIES], self._base_url, self._clock())
                self._changes += sum(_keep(kept, cookie) for cookie in found if not cookie.ended)

    @staticmethod
    def _is_of(login: object, version: object) -> bool:
        return isinstance(version, tuple) and version[0] == login

    def session_cookies(self, response: "Response", name: str) -> dict[str, str]:
        """The cookies of a login that the system may receive.

        Args:
            name: of the one that must be there, and comes first; any if it is empty.

        Raises:
            Failure: reason ``auth``, it is not there.
        """
        kept: dict[str, str] = {}
        found = _read(_lines(response), self.endpoint, self.server_time(response))
        # The session first: other cookies must not use up the limits.
        for cookie in sorted(found, key=lambda cookie: cookie.name != name):
            if cookie.ended:
                kept.pop(cookie.name, None)
            elif cookie.is_for(self._base_url):
                _keep(kept, cookie)
        if name in kept or (kept and not name):
            return kept
        secure = any(each.only_tls for each in found if name in ("", each.name))
        why = (
            ": it is for https only, and base_url is http"
            if secure and self._base_url.startswith("http:")
            else ""
        )
        raise self.failure(f"the response has no usable cookie {name}".rstrip() + why, response.status_code)


def origin(url: str) -> tuple[str, str | None, int | None]:
    """Scheme, host and port of a URL. The host is as it is sent, in ASCII: that of a request is already."""
    parts = urlsplit(prepared_base(url))
    return parts.scheme, parts.hostname, parts.port


def _keep(cookies: dict[str, str], cookie: SetCookie) -> bool:
    """Stores a cookie if it is new, valid and within the limits; returns whether it was stored."""
    name, value = cookie.name, cookie.value
    if not value or not TOKEN.fullmatch(name) or not _VALUE.fullmatch(value) or cookies.get(name) == value:
        return False
    more = {**cookies, name: value}
    if len(more) > MAX_COOKIES or len(_header(more)) > MAX_HEADER_LENGTH:
        return False
    cookies[name] = value
    return True


def _lines(response: "Response") -> Sequence[str]:
    """The ``Set-Cookie`` lines of a response."""
    lines: Sequence[str] | None = response.raw.headers.get_all("Set-Cookie")
    return lines or ()


def _read(lines: Sequence[str], url: str, now: float) -> list[SetCookie]:
    """The cookies that lines of a response from `url` set or delete; ``now`` is Unix time."""
    found = (parse(line, url, now) for line in lines[:MAX_LINES] if len(line) <= MAX_COOKIE_LENGTH)
    return [cookie for cookie in found if cookie is not None]


def _header(cookies: Mapping[str, str]) -> str:
    return "; ".join(f"{name}={value}" for name, value in cookies.items())
