"""The address of a page about a job at its vendor, with the job's keys in braces."""

import re
from collections.abc import Iterator, Mapping
from typing import Annotated
from urllib.parse import quote, urlsplit

from pydantic import AfterValidator, StringConstraints, WithJsonSchema

from exporter.config_types import check_http_url
from exporter.model.text import has_control_characters

MAX_LINK_LENGTH = 1024
_NAME_IN_BRACES = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]{0,63})\}")


def _check(link: str) -> str:
    hint = "allowed is https://HOST[:PORT]/PATH, with keys of a job in braces after the host"
    plain = _NAME_IN_BRACES.sub("x", link)
    if re.search(r"[{}\s\\]", plain) or has_control_characters(plain):
        raise ValueError(f"braces are not around a name, or a character is not allowed; {hint}")
    # Pages often have a query or a fragment in their address.
    check_http_url(re.split("[?#]", plain, maxsplit=1)[0], hint)
    if "{" in urlsplit(link).netloc:
        raise ValueError(f"a key must not be part of the host; {hint}")
    return link


Link = Annotated[
    str,
    StringConstraints(max_length=MAX_LINK_LENGTH),
    AfterValidator(_check),
    WithJsonSchema({"type": "string", "pattern": "^https?://", "format": "uri"}),
]
"""Such an address."""


def names(link: str) -> Iterator[str]:
    """The keys in braces."""
    return (found[1] for found in _NAME_IN_BRACES.finditer(link))


def address(link: str, keys: Mapping[str, str]) -> str:
    """The link with the values of a job's keys, percent-encoded. Each key in braces must be there."""
    return _NAME_IN_BRACES.sub(lambda found: quote(keys[found[1]], safe=""), link)
