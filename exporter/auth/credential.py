"""The interface of all credentials: ``apply`` and, for those that fetch a token, a blocking ``renew``.

A credential has the interface of ``requests.auth.AuthBase``, so it works with plain ``requests`` too.
``apply`` does no I/O: the caller checks ``must_renew`` first.
"""

import threading
from abc import ABC, abstractmethod
from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, TypeVar

from pydantic import AfterValidator

from exporter.auth.jwt import jwt_expiry
from exporter.config_types import Keys, SecretValue, check_header_value, secret_check
from exporter.model.failure import Failure, Reason
from exporter.runtime.secret import Rule, Secret
from exporter.transport import Outgoing

if TYPE_CHECKING:
    from requests import Session


Request = TypeVar("Request", bound=Outgoing)


class Credential(ABC):
    """Authenticates the requests of one system.

    Class attributes:
        kind: the value of ``auth.type``.
        Keys: the keys of ``auth:``, including ``type``.
        signs: what `apply` sets depends on the request and the time, so it is called for every request sent,
            after all other changes.
        keeps_cookies: `store_cookies` gets the cookies of responses.
        rejections: the HTTP statuses with which the system rejects what `apply` sets.
        doubts: the HTTP statuses with which it may do so, but which have other causes too.
    """

    kind: ClassVar[str]
    Keys: ClassVar[type[Keys]]
    signs: ClassVar[bool] = False
    keeps_cookies: ClassVar[bool] = False
    rejections: frozenset[int] = frozenset({401})
    doubts: ClassVar[frozenset[int]] = frozenset()

    @abstractmethod
    def __init__(self, keys: Any) -> None:
        """Creates it from the validated ``auth:`` of a system, an instance of `Keys`."""

    def bind(self, base_url: str, headers: Mapping[str, str]) -> None:
        """Receives, before any other call, the system's address and the headers of all requests to it."""
        del base_url, headers

    @abstractmethod
    def apply(self, request: Outgoing) -> None:
        """Sets headers of a request, and nothing else: traces and logs hide headers only.

        It does no I/O, except that it reads a secret file that has changed.

        Raises:
            Failure: reason ``auth``, there is no valid secret or token to be sent.
        """

    def version(self) -> object:
        """A value that changes whenever the result of ``apply`` changes."""
        return None

    def secrets(self) -> Iterable[str]:
        """The values of its secrets, only to find them in texts that must not show them."""
        return ()

    def must_renew(self, now: float) -> bool:
        """Whether `renew` has to be called before `apply`; ``now`` in monotonic seconds."""
        return False

    def valid(self, now: float) -> bool:
        """Whether `apply` can be called now: reads need not wait for an early renewal."""
        return not self.must_renew(now)

    def renew(self, session: "Session", now: float) -> None:
        """Gets a new token or session. Blocks; called outside the event loop, one call at a time.

        Raises:
            Failure: reason ``auth``, without text of the request or the response.
        """
        del session, now

    def remark(self) -> str:
        """What is odd about the last renewal that succeeded, in our own words; else empty."""
        return ""

    def rejected(self, version: object) -> bool:
        """Reports that a request with `version` was rejected.

        Its response had one of the `rejections`, or was a sign-in page or a redirect to one.

        Returns:
            Whether to send it again, after a renewal if `must_renew` is true then.
        """
        return False

    def doubted(self, version: object) -> bool:
        """Reports that a request with `version` got a response with one of the `doubts`.

        Returns:
            Whether to renew it if `must_renew` is true then, and to send the request again if it has changed.
        """
        return False

    def is_unconfirmed(self, version: object) -> bool:
        """Whether a request with `version` is sent alone: its response may change what `apply` sets."""
        return False

    def store_cookies(self, version: object, cookies: Sequence[str]) -> None:
        """Receives the ``Set-Cookie`` values of a response to a request with `version`.

        There are none if the response may belong to another session: it was rejected, or it is an error and
        `version` is not unconfirmed.
        """
        del version, cookies

    def expires_at(self) -> float | None:
        """Unix time at which it expires; ``None``: never, not known, or renewed automatically."""
        return None

    def explain(self, headers: Mapping[str, str]) -> str:
        """Why a response was 401, in our own words, from its headers (lower-case names); else empty."""
        return ""

    def __call__(self, request: Request) -> Request:
        """The interface of ``requests``."""
        self.apply(request)
        return request

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class SecretSet:
    """The secrets of one credential, with a version that grows whenever one of them has changed.

    Their files may be replaced at any time; the version shows that without showing a value. The event loop
    and the thread that renews the credential read them.
    """

    __slots__ = ("_lock", "_secrets", "_values", "_version")

    def __init__(self, *secrets: Secret) -> None:
        self._lock = threading.Lock()
        self._secrets = secrets
        self._values: tuple[str, ...] = ()
        self._version = 0

    def read(self) -> tuple[int, tuple[str, ...]]:
        """The version, and its values in the order given."""
        with self._lock:
            values = tuple([secret.reveal() for secret in self._secrets])
            if values != self._values:
                # Their files are replaced together, so all are checked again: one read before may be old.
                self.look_again()
                self._values = tuple(secret.reveal() for secret in self._secrets)
                self._version += 1
            return self._version, self._values

    def look_again(self) -> None:
        """Has the files checked at the next read, however recent the last check was."""
        for secret in self._secrets:
            secret.look_again()

    @property
    def values(self) -> tuple[str, ...]:
        """The values, in the order given; only to be sent. Fails as `checked_read`."""
        return self.checked_read()[1]

    def checked_read(self) -> tuple[int, tuple[str, ...]]:
        """As `read`.

        Raises:
            Failure: reason ``auth``, a file has changed to a value that would be refused when it is loaded.
        """
        version, values = self.read()
        for secret, value in zip(self._secrets, values, strict=True):
            checked(secret.check, value)
        return version, values

    @property
    def version(self) -> int:
        """The version alone."""
        return self.read()[0]


class FixedCredential(Credential):
    """A credential that is never renewed: what it sets changes only when one of its secrets does.

    Args:
        secrets: all secrets that `apply` uses.
    """

    def __init__(self, *secrets: Secret) -> None:
        self._secrets = SecretSet(*secrets)
        self._expiry: tuple[int, float | None] = 0, None

    def version(self) -> object:
        """Changes when a secret has changed."""
        return self._secrets.version

    def secrets(self) -> Iterable[str]:
        """The values as they are now."""
        return self._secrets.read()[1]

    def rejected(self, version: object) -> bool:
        """Whether a secret has changed since: only then may another attempt succeed."""
        self._secrets.look_again()
        return version != self._secrets.version

    def expires_at(self) -> float | None:
        """When the first JWT among the secrets expires."""
        version, values = self._secrets.read()
        if version != self._expiry[0]:
            ends = (jwt_expiry(value) for value in values)
            self._expiry = version, min((end for end in ends if end is not None), default=None)
        return self._expiry[1]


HeaderSecret = Annotated[SecretValue, secret_check(check_header_value)]
"""A secret that is sent as a header value, unchanged."""


def _username(value: str) -> str:
    if ":" in value or not value.isprintable():
        raise ValueError("must not contain a colon or control characters")
    return value


Username = Annotated[str, AfterValidator(_username)]
"""A user name for HTTP Basic."""


def checked(check: Rule, value: str) -> str:
    """A secret, checked again because its file may have changed since it was loaded.

    Raises:
        Failure: reason ``auth``, it is not valid.
    """
    try:
        check(value)
    except ValueError as error:
        detail = f"the secret {error}"
    else:
        return value
    # Raised outside the except block, as in `secret_bytes`: the context would contain the secret.
    raise Failure(Reason.AUTH, detail)


def header_value(value: str) -> str:
    """A secret as a header value; fails as `checked`."""
    return checked(check_header_value, value)


def secret_bytes(value: str, name: str = "a secret") -> bytes:
    """A secret's value in UTF-8.

    Raises:
        Failure: reason ``auth``, it is not Unicode (an environment variable may contain other bytes).
    """
    try:
        return value.encode()
    except UnicodeEncodeError:
        pass
    raise Failure(Reason.AUTH, f"{name} is not Unicode text")


def basic_header(username: str, password: str) -> str:
    """The value of ``Authorization`` for these two; fails as `secret_bytes`."""
    raw = secret_bytes(f"{username}:{password}", "the user name or the password")
    return "Basic " + b64encode(raw).decode()
