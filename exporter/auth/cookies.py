"""Cookies as a credential: those of a login, which later responses may change."""

import re
from collections.abc import Iterable, Mapping, Sequence
from email.message import Message
from http.cookiejar import Cookie, CookieJar
from types import SimpleNamespace
from typing import Any, ClassVar
from urllib.parse import urlsplit
from urllib.request import Request

from requests import PreparedRequest, Response

from exporter.auth.token import TokenCredential
from exporter.model.http import TOKEN
from exporter.runtime.secret import Secret

MAX_COOKIES = 20
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

    def apply(self, request: PreparedRequest) -> None:
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
        login = super().version()
        if not self._is_of(login, version):
            return
        self._confirmed = login
        if cookies and (kept := self.grant.cookies):
            self._changes += sum(_keep(kept, cookie) for cookie in _read(cookies, self._base_url))

    @staticmethod
    def _is_of(login: object, version: object) -> bool:
        return isinstance(version, tuple) and version[0] == login

    def session_cookies(self, response: Response, first: str) -> dict[str, str]:
        """The cookies of a login that the system may receive; the one named `first` comes first."""
        cookies: dict[str, str] = {}
        host = _cookie_host(self._base_url)
        jar: CookieJar = response.cookies
        # The session first: other cookies must not use up the limits.
        for cookie in sorted(jar, key=lambda cookie: cookie.name != first):
            if _is_for(cookie, host):
                _keep(cookies, cookie)
        return cookies


def origin(url: str) -> tuple[str, str | None, int | None]:
    """Scheme, host and port of a URL."""
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port


def _cookie_host(url: str) -> str:
    """The host as `CookieJar` writes it."""
    host = urlsplit(url).hostname or ""
    return host if "." in host else f"{host}.local"


def _is_for(cookie: Cookie, host: str) -> bool:
    """Whether a cookie, which another host may have set, may be sent to a host (RFC 6265 section 5.1.3)."""
    domain = cookie.domain.lstrip(".")
    return host == domain or (cookie.domain_specified and host.endswith(f".{domain}"))


def _keep(cookies: dict[str, str], cookie: Cookie) -> bool:
    """Stores a cookie if it is new, valid and within the limits; returns whether it was stored."""
    name, value = cookie.name, cookie.value
    if not value or not TOKEN.fullmatch(name) or not _VALUE.fullmatch(value) or cookies.get(name) == value:
        return False
    more = {**cookies, name: value}
    if len(more) > MAX_COOKIES or len(_header(more)) > MAX_HEADER_LENGTH:
        return False
    cookies[name] = value
    return True


def _read(lines: Sequence[str], url: str) -> Iterable[Cookie]:
    """The cookies that ``Set-Cookie`` lines of the host in `url` may set, without those that delete one."""
    message: Any = Message()
    for line in lines[:MAX_COOKIES]:
        if len(line) <= MAX_COOKIE_LENGTH:
            message["Set-Cookie"] = line
    jar = CookieJar()
    response: Any = SimpleNamespace(info=lambda: message)
    jar.extract_cookies(response, Request(url))  # noqa: S310  it is not opened
    return jar


def _header(cookies: Mapping[str, str]) -> str:
    return "; ".join(f"{name}={value}" for name, value in cookies.items())
