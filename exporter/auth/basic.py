"""HTTP Basic (RFC 7617): user name and password with every request."""

from typing import ClassVar, Literal

from pydantic import Field

from exporter import config_types as fields
from exporter.auth.credential import FixedCredential, Username, basic_header
from exporter.transport import Outgoing


class BasicKeys(fields.Keys):
    """User name and password."""

    type: Literal["basic"]
    username: Username = Field(description="user name, without a colon")
    password: fields.SecretValue = Field(description="the user's password")


class Basic(FixedCredential):
    """Sets ``Authorization: Basic …``, encoded as UTF-8."""

    kind: ClassVar[str] = "basic"
    Keys: ClassVar[type[fields.Keys]] = BasicKeys

    def __init__(self, keys: BasicKeys) -> None:
        super().__init__(keys.password)
        self._username = keys.username

    def apply(self, request: Outgoing) -> None:
        """Sets the header; fails if the password is not Unicode."""
        (password,) = self._secrets.values
        request.headers["Authorization"] = basic_header(self._username, password)
