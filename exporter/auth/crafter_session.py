"""A session of CrafterCMS Studio 3.x: a login returns cookies, which later responses may change.

Source: the Studio's ``security/login.json`` and its CSRF protection, which requires the same arbitrary value
in a cookie and in a header. Studio 4 has access tokens instead (``bearer``).

A session of Studio 3.1 has two attributes: that of Spring Security, and ``Authentication`` with the user
and a token. The second is not ``Serializable``, so Tomcat restores only the first when it has been restarted.
The requests of such a session get status 500 and code 1000, never 401, and they prevent its timeout.
"""

from collections.abc import Mapping
from secrets import token_urlsafe
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from exporter import config_types as fields
from exporter.auth.cookies import NO_END_SECONDS, CookieCredential
from exporter.auth.token import Grant

if TYPE_CHECKING:
    from requests import Session

LOGIN_PATH = "/api/1/services/api/1/security/login.json"
SESSION_COOKIE = "JSESSIONID"


class CrafterSessionKeys(fields.Keys):
    """A user of the Studio. The login is below ``base_url``."""

    type: Literal["crafter_session"]
    username: str = Field(min_length=1, description="a user of the Studio with access to the sites")
    password: fields.SecretValue = Field(description="the user's password")


class CrafterSession(CookieCredential):
    """Logs in with user name and password and sets the cookies of the session."""

    kind: ClassVar[str] = "crafter_session"
    Keys: ClassVar[type[fields.Keys]] = CrafterSessionKeys
    doubts: ClassVar[frozenset[int]] = frozenset({500})

    def __init__(self, keys: CrafterSessionKeys) -> None:
        super().__init__(keys.password)
        self._username = keys.username

    def bind(self, base_url: str, headers: Mapping[str, str]) -> None:
        """Sets the address of the login, which is on the system itself."""
        super().bind(base_url, headers)
        self.endpoint = base_url + LOGIN_PATH

    def fetch(self, session: "Session", secrets: tuple[str, ...]) -> Grant:
        """Logs in."""
        (password,) = secrets
        pair = token_urlsafe(24)
        headers = {**self._headers, "Cookie": f"XSRF-TOKEN={pair}", "X-XSRF-TOKEN": pair}
        body = {"username": self._username, "password": password}
        response = self.send(session, json=body, headers=headers)
        self.check_status(response)
        return Grant("", NO_END_SECONDS, self.session_cookies(response, SESSION_COOKIE))
