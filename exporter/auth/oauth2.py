"""OAuth 2.0 client credentials (RFC 6749 section 4.4): a token that is fetched, kept and renewed."""

import re
from typing import Annotated, ClassVar, Literal
from urllib.parse import quote_plus

from pydantic import AfterValidator, Field
from requests import PreparedRequest, Response, Session

from exporter import config_types as fields
from exporter.auth.credential import basic_header
from exporter.auth.token import TokenCredential, bounded_life, json_object, post, usable
from exporter.model.failure import Failure, Reason

_OWN_FIELDS = frozenset({"grant_type", "client_id", "client_secret", "scope", "audience"})
# RFC 6749 section 5.2; any other word would be text of an answer.
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
        raise ValueError(f"must not hold {', '.join(own)}: the keys of auth: and the grant set these")
    return params


class OAuth2Keys(fields.Keys):
    """Where tokens are had, and for whom."""

    type: Literal["oauth2"]
    token_url: fields.EndpointUrl = Field(description="token endpoint, called as it stands")
    client_id: str = Field(min_length=1, description="the client's name at that endpoint")
    client_secret: fields.SecretValue = Field(description="the client's secret at that endpoint")
    scope: str | None = Field(None, description="scopes, with spaces between them")
    audience: str | None = Field(None, description="whom the token is for, where the endpoint asks")
    client_auth: Literal["form", "basic"] = Field("form", description="how the client's secret is sent")
    params: Annotated[dict[str, str], AfterValidator(_extra)] = Field(
        default_factory=dict, description="more form fields; no secrets"
    )


class OAuth2(TokenCredential):
    """Fetches a token with the client's secret and writes ``Authorization: Bearer …``."""

    kind: ClassVar[str] = "oauth2"
    Keys: ClassVar[type[fields.Keys]] = OAuth2Keys

    def __init__(self, keys: OAuth2Keys) -> None:
        super().__init__(keys.client_secret)
        self._keys = keys

    def apply(self, request: PreparedRequest) -> None:
        """Writes the header.

        Raises:
            Failure: reason ``auth``, there is no token yet.
        """
        request.headers["Authorization"] = f"Bearer {self.token}"

    def fetch(self, session: Session, secret: str) -> tuple[str, float]:
        """Asks the token endpoint."""
        headers = {"Accept": "application/json", **self._client(secret)}
        return _understand(post(session, self._keys.token_url, data=self._form(secret), headers=headers))

    def _form(self, secret: str) -> dict[str, str]:
        keys = self._keys
        form = {"grant_type": "client_credentials", **keys.params}
        if keys.scope is not None:
            form["scope"] = keys.scope
        if keys.audience is not None:
            form["audience"] = keys.audience
        if keys.client_auth == "form":
            form["client_id"] = keys.client_id
            form["client_secret"] = secret
        return form

    def _client(self, secret: str) -> dict[str, str]:
        """Section 2.3.1: both parts are form-encoded before they go into Basic."""
        if self._keys.client_auth == "form":
            return {}
        return {"Authorization": basic_header(quote_plus(self._keys.client_id), quote_plus(secret))}


def _understand(response: Response) -> tuple[str, float]:
    """The token in an answer, and for how many seconds it holds.

    Raises:
        Failure: reason ``auth``, there is none that can be used.
    """
    status = response.status_code
    body = json_object(response)
    if status != 200:
        code = body.get("error")
        known = f" ({code})" if isinstance(code, str) and code in _ERRORS else ""
        raise Failure(Reason.AUTH, f"the token endpoint answered HTTP {status}{known}", status=status)
    token, kind = body.get("access_token"), body.get("token_type")
    if not usable(token):
        raise Failure(Reason.AUTH, "the token endpoint answered without a usable access_token")
    if kind is not None and not (isinstance(kind, str) and kind.casefold() == "bearer"):
        raise Failure(Reason.AUTH, "the token endpoint answered with a token that is no bearer token")
    return token, _life(body.get("expires_in"))


def _life(value: object) -> float:
    """``expires_in``, as number or as text; five minutes where it says nothing that makes sense."""
    if isinstance(value, str) and _SECONDS.fullmatch(value):
        value = float(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        value = 0
    return bounded_life(value)
