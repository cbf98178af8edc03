"""What one client of the HTTP server can use."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """What one client can use.

    Args:
        connections: open at the same time, over all listeners; one more is closed immediately.
        handshake_timeout: seconds for the TLS handshake.
        read_timeout: seconds for a whole request, from its first byte (the first one of a connection:
            from the connection's start) to the end of its body.
        keep_alive_timeout: seconds between requests; longer than usual scrape intervals, so that
            Prometheus keeps its connection.
        write_timeout: seconds for a client to read 64 KiB, or the rest of a response.
        farewell_timeout: seconds for a client to read the end of the last response and to close.
        header_bytes: of a request's line and headers; twice as many can arrive ahead of a response.
        body_bytes: of a request's body; the exporter's own requests have none.
    """

    connections: int = 256
    handshake_timeout: float = 10.0
    read_timeout: float = 10.0
    keep_alive_timeout: float = 150.0
    write_timeout: float = 10.0
    farewell_timeout: float = 2.0
    header_bytes: int = 16 * 1024
    body_bytes: int = 64 * 1024
