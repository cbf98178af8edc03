"""A token of Huawei Cloud's IAM, fetched with the password of an IAM user, sent as ``X-Auth-Token``.

Source: "Obtaining a User Token Through Password Authentication" (KeystoneCreateUserTokenByPassword).
A token is valid for 24 hours; a new one does not invalidate the one before it.
"""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from exporter import config_types as fields
from exporter.auth.token import Grant, TokenCredential, json_object, usable

if TYPE_CHECKING:
    from requests import Session

_TOKEN_HEADER = "X-Subject-Token"  # noqa: S105  a header's name


class HuaweiTokenKeys(fields.Keys):
    """An IAM user, and the project that the token is for."""

    type: Literal["huawei_token"]
    token_url: fields.EndpointUrl = Field(
        description="IAM's token endpoint, such as https://iam.REGION.myhuaweicloud.com/v3/auth/tokens"
    )
    username: str = Field(min_length=1, description="name of an IAM user; a HUAWEI ID gets no token")
    password: fields.SecretValue = Field(description="the IAM user's password")
    domain: str = Field(min_length=1, description="name of the account that the IAM user belongs to")
    project: str = Field(
        min_length=1, description="name of the project; the default project of a region has the region's name"
    )


class HuaweiToken(TokenCredential):
    """Fetches a token with the user's password and sets ``X-Auth-Token``.

    Args:
        clock: Unix time, for responses without ``Date``.
    """

    kind: ClassVar[str] = "huawei_token"
    Keys: ClassVar[type[fields.Keys]] = HuaweiTokenKeys
    header: ClassVar[tuple[str, str]] = "X-Auth-Token", ""

    def __init__(self, keys: HuaweiTokenKeys, clock: Callable[[], float] = time.time) -> None:
        super().__init__(keys.password, endpoint=keys.token_url, clock=clock)
        self._keys = keys

    def fetch(self, session: "Session", secrets: tuple[str, ...]) -> Grant:
        """Requests a token from IAM."""
        response = self.send(session, json=self._body(*secrets))
        self.check_status(response)
        token = response.headers.get(_TOKEN_HEADER)
        if not usable(token):
            raise self.failure(f"the response has no usable header {_TOKEN_HEADER}", response.status_code)
        about = json_object(response).get("token")
        ends_at = about.get("expires_at") if isinstance(about, dict) else None
        return Grant(token, self.life(response, ends_at))

    def _body(self, password: str) -> dict[str, Any]:
        keys = self._keys
        user = {"name": keys.username, "password": password, "domain": {"name": keys.domain}}
        return {
            "auth": {
                "identity": {"methods": ["password"], "password": {"user": user}},
                "scope": {"project": {"name": keys.project}},
            }
        }
