"""OAuth 2.0 client credentials (RFC 6749 section 4.4)."""

from typing import Annotated, ClassVar, Literal
from urllib.parse import quote_plus

from pydantic import AfterValidator, Field
from requests import Session

from exporter import config_types as fields
from exporter.auth.credential import basic_header
from exporter.auth.jwt import jwt_expiry
from exporter.auth.token import TokenCredential, json_object, usable

_OWN_FIELDS = frozenset({"grant_type", "client_id", "client_secret", "scope", "audience"})
# RFC 6749 sections 5.2 and 4.1.2.1 and RFC 8707; any other value would be text of the response.
_ERRORS = frozenset(
    {
        "invalid_request",
        "invalid_client",
        "invalid_grant",
        "unauthorized_client",
        "unsupported_grant_type",
        "invalid_scope",
        "access_denied",
        "server_error",
        "temporarily_unavailable",
        "invalid_target",
    }
)
# The registered types (RFC 6749 section 11.1) that are not sent as a bearer token, and that of a draft.
_OTHER_TYPES = frozenset({"dpop", "pop", "mac", "n_a"})


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
        reason = f" ({code})" if isinstance(code, str) and code in _ERRORS else ""
        self.check_status(response, reason)
        token, kind = body.get("access_token"), body.get("token_type")
        if not usable(token):
            # GitHub, among others, reports an error with status 200.
            raise self.failure(f"the response has no usable access_token{reason}")
        # A bearer token has other names too: BearerToken of Apigee, Application Access Token of eBay.
        if isinstance(kind, str) and kind.strip().casefold() in _OTHER_TYPES:
            raise self.failure("the response has a token_type that is not sent as a bearer token")
        # Microsoft's expires_on is a Unix time; expires_at is a Unix time or a date.
        ends = (body.get(name) for name in ("expires_in", "expires_on", "expires_at"))
        return token, self.life(response, *ends, jwt_expiry(token))

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
