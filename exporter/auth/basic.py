"""HTTP Basic (RFC 7617): user name and password with every request."""

from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field
from requests import PreparedRequest

from exporter import config_types as fields
from exporter.auth.credential import FixedCredential, basic_header


def _username(value: str) -> str:
    if ":" in value or not value.isprintable():
        raise ValueError("must not contain a colon or control characters")
    return value


class BasicKeys(fields.Keys):
    """User name and password."""

    type: Literal["basic"]
    username: Annotated[str, AfterValidator(_username)] = Field(description="user name, without a colon")
    password: fields.SecretValue = Field(description="the user's password")


class Basic(FixedCredential):
    """Sets ``Authorization: Basic …``, encoded as UTF-8."""

    kind: ClassVar[str] = "basic"
    Keys: ClassVar[type[fields.Keys]] = BasicKeys

    def __init__(self, keys: BasicKeys) -> None:
        super().__init__(keys.password)
        self._username = keys.username

    def apply(self, request: PreparedRequest) -> None:
        """Sets the header; fails if the password is not Unicode."""
        (password,) = self._secrets.values
        request.headers["Authorization"] = basic_header(self._username, password)
