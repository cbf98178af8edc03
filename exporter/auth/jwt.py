"""The expiry of a JSON Web Token (RFC 7519), read without verifying its signature."""

import base64
import json
from contextlib import suppress

MAX_LENGTH = 64 * 1024
# The year 9999; larger values are not seconds (some issuers use milliseconds).
_LAST_SECOND = 253_402_300_799


def jwt_expiry(secret: str) -> float | None:
    """``exp`` of a signed JWT, alone or after a scheme such as ``Bearer``, in Unix seconds; else ``None``."""
    parts = secret.strip()[: MAX_LENGTH + 1].rpartition(" ")[2].split(".")
    if len(parts) != 3 or len(secret) > MAX_LENGTH:
        return None
    with suppress(ValueError, RecursionError, AttributeError):
        ends = json.loads(_decode(parts[1])).get("exp")
        if isinstance(ends, int | float) and not isinstance(ends, bool) and 0 < ends <= _LAST_SECOND:
            return float(ends)
    return None


def _decode(part: str) -> bytes:
    return base64.b64decode(part + "=" * (-len(part) % 4), altchars=b"-_", validate=True)
