"""What credentials share that fetch a token: it is kept, and renewed before it ends or once refused."""

import json
import re
from abc import abstractmethod
from dataclasses import dataclass, field
from typing import Any, TypeGuard

from requests import Response, Session
from requests.exceptions import SSLError, Timeout

from exporter.auth.credential import Credential, Watched, secret_bytes
from exporter.model.failure import Failure, Reason
from exporter.runtime.secret import Secret

MAX_TOKEN_LENGTH = 64 * 1024
DEFAULT_LIFE_SECONDS = 300.0
MAX_LIFE_SECONDS = 86400.0
EARLY_SECONDS = 30.0
EARLY_SHARE = 0.1
FORCED_SECONDS = 30.0

_TOKEN = re.compile(r"[\x21-\x7e\xa1-\xff]+")


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


class TokenCredential(Credential):
    """A credential whose token is fetched with a secret.

    Args:
        secret: what the token is got with; when it changes, the token is given up.
    """

    def __init__(self, secret: Secret) -> None:
        self._secret = Watched(secret)
        self._token: _Token | None = None
        self._serial = 0
        self._refused = False
        self._now = 0.0

    @abstractmethod
    def fetch(self, session: Session, secret: str) -> tuple[str, float]:
        """Asks for a token.

        Returns:
            The token (see `usable`), and for how many seconds it holds.

        Raises:
            Failure: reason ``auth``, with no text of request or answer in it.
        """

    @property
    def token(self) -> str:
        """The token itself; for the wire only.

        Raises:
            Failure: reason ``auth``, there is no token yet.
        """
        if self._token is None:
            raise Failure(Reason.AUTH, "there is no token yet")
        return self._token.value

    def version(self) -> object:
        """Another one with every token, and already when the secret has changed."""
        return self._secret.version, self._serial

    def must_renew(self, now: float) -> bool:
        """Whether a token has to be fetched: none, refused, about to end, or of an older secret."""
        self._now = now
        token = self._token
        return token is None or self._refused or now >= token.renew_at or token.origin != self._secret.version

    def serves(self, now: float) -> bool:
        """Whether the token at hand still is what it was got as: it has not ended and nobody refused it."""
        token = self._token
        if token is None or self._refused or token.origin != self._secret.version:
            return False
        return now < token.ends_at

    def renew(self, session: Session, now: float) -> None:
        """Fetches a token; until it is there, and when it cannot be had, the one at hand stays.

        Raises:
            Failure: reason ``auth``, with no text of request or answer in it.
        """
        self._secret.look_again()
        origin, (secret,) = self._secret.read()
        secret_bytes(secret)
        value, life = self.fetch(session, secret)
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


def post(session: Session, url: str, *, what: str = "the token endpoint", **options: Any) -> Response:
    """Asks a token endpoint; whatever it answers is returned, a redirect too.

    Args:
        what: how a failure calls it.
        options: those of ``requests``: form or JSON, headers.

    Raises:
        Failure: reason ``auth``, it could not be asked.
    """
    try:
        return session.post(url, allow_redirects=False, **options)
    except Timeout:
        detail = f"{what} did not answer in time"
    except SSLError:
        detail = f"{what} cannot be trusted (TLS)"
    except Failure as failure:
        detail = f"{what} could not be asked ({failure.reason})"
    except (OSError, ValueError):  # requests' exceptions are OSErrors, those of odd input ValueErrors
        detail = f"{what} could not be asked"
    # Raised out here, so that not even its context holds text of request or answer.
    raise Failure(Reason.AUTH, detail)


def json_object(response: Response) -> dict[str, Any]:
    """The body as a JSON object, or an empty one for anything else."""
    try:
        body = json.loads(response.content)
    except (ValueError, RecursionError):
        return {}
    return body if isinstance(body, dict) else {}


def usable(token: object) -> TypeGuard[str]:
    """Whether it is a text that may stand in a header as one word, and not too long."""
    return isinstance(token, str) and 0 < len(token) <= MAX_TOKEN_LENGTH and bool(_TOKEN.fullmatch(token))


def bounded_life(seconds: float) -> float:
    """A life that makes sense, for one that an endpoint told; five minutes for none at all."""
    return float(min(max(seconds, 1), MAX_LIFE_SECONDS)) if seconds > 0 else DEFAULT_LIFE_SECONDS
