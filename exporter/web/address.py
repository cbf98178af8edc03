"""Addresses of clients."""

from ipaddress import IPv6Address, ip_address


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
