"""The web configuration file: TLS, users, headers and a rate limit. Its keys and how it is loaded.

The keys are those of the Prometheus exporter toolkit.
"""

import re
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema, model_validator

from exporter.config import ConfigError, Finding
from exporter.config.errors import bounded
from exporter.config.read import read
from exporter.config_types import Duration, HeaderText, Keys
from exporter.model.text import has_control_characters
from exporter.runtime import files
from exporter.web.tls import ServerTls

# One check takes 50 ms at a cost of 10, and twice the time for each step: 3 s at 16.
MAX_COST = 16
# The last letter of the salt encodes only two bits (Python's bcrypt rejects others).
_BCRYPT = re.compile(r"\$2[aby]\$(\d\d)\$[./A-Za-z0-9]{21}[.Oeu][./A-Za-z0-9]{31}", re.ASCII)


def _hash(value: str) -> str:
    match = _BCRYPT.fullmatch(value)
    if match is None or not 4 <= int(match[1]) <= MAX_COST:
        raise ValueError(
            f"not a bcrypt hash with a cost of 4 to {MAX_COST}; allowed is what htpasswd -nBC 10 prints "
            "after the colon"
        )
    return value


def _user(value: str) -> str:
    if not value or ":" in value or has_control_characters(value):
        raise ValueError("not a user name; allowed is any text without colons and control characters")
    return value


def _http2(value: object) -> object:
    if value is True:
        raise ValueError("HTTP/2 is not supported; allowed is false")
    return value


_USER_NAME = Annotated[str, AfterValidator(_user)]
_HASH_SCHEMA = {"type": "string", "format": "password", "pattern": f"^{_BCRYPT.pattern}$"}
_HASH = Annotated[str, AfterValidator(_hash), WithJsonSchema(_HASH_SCHEMA)]


class ResponseHeaders(Keys):
    """The keys of ``http_server_config: {headers: …}``; a header with an empty value is not sent."""

    csp: HeaderText = Field("", alias="Content-Security-Policy")
    frame: Literal["deny", "sameorigin"] | None = Field(None, alias="X-Frame-Options")
    content_type: Literal["nosniff"] | None = Field(None, alias="X-Content-Type-Options")
    xss: HeaderText = Field("", alias="X-XSS-Protection")
    hsts: HeaderText = Field("", alias="Strict-Transport-Security")

    def given(self) -> dict[str, str]:
        """The headers to send."""
        return {name: value for name, value in self.model_dump(by_alias=True).items() if value}


class Http(Keys):
    """The keys of ``http_server_config:``."""

    http2: Annotated[bool, BeforeValidator(_http2), WithJsonSchema({"const": False})] = Field(
        default=False, description="must be false"
    )
    headers: ResponseHeaders = Field(default_factory=ResponseHeaders, description="headers of every response")


class RateLimit(Keys):
    """The keys of ``rate_limit:``, a token bucket."""

    interval: Duration = Field(0.0, description="interval between two requests; 0 disables the limit")
    burst: int = Field(1, ge=1, le=1_000_000, description="requests allowed at the same time after a pause")


class WebConfig(Keys):
    """The web configuration."""

    tls_server_config: ServerTls | None = Field(None, description="enables HTTPS")
    http_server_config: Http = Field(default_factory=Http, description="options of HTTP")
    basic_auth_users: dict[_USER_NAME, _HASH] = Field(
        default_factory=dict, min_length=1, repr=False, description="bcrypt hashes of passwords by user"
    )
    rate_limit: RateLimit = Field(default_factory=RateLimit, description="requests beyond it get status 429")

    @model_validator(mode="after")
    def _not_empty(self) -> Self:
        # A file that is being written can be empty, and must not open the exporter to all clients.
        if not self.model_fields_set:
            raise ValueError(f"is empty; allowed: {', '.join(type(self).model_fields)}")
        return self


def expired(path: Path, config: WebConfig) -> list[Finding]:
    """What is wrong with the time of the certificate, which clients that do not verify it accept."""
    tls = config.tls_server_config
    if tls is None or not tls.expired:
        return []
    text = f"the certificate expired on {tls.expired}; clients that verify it cannot connect"
    return [Finding(path, 1, "tls_server_config", text)]


def load(path: Path, stamps: dict[Path, files.Stamp] | None = None) -> WebConfig:
    """Loads a web configuration file; relative paths in it are relative to its folder.

    Args:
        stamps: receives a stamp of this file and of each that it names, from before it was read.

    Raises:
        ConfigError: with every error.
    """
    stamps = {} if stamps is None else stamps
    stamps[path] = files.stamp(path)
    file = read(path, WebConfig, {"folder": path.parent, "stamps": stamps})
    if file.errors:
        raise ConfigError(bounded(file.errors))
    model: WebConfig = file.model
    return model
