"""libcurl for ``requests``: how prepared requests get to a system and answers back.

`Wire` carries many at once on the event loop; `CurlAdapter` is the transport adapter for single
blocking calls of a ``requests.Session``. Both send through one kind of handle, so both keep the same
rules: one deadline for a whole transfer, limits on headers and unpacked body, no redirects, http and
https only, TLS verified. HTTP statuses are no faults here; every fault of the wire is a `Failure`.
"""

from exporter.transport.adapter import CurlAdapter, blocking_session
from exporter.transport.certificate import not_after
from exporter.transport.pool import Wire
from exporter.transport.pools import Wires
from exporter.transport.settings import Route, Tls

__all__ = [
    "CurlAdapter",
    "Route",
    "Tls",
    "Wire",
    "Wires",
    "blocking_session",
    "not_after",
]
