"""What every credential is: a pure ``apply`` and, where it must call somebody, a blocking ``renew``.

A credential is a ``requests.auth.AuthBase``, so it works with plain ``requests`` too. It does no I/O
in ``apply``; who drives it (the upstream) renews it first when it says so.
"""

from abc import ABC, abstractmethod
from base64 import b64encode
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar

from requests import PreparedRequest, Session
from requests.auth import AuthBase

from exporter.auth.jwt import jwt_expiry
from exporter.config_types import Keys, SecretValue, check_header_value, secret_check
from exporter.model.failure import Failure, Reason
from exporter.runtime.secret import Secret


class Credential(AuthBase, ABC):
    """How the requests of one system prove who sends them.

    Class attributes:
        kind: the value of ``auth.type``.
        Keys: the keys of ``auth:``, ``type`` among them; instances are made from it.
        signs: whether what `apply` writes depends on the request and the moment: it then has to be
            called for every send, as the last to change the request.
        keeps_cookies: whether the cookies that answers set are to be given to `answered`.
    """

    kind: ClassVar[str]
    Keys: ClassVar[type[Keys]]
    signs: ClassVar[bool] = False
    keeps_cookies: ClassVar[bool] = False

    @abstractmethod
    def __init__(self, keys: Any) -> None:
        """Takes the validated ``auth:`` part of a system, an instance of `Keys`."""

    def bind(self, base_url: str, headers: Mapping[str, str]) -> None:
        """Told before anything else where the system is and what every request to it carries."""

    @abstractmethod
    def apply(self, request: PreparedRequest) -> None:
        """Puts the proof onto a request. Pure: no I/O but a changed secret file, no waiting."""

    def version(self) -> object:
        """Anything that compares unequal once ``apply`` would write something else."""
        return None

    def must_renew(self, now: float) -> bool:
        """Whether `renew` has to be called before `apply`; ``now`` in monotonic seconds."""
        return False

    def serves(self, now: float) -> bool:
        """Whether `apply` may still be called: where `must_renew` only asks early, nobody has to wait."""
        return not self.must_renew(now)

    def renew(self, session: Session, now: float) -> None:
        """Gets a new token or session, blocking; called off the event loop, one call at a time.

        Raises:
            Failure: reason ``auth``, with no text of request or answer in it.
        """

    def refused(self, version: object) -> bool:
        """Tells that a request sent with `version` was answered 401.

        Returns:
            Whether asking again after a renewal may help: `must_renew` then says so.
        """
        return False

    def answered(self, version: object, cookies: Sequence[str]) -> None:
        """Takes the values of ``Set-Cookie`` of a good answer to a request sent with `version`."""

    def expires_at(self) -> float | None:
        """Unix time at which it ends unless somebody acts; ``None``: never, not known, or renewed here."""
        return None

    def explain(self, headers: Mapping[str, str]) -> str:
        """Why an answer was 401, in our own words, where its headers (lower-case names) tell; else empty."""
        return ""

    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        """The way ``requests`` calls it."""
        self.apply(request)
        return request

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class Watched:
    """The secrets of one credential, and a number that grows whenever one of them has changed.

    Their files may be replaced at any time; the number tells of it without showing a value.
    """

    __slots__ = ("_secrets", "_values", "_version")

    def __init__(self, *secrets: Secret) -> None:
        self._secrets = secrets
        self._values: tuple[str, ...] = ()
        self._version = 0

    def read(self) -> tuple[int, tuple[str, ...]]:
        """The number, and the values that it stands for."""
        values = tuple(secret.reveal() for secret in self._secrets)
        if values != self._values:
            # Files of one set are replaced together, so none is taken that was looked at before another.
            self.look_again()
            self._values = tuple(secret.reveal() for secret in self._secrets)
            self._version += 1
        return self._version, self._values

    def look_again(self) -> None:
        """Before the secrets count as refused: their files may have changed since the last look."""
        for secret in self._secrets:
            secret.look_again()

    @property
    def values(self) -> tuple[str, ...]:
        """The secrets' values, in the order given; for the wire only."""
        return self.read()[1]

    @property
    def version(self) -> int:
        """The number alone."""
        return self.read()[0]


class FixedCredential(Credential):
    """A credential that needs no call: what it writes changes only when one of its secrets does.

    Args:
        secrets: all that `apply` writes.
    """

    def __init__(self, *secrets: Secret) -> None:
        self._secrets = Watched(*secrets)
        self._expiry: tuple[int, float | None] = 0, None

    def version(self) -> object:
        """Another one once a secret has changed."""
        return self._secrets.version

    def refused(self, version: object) -> bool:
        """Whether a secret has changed since: only then is asking again worth it."""
        self._secrets.look_again()
        return version != self._secrets.version

    def expires_at(self) -> float | None:
        """When the first JWT among the secrets ends."""
        version, values = self._secrets.read()
        if version != self._expiry[0]:
            ends = (jwt_expiry(value) for value in values)
            self._expiry = version, min((end for end in ends if end is not None), default=None)
        return self._expiry[1]


HeaderSecret = Annotated[SecretValue, secret_check(check_header_value)]
"""A secret that goes into a header as it is."""


def header_value(value: str) -> str:
    """A secret's value for a header; its file may hold something else by now than when it was loaded.

    Raises:
        Failure: reason ``auth``, it may not stand in a header.
    """
    try:
        return check_header_value(value)
    except ValueError as error:
        raise Failure(Reason.AUTH, f"the secret {error}") from None


def secret_bytes(value: str) -> bytes:
    """A secret's value in UTF-8.

    Raises:
        Failure: reason ``auth``, it is no text (an environment variable may hold stray bytes).
    """
    try:
        return value.encode()
    except UnicodeEncodeError:
        pass
    # Raised out here: the codec's own error carries what it was given.
    raise Failure(Reason.AUTH, "a secret is not Unicode text")


def basic_header(username: str, password: str) -> str:
    """The value of ``Authorization`` for these two.

    Raises:
        Failure: reason ``auth``, they cannot be written as UTF-8 (an environment variable may hold
            stray bytes).
    """
    try:
        raw = f"{username}:{password}".encode()
    except UnicodeEncodeError:
        raw = b""
    if not raw:  # Raised out here: the codec's own error carries what it was given.
        raise Failure(Reason.AUTH, "the user name or the password is not Unicode text")
    return "Basic " + b64encode(raw).decode()
