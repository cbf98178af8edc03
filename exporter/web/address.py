"""Addresses of clients, and the one that a client uses for the exporter."""

import re
from ipaddress import IPv6Address, ip_address

HOST = re.compile(r"([A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(:[0-9]{1,5})?")
"""The header Host (RFC 9110 section 7.2), without the odder characters that no host name has."""


def network_of(address: str) -> bytes:
    """What one client can choose its addresses from: of IPv6 64 bits; one value for all Unix sockets.

    Args:
        address: the host in the name of a connected socket; empty for a Unix socket.
    """
    if not address:
        return b""
    parsed = ip_address(address.partition("%")[0])
    if isinstance(parsed, IPv6Address):
        return parsed.ipv4_mapped.packed if parsed.ipv4_mapped else parsed.packed[:8]
    return parsed.packed
