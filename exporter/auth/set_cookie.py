"""``Set-Cookie`` lines, read as browsers read them (RFC 6265 section 5).

``http.cookiejar`` follows the older rules of Netscape: it drops a cookie whose ``Max-Age`` is not a number,
and one whose ``Domain`` is a host without a dot, such as ``localhost``.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from urllib.parse import urlsplit

from exporter.model.dates import http_date

_SECONDS = re.compile(r"-?[0-9]{1,15}")


@dataclass(frozen=True, slots=True)
class SetCookie:
    """One cookie of a response.

    Args:
        host: that has set it.
        domain: whose subdomains get it too; empty if only the host does.
        only_tls: it is ``Secure`` and came over TLS. One that came without TLS was no secret from then on.
        ended: it deletes the cookie of this name.
    """

    name: str
    value: str = field(repr=False)
    host: str
    domain: str
    only_tls: bool
    ended: bool

    def is_for(self, url: str) -> bool:
        """Whether it may be sent to a URL; its ``Path`` does not matter here."""
        parts = urlsplit(url)
        host = parts.hostname or ""
        fits = host == self.host or (self.domain and host.endswith(f".{self.domain}")) or host == self.domain
        return bool(fits) and not (self.only_tls and parts.scheme != "https")


def parse(line: str, url: str, now: float) -> SetCookie | None:
    """The cookie of a line; ``None`` if it has no name, or if the URL may not set a cookie for its domain.

    Args:
        url: that the response is from.
        now: Unix time by the clock of the server.
    """
    pair, *rest = line.split(";")
    name, equals, value = pair.partition("=")
    if not equals or not name.strip():
        return None
    parts = urlsplit(url)
    host = parts.hostname or ""
    attributes = {
        key.strip().lower(): text.strip() for key, _, text in (each.partition("=") for each in rest)
    }
    domain = attributes.get("domain", "").removeprefix(".").lower()
    if domain and domain != host and not _is_above(domain, host):
        return None
    only_tls = "secure" in attributes and parts.scheme == "https"
    return SetCookie(name.strip(), value.strip(), host, domain, only_tls, ended=_has_ended(attributes, now))


def _is_above(domain: str, host: str) -> bool:
    """Whether a host is in a domain that may have cookies; a name without a dot, such as ``com``, may not."""
    return "." in domain and host.endswith(f".{domain}") and not _is_address(host)


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _has_ended(attributes: Mapping[str, str], now: float) -> bool:
    seconds = attributes.get("max-age", "")
    if _SECONDS.fullmatch(seconds):  # anything else counts as missing
        return int(seconds) <= 0
    end = http_date(attributes.get("expires", "").replace("-", " "))  # 01-Jan-1970 is frequent
    return end is not None and end <= now
