"""What one client of the HTTP server can use."""

from dataclasses import dataclass

from exporter.runtime import descriptors

# Standard streams, event loop and one listener: 7. The rest is for more listeners and for files to read.
OTHER_DESCRIPTORS = 24
# With fewer, a scraper and a probe of health would close each other's connections. So many are allowed even
# where requests to systems then find no free descriptor: these fail with a reason that the scrape shows.
FEWEST_CONNECTIONS = 8


@dataclass(frozen=True, slots=True)
class Limits:
    """What one client can use.

    Args:
        connections: open at the same time, over all listeners. For one more, the longest waiting one without
            a request under way is closed; if there is none, the new one is.
        handshake_timeout: seconds for the TLS handshake.
        read_timeout: seconds for a whole request, from its first byte (the first one of a connection:
            from the connection's start) to the end of its body.
        keep_alive_timeout: seconds between requests; longer than usual scrape intervals, so that
            Prometheus keeps its connection.
        write_timeout: seconds for a client to read 64 KiB, or the rest of a response.
        farewell_timeout: seconds for a client to read the end of the last response and to close.
        header_bytes: of a request's line and headers; twice as many can arrive ahead of a response.
        header_lines: of a request; each takes microseconds to parse, and scrapers send fewer than ten.
        body_bytes: of a request's body; the exporter's own requests have none.
    """

    connections: int = 256
    handshake_timeout: float = 10.0
    read_timeout: float = 10.0
    keep_alive_timeout: float = 150.0
    write_timeout: float = 10.0
    farewell_timeout: float = 2.0
    header_bytes: int = 16 * 1024
    header_lines: int = 100
    body_bytes: int = 64 * 1024


def connections_beside(for_systems: int) -> int:
    """How many clients can be connected while so many file descriptors are in use for requests to systems."""
    return max(FEWEST_CONNECTIONS, descriptors.limit() - OTHER_DESCRIPTORS - for_systems)
