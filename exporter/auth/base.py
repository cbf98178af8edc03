"""What every credential is: a pure ``apply`` and, where it must call somebody, a blocking ``renew``.

A credential is a ``requests.auth.AuthBase``, so it works with plain ``requests`` too. It does no I/O
in ``apply``; who drives it (the upstream) renews it first when it says so.
"""

from abc import ABC, abstractmethod
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator
from requests import PreparedRequest, Session
from requests.auth import AuthBase

from exporter.failure import Failure, Reason
from exporter.fields import Keys, SecretValue, check_header_value
from exporter.secret import Secret


class Credential(AuthBase, ABC):
    """How the requests of one system prove who sends them.

    Class attributes:
        kind: the value of ``auth.type``.
        Keys: the keys of ``auth:``, ``type`` among them; instances are made from it.
    """

    kind: ClassVar[str]
    Keys: ClassVar[type[Keys]]

    @abstractmethod
    def __init__(self, keys: Any) -> None:
        """Takes the validated ``auth:`` part of a system, an instance of `Keys`."""

    @abstractmethod
    def apply(self, request: PreparedRequest) -> None:
        """Puts the proof onto a request. Pure: no I/O but a changed secret file, no waiting."""

    def version(self) -> object:
        """Anything that compares unequal once ``apply`` would write something else."""
        return None

    def must_renew(self, now: float) -> bool:
        """Whether `renew` has to be called before `apply`; ``now`` in monotonic seconds."""
        return False

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
            self._values = values
            self._version += 1
        return self._version, values

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

    def version(self) -> object:
        """Another one once a secret has changed."""
        return self._secrets.version

    def refused(self, version: object) -> bool:
        """Whether a secret has changed since: only then is asking again worth it."""
        return version != self._secrets.version


def _header_secret(secret: Secret) -> Secret:
    check_header_value(secret.reveal())
    return secret


HeaderSecret = Annotated[SecretValue, AfterValidator(_header_secret)]
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
