"""HTTP Basic (RFC 7617): user name and password with every request."""

from base64 import b64encode
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field
from requests import PreparedRequest

from exporter import config_types as fields
from exporter.auth.credential import FixedCredential
from exporter.model.failure import Failure, Reason


def _username(value: str) -> str:
    if ":" in value or not value.isprintable():
        raise ValueError("must not hold a colon or control characters")
    return value


class BasicKeys(fields.Keys):
    """Who we are, and what proves it."""

    type: Literal["basic"]
    username: Annotated[str, AfterValidator(_username)] = Field(description="user name, without a colon")
    password: fields.SecretValue = Field(description="the user's password")


class Basic(FixedCredential):
    """Writes ``Authorization: Basic …``, in UTF-8."""

    kind: ClassVar[str] = "basic"
    Keys: ClassVar[type[fields.Keys]] = BasicKeys

    def __init__(self, keys: BasicKeys) -> None:
        super().__init__(keys.password)
        self._username = keys.username

    def apply(self, request: PreparedRequest) -> None:
        """Writes the header.

        Raises:
            Failure: reason ``auth``, the password cannot be written as UTF-8.
        """
        (password,) = self._secrets.values
        request.headers["Authorization"] = basic_header(self._username, password)


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
