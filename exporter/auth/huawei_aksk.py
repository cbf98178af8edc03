"""Huawei Cloud's request signature SDK-HMAC-SHA256, made with an access key and its secret key.

Source: "API Request Signing Guide" and the vendor's Python SDK. Every request has its own
signature, over the time too: the gateway rejects a time that differs from its clock by about 15 minutes.
"""

import hashlib
import hmac
import re
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Annotated, ClassVar, Literal
from urllib.parse import SplitResult, parse_qsl, quote, unquote_to_bytes, urlsplit

from pydantic import AfterValidator, Field

from exporter import config_types as fields
from exporter.auth.credential import FixedCredential, secret_bytes
from exporter.model.dates import http_date
from exporter.transport import Outgoing

ALGORITHM = "SDK-HMAC-SHA256"
MAX_KEY_LENGTH = 128
MAX_SECURITY_TOKEN_LENGTH = 16 * 1024
# A little under the gateway's limit, which is documented without seconds.
CLOCK_SECONDS = 14 * 60

_PORTS = {"http": 80, "https": 443}
# One element of a header whose elements are separated by commas and spaces.
_WORD = re.compile(r"[!-+\--~]+")
_PROJECT_ID = re.compile(r"[0-9A-Za-z_-]{1,64}")


def _word(value: str, limit: int) -> str:
    if len(value) > limit or not _WORD.fullmatch(value):
        raise ValueError(f"must be at most {limit} visible ASCII characters, without spaces and commas")
    return value


_check_access_key = partial(_word, limit=MAX_KEY_LENGTH)
_check_security_token = partial(_word, limit=MAX_SECURITY_TOKEN_LENGTH)


def _project_id(value: str) -> str:
    if not _PROJECT_ID.fullmatch(value):
        raise ValueError("not a project id; allowed are at most 64 letters, digits, _ and -")
    return value


class HuaweiAkSkKeys(fields.Keys):
    """An access key; a temporary one has a security token."""

    type: Literal["huawei_aksk"]
    access_key: Annotated[fields.SecretValue, fields.secret_check(_check_access_key)] = Field(
        description="the access key (AK)"
    )
    secret_key: fields.SecretValue = Field(description="the secret access key (SK)")
    security_token: Annotated[fields.SecretValue, fields.secret_check(_check_security_token)] | None = Field(
        None, description="the security token of temporary keys"
    )
    project_id: Annotated[str, AfterValidator(_project_id)] | None = Field(
        None, description="id of the project, if the key can read several"
    )


class HuaweiAkSk(FixedCredential):
    """Signs each request when it is sent.

    Args:
        clock: Unix time.
    """

    kind: ClassVar[str] = "huawei_aksk"
    Keys: ClassVar[type[fields.Keys]] = HuaweiAkSkKeys
    signs: ClassVar[bool] = True

    def __init__(self, keys: HuaweiAkSkKeys, clock: Callable[[], float] = time.time) -> None:
        token = () if keys.security_token is None else (keys.security_token,)
        super().__init__(keys.access_key, keys.secret_key, *token)
        self._project_id = keys.project_id
        self._clock = clock

    def apply(self, request: Outgoing) -> None:
        """Sets ``Host``, ``X-Sdk-Date`` and the signature over them, the method, URL and body.

        It fails if the file of a key has changed to one with invalid characters.
        """
        access_key, secret_key, *tokens = self._secrets.values
        signed = {
            "Host": request.headers.get("Host") or _host(urlsplit(request.url or "")),
            "X-Sdk-Date": time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(self._clock())),
        }
        for token in tokens:
            signed["X-Security-Token"] = token
        if self._project_id is not None:
            signed["X-Project-Id"] = self._project_id
        names, canonical = _canonical(request, signed)
        digest = hashlib.sha256(canonical.encode()).hexdigest()
        text = f"{ALGORITHM}\n{signed['X-Sdk-Date']}\n{digest}"
        signature = hmac.new(secret_bytes(secret_key), text.encode(), hashlib.sha256).hexdigest()
        request.headers.update(signed)
        request.headers["Authorization"] = (
            f"{ALGORITHM} Access={access_key}, SignedHeaders={names}, Signature={signature}"
        )

    def explain(self, headers: Mapping[str, str]) -> str:
        """By how much the clock of this machine is wrong, if that is why a signature was rejected."""
        theirs = http_date(headers.get("date", ""))
        ahead = 0.0 if theirs is None else self._clock() - theirs
        if abs(ahead) < CLOCK_SECONDS:
            return ""
        where = "ahead of" if ahead > 0 else "behind"
        return (
            f"the clock of this machine is {_span(abs(ahead))} {where} that of the system, "
            "which accepts a difference of 15 minutes"
        )


def _host(url: SplitResult) -> str:
    """The value of ``Host`` (RFC 9110 section 7.2): without the port if it is the default one."""
    host = url.hostname or ""
    host = f"[{host}]" if ":" in host else host
    return host if url.port in (None, _PORTS.get(url.scheme)) else f"{host}:{url.port}"


def _canonical(request: Outgoing, signed: Mapping[str, str]) -> tuple[str, str]:
    """The names of the signed headers, and the text whose hash is signed."""
    url = urlsplit(request.url or "")
    headers = sorted((name.lower(), value.strip()) for name, value in signed.items())
    names = ";".join(name for name, _ in headers)
    body = request.body or b""
    lines = [
        request.method or "GET",
        _canonical_path(url.path),
        _canonical_query(url.query),
        *(f"{name}:{value}" for name, value in headers),
        "",
        names,
        hashlib.sha256(body.encode() if isinstance(body, str) else body).hexdigest(),
    ]
    return names, "\n".join(lines)


def _canonical_path(path: str) -> str:
    """Decoded and encoded again, so that an encoded slash is a separator too; ends with a slash."""
    encoded = quote(unquote_to_bytes(path), safe="/~")
    return encoded if encoded.endswith("/") else f"{encoded}/"


def _canonical_query(query: str) -> str:
    """Decoded, sorted and encoded again; every name has a ``=``."""
    # Latin-1 keeps every byte, and has the same order as UTF-8.
    pairs = sorted(parse_qsl(query, keep_blank_values=True, encoding="latin-1"))
    return "&".join("=".join(quote(part, safe="~", encoding="latin-1") for part in pair) for pair in pairs)


def _span(seconds: float) -> str:
    for unit, length in (("days", 172800), ("hours", 7200)):
        if seconds >= length:
            return f"{seconds / length * 2:.0f} {unit}"
    return f"{seconds / 60:.0f} minutes"
