"""A bearer token (RFC 6750) from the configuration."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from exporter import config_types as fields
from exporter.auth.credential import FixedCredential, HeaderSecret
from exporter.transport import Outgoing


def _check_token(value: str) -> None:
    scheme, _, token = value.strip().partition(" ")
    if token and scheme.casefold() in ("bearer", "basic"):
        # A frequent error: the whole header value was copied.
        raise ValueError(f"begins with the word {scheme.title()}; allowed is the token alone")
    if any(character.isspace() for character in value):
        raise ValueError("must not contain spaces; allowed is the token alone, without the word Bearer")


class BearerKeys(fields.Keys):
    """The token."""

    type: Literal["bearer"]
    token: Annotated[HeaderSecret, fields.secret_check(_check_token)] = Field(
        description="the token, without the word Bearer"
    )


class Bearer(FixedCredential):
    """Sets ``Authorization: Bearer …``."""

    kind: ClassVar[str] = "bearer"
    Keys: ClassVar[type[fields.Keys]] = BearerKeys

    def __init__(self, keys: BearerKeys) -> None:
        super().__init__(keys.token)

    def apply(self, request: Outgoing) -> None:
        """Sets the header; fails if the file has changed to a token that cannot be sent."""
        (token,) = self._secrets.values
        request.headers["Authorization"] = f"Bearer {token}"
