"""OAuth 2.0 client credentials (RFC 6749 section 4.4): a token that is fetched, kept and renewed."""

import json
import re
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, ClassVar, Literal
from urllib.parse import quote_plus

from pydantic import AfterValidator, Field
from requests import PreparedRequest, Response, Session
from requests.exceptions import SSLError, Timeout

from exporter import fields
from exporter.auth.base import Credential, Watched
from exporter.auth.basic import basic_header
from exporter.failure import Failure, Reason

MAX_TOKEN_LENGTH = 64 * 1024
DEFAULT_LIFE_SECONDS = 300.0
MAX_LIFE_SECONDS = 86400.0
EARLY_SECONDS = 30.0
EARLY_SHARE = 0.1
RETRY_SECONDS = 5.0
FORCED_SECONDS = 30.0

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
_TOKEN = re.compile(r"[\x21-\x7e\xa1-\xff]+")
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
    client_secret: fields.SecretValue = Field(description="secret")
    scope: str | None = Field(None, description="scopes, with spaces between them")
    audience: str | None = Field(None, description="whom the token is for, where the endpoint asks")
    client_auth: Literal["form", "basic"] = Field("form", description="how the client's secret is sent")
    params: Annotated[dict[str, str], AfterValidator(_extra)] = Field(
        default_factory=dict, description="more form fields; no secrets"
    )


@dataclass(frozen=True, slots=True)
class _Token:
    """A token, in monotonic seconds.

    Args:
        origin: the version of the secret that it was got with; it does not outlive that.
        forced: it was got because the one before it was refused.
    """

    value: str = field(repr=False)
    origin: int
    got_at: float
    renew_at: float
    ends_at: float
    forced: bool


class OAuth2(Credential):
    """Fetches a token with the client's secret and writes ``Authorization: Bearer …``."""

    kind: ClassVar[str] = "oauth2"
    Keys: ClassVar[type[fields.Keys]] = OAuth2Keys

    def __init__(self, keys: OAuth2Keys) -> None:
        self._keys = keys
        self._secret = Watched(keys.client_secret)
        self._token: _Token | None = None
        self._serial = 0
        self._refused = False
        self._now = 0.0

    def apply(self, request: PreparedRequest) -> None:
        """Writes the header.

        Raises:
            Failure: reason ``auth``, there is no token yet.
        """
        if self._token is None:
            raise Failure(Reason.AUTH, "there is no token yet")
        request.headers["Authorization"] = f"Bearer {self._token.value}"

    def version(self) -> object:
        """Another one with every token, and already when the client's secret has changed."""
        return self._secret.version, self._serial

    def must_renew(self, now: float) -> bool:
        """Whether a token has to be fetched: none, refused, about to end, or of an older secret."""
        self._now = now
        token = self._token
        return token is None or self._refused or now >= token.renew_at or token.origin != self._secret.version

    def renew(self, session: Session, now: float) -> None:
        """Fetches a token.

        While the one at hand still serves, a fetch that fails is put off rather than told: that is
        what renewing early is for.

        Raises:
            Failure: reason ``auth``, with no text of request or answer in it.
        """
        origin, old = self._secret.version, self._token
        try:
            answer = _understand(self._fetch(session))
        except Failure:
            if old is None or self._refused or old.origin != origin or now + RETRY_SECONDS >= old.ends_at:
                raise
            # Rarely enough that an endpoint which hangs costs a read now and then, not every read.
            self._token = replace(old, renew_at=now + max(RETRY_SECONDS, (old.ends_at - now) / 4))
            return
        value, life = answer
        early = min(max(EARLY_SECONDS, life * EARLY_SHARE), life / 2)
        self._token = _Token(value, origin, now, now + life - early, now + life, self._refused)
        self._refused = False
        self._serial += 1

    def refused(self, version: object) -> bool:
        """Gives the token up if it is still the one that was refused.

        A token that was itself fetched after a refusal, a moment ago, is kept: then the fault is
        not the token's, and every read would fetch another.
        """
        token = self._token
        if version != self.version() or token is None or self._refused:
            return True
        if token.forced and self._now - token.got_at < FORCED_SECONDS:
            return False
        self._refused = True
        return True

    def _fetch(self, session: Session) -> Response:
        try:
            return session.post(
                self._keys.token_url,
                data=self._form(),
                headers={"Accept": "application/json", **self._client()},
                allow_redirects=False,
            )
        except Timeout:
            detail = "the token endpoint did not answer in time"
        except SSLError:
            detail = "the token endpoint cannot be trusted (TLS)"
        except Failure as failure:
            detail = f"the token endpoint could not be asked ({failure.reason})"
        except (OSError, ValueError):  # requests' exceptions are OSErrors, those of odd input ValueErrors
            detail = "the token endpoint could not be asked"
        # Raised out here, so that not even its context holds text of request or answer.
        raise Failure(Reason.AUTH, detail)

    def _form(self) -> dict[str, str]:
        keys = self._keys
        form = {"grant_type": "client_credentials", **keys.params}
        if keys.scope is not None:
            form["scope"] = keys.scope
        if keys.audience is not None:
            form["audience"] = keys.audience
        if keys.client_auth == "form":
            form["client_id"] = keys.client_id
            (form["client_secret"],) = self._secret.values
        return form

    def _client(self) -> dict[str, str]:
        """Section 2.3.1: both parts are form-encoded before they go into Basic."""
        if self._keys.client_auth == "form":
            return {}
        (secret,) = self._secret.values
        return {"Authorization": basic_header(quote_plus(self._keys.client_id), quote_plus(secret))}


def _understand(response: Response) -> tuple[str, float]:
    """The token in an answer, and for how many seconds it holds.

    Raises:
        Failure: reason ``auth``, there is none that can be used.
    """
    status = response.status_code
    body = _object(response)
    if status != 200:
        code = body.get("error")
        known = f" ({code})" if isinstance(code, str) and code in _ERRORS else ""
        raise Failure(Reason.AUTH, f"the token endpoint answered HTTP {status}{known}", status=status)
    token, kind = body.get("access_token"), body.get("token_type")
    if not isinstance(token, str) or not 0 < len(token) <= MAX_TOKEN_LENGTH or not _TOKEN.fullmatch(token):
        raise Failure(Reason.AUTH, "the token endpoint answered without a usable access_token")
    if kind is not None and not (isinstance(kind, str) and kind.casefold() == "bearer"):
        raise Failure(Reason.AUTH, "the token endpoint answered with a token that is no bearer token")
    return token, _life(body.get("expires_in"))


def _object(response: Response) -> dict[str, Any]:
    """The body as a JSON object, or an empty one for anything else."""
    try:
        body = json.loads(response.content)
    except (ValueError, RecursionError):
        return {}
    return body if isinstance(body, dict) else {}


def _life(value: object) -> float:
    """``expires_in``, as number or as text; five minutes where it says nothing that makes sense."""
    if isinstance(value, str) and _SECONDS.fullmatch(value):
        value = float(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
        return DEFAULT_LIFE_SECONDS
    return float(min(max(value, 1), MAX_LIFE_SECONDS))
