"""OAuth 2.0: client credentials, or the password of a user (RFC 6749 sections 4.4 and 4.3)."""

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal
from urllib.parse import quote_plus

from pydantic import AfterValidator, ConfigDict, Field, ValidationInfo, field_validator

from exporter import config_types as fields
from exporter.auth.credential import basic_header
from exporter.auth.jwt import jwt_expiry
from exporter.auth.token import Grant, TokenCredential, json_object, usable

if TYPE_CHECKING:
    from requests import Session

_OWN_FIELDS = frozenset(
    {"grant_type", "client_id", "client_secret", "username", "password", "scope", "audience"}
)
_CLIENT, _USER = ("client_id", "client_secret"), ("username", "password")
# RFC 6749 sections 5.2 and 4.1.2.1, RFC 8707, OpenID Connect Core section 3.1.2.6 (for a user who has to do
# more than send a password); any other value would be text of the response.
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
        "interaction_required",
        "login_required",
        "consent_required",
    }
)
# The registered types (RFC 6749 section 11.1) that are not sent as a bearer token, and that of a draft.
_OTHER_TYPES = frozenset({"dpop", "pop", "mac", "n_a"})


def _extra(params: dict[str, str]) -> dict[str, str]:
    if own := sorted(_OWN_FIELDS.intersection(params)):
        raise ValueError(f"must not contain {', '.join(own)}: the keys of auth: and the grant set these")
    return params


class OAuth2Keys(fields.Keys):
    """The token endpoint, and the client or the user that the token is for."""

    model_config = ConfigDict(
        json_schema_extra={
            "if": {"required": ["grant_type"], "properties": {"grant_type": {"const": "password"}}},
            "then": {"required": [*_USER]},
            "else": {"required": [*_CLIENT]},
        }
    )

    type: Literal["oauth2"]
    token_url: fields.EndpointUrl = Field(description="token endpoint")
    grant_type: Literal["client_credentials", "password"] = Field(
        "client_credentials", description="the token is for the client, or for a user with a password"
    )
    client_id: str | None = Field(
        None,
        min_length=1,
        validate_default=True,
        description="id of the client; required unless grant_type is password",
    )
    client_secret: fields.SecretValue | None = Field(
        None,
        validate_default=True,
        description="secret of the client; required unless grant_type is password",
    )
    username: str | None = Field(
        None,
        min_length=1,
        validate_default=True,
        description="name of the user; required if grant_type is password",
    )
    password: fields.SecretValue | None = Field(
        None, validate_default=True, description="password of the user; required if grant_type is password"
    )
    scope: str | None = Field(None, description="scopes, separated by spaces")
    audience: str | None = Field(None, description="audience of the token, if the endpoint requires it")
    client_auth: Literal["form", "basic"] = Field("form", description="how the secret of the client is sent")
    params: Annotated[dict[str, str], AfterValidator(_extra)] = Field(
        default_factory=dict, description="additional form fields; no secrets"
    )

    @field_validator(*_CLIENT, *_USER)
    @classmethod
    def _goes_with_the_grant(cls, value: Any, info: ValidationInfo) -> Any:
        grant, name = info.data.get("grant_type"), info.field_name
        if value is None and name in {"client_credentials": _CLIENT, "password": _USER}.get(grant or "", ()):
            raise ValueError(f"is missing: grant_type {grant} requires it")
        if value is not None and name in _USER and grant == "client_credentials":
            raise ValueError("goes with grant_type: password only")
        if value is not None and name == "client_secret" and info.data.get("client_id", "") is None:
            raise ValueError("goes with client_id only")
        return value


class OAuth2(TokenCredential):
    """Fetches a token with the secret of the client or the user and sets ``Authorization: Bearer …``."""

    kind: ClassVar[str] = "oauth2"
    Keys: ClassVar[type[fields.Keys]] = OAuth2Keys

    def __init__(self, keys: OAuth2Keys) -> None:
        secrets = {"client_secret": keys.client_secret, "password": keys.password}
        given = {name: secret for name, secret in secrets.items() if secret is not None}
        super().__init__(*given.values(), endpoint=keys.token_url)
        self._keys = keys
        self._secret_names = tuple(given)

    def fetch(self, session: "Session", secrets: tuple[str, ...]) -> Grant:
        """Requests a token from the token endpoint."""
        form = self._form(dict(zip(self._secret_names, secrets, strict=True)))
        headers = {"Accept": "application/json", **self._client(form)}
        response = self.send(session, data=form, headers=headers)
        body = json_object(response)
        code = body.get("error")
        reason = f" ({code})" if isinstance(code, str) and code in _ERRORS else ""
        self.check_status(response, reason)
        token, kind = body.get("access_token"), body.get("token_type")
        if not usable(token):
            # GitHub, among others, reports an error with status 200.
            raise self.failure(f"the response has no usable access_token{reason}", response.status_code)
        # A bearer token has other names too: BearerToken of Apigee, Application Access Token of eBay.
        if isinstance(kind, str) and kind.strip().casefold() in _OTHER_TYPES:
            raise self.failure("the response has a token_type that is not sent as a bearer token")
        # Microsoft's expires_on is a Unix time; expires_at is a Unix time or a date.
        ends = (body.get(name) for name in ("expires_in", "expires_on", "expires_at"))
        return Grant(token, self.life(response, *ends, jwt_expiry(token)))

    def _form(self, secrets: dict[str, str]) -> dict[str, str]:
        keys = self._keys
        form = {
            name: getattr(keys, name) for name in ("grant_type", "client_id", "username", "scope", "audience")
        }
        return {
            **keys.params,
            **{name: value for name, value in form.items() if value is not None},
            **secrets,
        }

    def _client(self, form: dict[str, str]) -> dict[str, str]:
        """Moves the client from the form into a header, if it is configured so.

        Section 2.3.1: both parts are form-encoded before the Basic encoding.
        """
        if self._keys.client_auth == "form" or "client_secret" not in form:
            return {}
        name, secret = (quote_plus(form.pop(name)) for name in _CLIENT)
        return {"Authorization": basic_header(name, secret)}
