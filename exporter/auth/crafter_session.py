"""A session of CrafterCMS Studio 3.x: had by logging in, kept in cookies, which reads may change.

Source: the Studio's ``security/login.json`` and its defence against forged requests, which wants one
value of our own choice in a cookie and in a header. Studio 4 has access tokens instead (``bearer``).
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from email.message import Message
from http.cookiejar import Cookie, CookieJar
from secrets import token_urlsafe
from types import SimpleNamespace
from typing import Any, ClassVar, Literal
from urllib.parse import urlsplit
from urllib.request import Request

from pydantic import Field
from requests import PreparedRequest, Session

from exporter import config_types as fields
from exporter.auth.token import TokenCredential, post
from exporter.model.failure import Failure, Reason
from exporter.model.http import TOKEN

LOGIN_PATH = "/api/1/services/api/1/security/login.json"
SESSION_COOKIE = "JSESSIONID"
MAX_COOKIES = 20
MAX_COOKIE_LENGTH = 4096
MAX_HEADER_LENGTH = 8192

# An idle session ends when the Studio says so; there is no time at which to log in before that.
_NO_END_SECONDS = 10 * 365 * 86400.0
_VALUE = re.compile(r"[\x21-\x3a\x3c-\x7e]+")


class CrafterSessionKeys(fields.Keys):
    """A user of the Studio; the login is the Studio's own, below ``base_url``."""

    type: Literal["crafter_session"]
    username: str = Field(min_length=1, description="a user of the Studio that may see the sites")
    password: fields.SecretValue = Field(description="the user's password")


class CrafterSession(TokenCredential):
    """Logs in with user name and password and writes the session's cookies."""

    kind: ClassVar[str] = "crafter_session"
    Keys: ClassVar[type[fields.Keys]] = CrafterSessionKeys
    keeps_cookies: ClassVar[bool] = True

    def __init__(self, keys: CrafterSessionKeys) -> None:
        super().__init__(keys.password)
        self._username = keys.username
        self._base_url = ""
        self._headers: Mapping[str, str] = {}
        self._login: object = None
        self._cookies: dict[str, str] = {}
        self._changes = 0

    def bind(self, base_url: str, headers: Mapping[str, str]) -> None:
        """The login is at the system itself, behind the same gateways."""
        self._base_url, self._headers = base_url, headers

    def apply(self, request: PreparedRequest) -> None:
        """Writes the cookies, for the Studio's own host alone.

        Raises:
            Failure: reason ``auth``, nobody has logged in yet.
        """
        cookies = self._current()
        if _origin(request.url or "") == _origin(self._base_url):
            request.headers["Cookie"] = _header(cookies)

    def version(self) -> object:
        """Another one with every login and with every cookie that an answer changed."""
        return super().version(), self._changes

    def fetch(self, session: Session, secret: str) -> tuple[str, float]:
        """Logs in; the token is the line of cookies."""
        pair = token_urlsafe(24)
        headers = {**self._headers, "Cookie": f"XSRF-TOKEN={pair}", "X-XSRF-TOKEN": pair}
        body = {"username": self._username, "password": secret}
        response = post(session, self._base_url + LOGIN_PATH, what="the login", json=body, headers=headers)
        if response.status_code != 200:
            detail = f"the login answered HTTP {response.status_code}"
            raise Failure(Reason.AUTH, detail, status=response.status_code)
        cookies: dict[str, str] = {}
        jar: CookieJar = response.cookies
        # The session first: no other cookie may take its room.
        for cookie in sorted(jar, key=lambda cookie: cookie.name != SESSION_COOKIE):
            _keep(cookies, cookie)
        if SESSION_COOKIE not in cookies:
            raise Failure(Reason.AUTH, f"the login answered without a usable {SESSION_COOKIE}")
        return _header(cookies), _NO_END_SECONDS

    def answered(self, version: object, cookies: Sequence[str]) -> None:
        """Keeps cookies that replace or join those of this login; nothing takes one away."""
        if not cookies or not isinstance(version, tuple) or version[0] != super().version():
            return
        kept = self._current()
        self._changes += sum(_keep(kept, cookie) for cookie in _read(cookies, self._base_url))

    def _current(self) -> dict[str, str]:
        """The cookies of the last login with what answers have made of them since."""
        login = super().version()
        if login != self._login:
            self._cookies = dict(pair.split("=", 1) for pair in self.token.split("; "))
            self._login = login
        return self._cookies


def _keep(cookies: dict[str, str], cookie: Cookie) -> bool:
    """Whether the cookie is new, may stand in a header, and there is room for it: then it is kept."""
    name, value = cookie.name, cookie.value
    if not value or not TOKEN.fullmatch(name) or not _VALUE.fullmatch(value) or cookies.get(name) == value:
        return False
    more = {**cookies, name: value}
    if len(more) > MAX_COOKIES or len(_header(more)) > MAX_HEADER_LENGTH:
        return False
    cookies[name] = value
    return True


def _read(lines: Sequence[str], url: str) -> Iterable[Cookie]:
    """The cookies that ``Set-Cookie`` lines of the host in `url` may set; those that end one are left out."""
    message: Any = Message()
    for line in lines[:MAX_COOKIES]:
        if len(line) <= MAX_COOKIE_LENGTH:
            message["Set-Cookie"] = line
    jar = CookieJar()
    response: Any = SimpleNamespace(info=lambda: message)
    jar.extract_cookies(response, Request(url))  # noqa: S310  nothing is opened
    return jar


def _header(cookies: Mapping[str, str]) -> str:
    return "; ".join(f"{name}={value}" for name, value in cookies.items())


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port
