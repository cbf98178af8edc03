"""A session of CrafterCMS Studio 3.x: a login returns cookies, which later responses may change.

Source: the Studio's ``security/login.json`` and its CSRF protection, which requires the same arbitrary value
in a cookie and in a header. Studio 4 has access tokens instead (``bearer``).
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
from exporter.auth.token import TokenCredential
from exporter.model.http import TOKEN

LOGIN_PATH = "/api/1/services/api/1/security/login.json"
SESSION_COOKIE = "JSESSIONID"
MAX_COOKIES = 20
MAX_COOKIE_LENGTH = 4096
MAX_HEADER_LENGTH = 8192

# The Studio does not say when a session expires, so it is renewed only after a 401.
_NO_END_SECONDS = 10 * 365 * 86400.0
_VALUE = re.compile(r"[\x21-\x3a\x3c-\x7e]+")


class CrafterSessionKeys(fields.Keys):
    """A user of the Studio. The login is below ``base_url``."""

    type: Literal["crafter_session"]
    username: str = Field(min_length=1, description="a user of the Studio with access to the sites")
    password: fields.SecretValue = Field(description="the user's password")


class CrafterSession(TokenCredential):
    """Logs in with user name and password and sets the cookies of the session."""

    kind: ClassVar[str] = "crafter_session"
    Keys: ClassVar[type[fields.Keys]] = CrafterSessionKeys
    keeps_cookies: ClassVar[bool] = True
    action: ClassVar[str] = "log in to"

    def __init__(self, keys: CrafterSessionKeys) -> None:
        super().__init__(keys.password)
        self._username = keys.username
        self._base_url = ""
        self._headers: Mapping[str, str] = {}
        self._login: object = None
        self._cookies: dict[str, str] = {}
        self._changes = 0

    def bind(self, base_url: str, headers: Mapping[str, str]) -> None:
        """Keeps both for the login, which is on the system itself, behind the same gateways."""
        self._base_url, self._headers, self.endpoint = base_url, headers, base_url + LOGIN_PATH

    def apply(self, request: PreparedRequest) -> None:
        """Sets the cookies, if the request is to the Studio's own host; fails without a session."""
        cookies = self._current()
        if _origin(request.url or "") == _origin(self._base_url):
            request.headers["Cookie"] = _header(cookies)

    def version(self) -> object:
        """Changes with every login and with every cookie that a response changed."""
        return super().version(), self._changes

    def fetch(self, session: Session, secrets: tuple[str, ...]) -> tuple[str, float]:
        """Logs in; the token is the value of ``Cookie``."""
        pair = token_urlsafe(24)
        headers = {**self._headers, "Cookie": f"XSRF-TOKEN={pair}", "X-XSRF-TOKEN": pair}
        (password,) = secrets
        body = {"username": self._username, "password": password}
        response = self.post(session, json=body, headers=headers)
        self.check_status(response)
        cookies: dict[str, str] = {}
        jar: CookieJar = response.cookies
        # The session first: other cookies must not use up the limits.
        for cookie in sorted(jar, key=lambda cookie: cookie.name != SESSION_COOKIE):
            _keep(cookies, cookie)
        if SESSION_COOKIE not in cookies:
            raise self.failure(f"the response has no usable cookie {SESSION_COOKIE}")
        return _header(cookies), _NO_END_SECONDS

    def store_cookies(self, version: object, cookies: Sequence[str]) -> None:
        """Stores cookies that replace or extend those of this login; none is removed."""
        if not cookies or not isinstance(version, tuple) or version[0] != super().version():
            return
        kept = self._current()
        self._changes += sum(_keep(kept, cookie) for cookie in _read(cookies, self._base_url))

    def _current(self) -> dict[str, str]:
        """The cookies of the last login with all later changes."""
        login = super().version()
        if login != self._login:
            self._cookies = dict(pair.split("=", 1) for pair in self.token.split("; "))
            self._login = login
        return self._cookies


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


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port
