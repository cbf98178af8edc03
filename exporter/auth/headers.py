"""Headers with secret values, for systems with headers of their own (CAPS has two)."""

from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field

from exporter import config_types as fields
from exporter.auth.credential import FixedCredential, HeaderSecret
from exporter.runtime.secret import Secret
from exporter.transport import Outgoing


def _headers(headers: dict[str, Secret]) -> dict[str, Secret]:
    if not headers:
        raise ValueError("must name at least one header")
    return fields.each_once(headers)


class HeadersKeys(fields.Keys):
    """Names and values; each value is sent unchanged, without a scheme such as ``Bearer``."""

    type: Literal["headers"]
    headers: Annotated[dict[fields.RequestHeaderName, HeaderSecret], AfterValidator(_headers)] = Field(
        description="header names, each with a secret that is sent unchanged"
    )


class HeadersCredential(FixedCredential):
    """Sets the configured headers."""

    kind: ClassVar[str] = "headers"
    Keys: ClassVar[type[fields.Keys]] = HeadersKeys

    def __init__(self, keys: HeadersKeys) -> None:
        super().__init__(*keys.headers.values())
        self._names = tuple(keys.headers)

    def apply(self, request: Outgoing) -> None:
        """Sets the headers; fails if a file has changed to a value that cannot be sent."""
        for name, value in zip(self._names, self._secrets.values, strict=True):
            request.headers[name] = value
