"""The expiry and the scopes of a JSON Web Token (RFC 7519), read without verifying its signature."""

import base64
import json
import re
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

MAX_LENGTH = 64 * 1024
MAX_SCOPES = 100
_SCOPE = re.compile(r"[A-Za-z0-9_.:/-]{1,100}")
# The year 9999; larger values are not seconds (some issuers use milliseconds).
_LAST_SECOND = 253_402_300_799


def jwt_expiry(secret: str) -> float | None:
    """``exp`` of a signed JWT, alone or after a scheme such as ``Bearer``, in Unix seconds; else ``None``."""
    ends = _claims(secret).get("exp")
    if isinstance(ends, int | float) and not isinstance(ends, bool) and 0 < ends <= _LAST_SECOND:
        return float(ends)
    return None


def jwt_scopes(secret: str) -> frozenset[str] | None:
    """The scopes of such a token (``scope`` of RFC 8693, or ``scp``); ``None`` if it names none."""
    claims = _claims(secret)
    scope = claims.get("scope", claims.get("scp"))
    words = scope.split() if isinstance(scope, str) else scope
    if not isinstance(words, list):
        return None
    return frozenset(word for word in words[:MAX_SCOPES] if isinstance(word, str) and _SCOPE.fullmatch(word))


def _claims(secret: str) -> Mapping[str, Any]:
    parts = secret.strip()[: MAX_LENGTH + 1].rpartition(" ")[2].split(".")
    if len(parts) != 3 or len(secret) > MAX_LENGTH:
        return {}
    with suppress(ValueError, RecursionError):
        claims = json.loads(_decode(parts[1]))
        if isinstance(claims, dict):
            return claims
    return {}


def _decode(part: str) -> bytes:
    return base64.b64decode(part + "=" * (-len(part) % 4), altchars=b"-_", validate=True)
