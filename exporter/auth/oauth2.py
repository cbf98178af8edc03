"""OAuth 2.0 client credentials (RFC 6749 section 4.4)."""

import re
from typing import Annotated, ClassVar, Literal
from urllib.parse import quote_plus

from pydantic import AfterValidator, Field
from requests import Session

from exporter import config_types as fields
from exporter.auth.credential import basic_header
from exporter.auth.token import TokenCredential, bounded_life, json_object, usable

_OWN_FIELDS = frozenset({"grant_type", "client_id", "client_secret", "scope", "audience"})
# RFC 6749 section 5.2; any other value would be text of the response.
_ERRORS = frozenset(
    {
        "invalid_request",
        "invalid_client",
        "invalid_grant",
        "unauthorized_client",
        "unsupported_grant_type",
        "invalid_scope",
    }
)
_SECONDS = re.compile(r"\d{1,12}(\.\d{1,12})?", re.ASCII)


def _extra(params: dict[str, str]) -> dict[str, str]:
    if own := sorted(_OWN_FIELDS.intersection(params)):
        raise ValueError(f"must not contain {', '.join(own)}: the keys of auth: and the grant set these")
    return params


class OAuth2Keys(fields.Keys):
    """The token endpoint, and the client that the token is for."""

    type: Literal["oauth2"]
    token_url: fields.EndpointUrl = Field(description="token endpoint")
    client_id: str = Field(min_length=1, description="id of the client")
    client_secret: fields.SecretValue = Field(description="secret of the client")
    scope: str | None = Field(None, description="scopes, separated by spaces")
    audience: str | None = Field(None, description="audience of the token, if the endpoint requires it")
    client_auth: Literal["form", "basic"] = Field("form", description="how the secret of the client is sent")
    params: Annotated[dict[str, str], AfterValidator(_extra)] = Field(
        default_factory=dict, description="additional form fields; no secrets"
    )


class OAuth2(TokenCredential):
    """Fetches a token with the client's secret and sets ``Authorization: Bearer …``."""

    kind: ClassVar[str] = "oauth2"
    Keys: ClassVar[type[fields.Keys]] = OAuth2Keys

    def __init__(self, keys: OAuth2Keys) -> None:
        super().__init__(keys.client_secret, keys.token_url)
        self._keys = keys

    def fetch(self, session: Session, secret: str) -> tuple[str, float]:
        """Requests a token from the token endpoint."""
        headers = {"Accept": "application/json", **self._client(secret)}
        response = self.post(session, data=self._form(secret), headers=headers)
        body = json_object(response)
        code = body.get("error")
        self.check_status(response, 200, f" ({code})" if isinstance(code, str) and code in _ERRORS else "")
        token, kind = body.get("access_token"), body.get("token_type")
        if not usable(token):
            raise self.failure("the response has no usable access_token")
        if kind is not None and not (isinstance(kind, str) and kind.casefold() == "bearer"):
            raise self.failure("the response has a token_type other than bearer")
        return token, _life(body.get("expires_in"))

    def _form(self, secret: str) -> dict[str, str]:
        keys = self._keys
        form = {"grant_type": "client_credentials", "scope": keys.scope, "audience": keys.audience}
        if keys.client_auth == "form":
            form |= {"client_id": keys.client_id, "client_secret": secret}
        return {**keys.params, **{name: value for name, value in form.items() if value is not None}}

    def _client(self, secret: str) -> dict[str, str]:
        """Section 2.3.1: both parts are form-encoded before the Basic encoding."""
        if self._keys.client_auth == "form":
            return {}
        return {"Authorization": basic_header(quote_plus(self._keys.client_id), quote_plus(secret))}


def _life(value: object) -> float:
    """``expires_in``, a number or a string; the default if it is neither."""
    if isinstance(value, str) and _SECONDS.fullmatch(value):
        value = float(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        value = 0
    return bounded_life(value)
