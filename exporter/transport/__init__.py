"""libcurl as the transport for prepared requests of ``requests``.

`ConnectionPool` runs many transfers at a time on the event loop. `CurlAdapter` is a transport adapter for
single blocking calls of a ``requests.Session``. Both send through `handle.Handle`, so both apply the same
rules: one deadline for the whole transfer, limits on headers and decoded body, no redirects, http and
https only, TLS verified. A response of any HTTP status is returned; any other error is a `Failure`.
"""

from exporter.transport.certificate import ClientCertificate, not_after
from exporter.transport.handle import Dropped
from exporter.transport.pool import ConnectionPool
from exporter.transport.prepared import (
    HeaderFields,
    Outgoing,
    PreparedRequest,
    lines_of,
    prepared_base,
)
from exporter.transport.reloading import ReloadingPool
from exporter.transport.settings import ConnectionSettings, Tls

__all__ = [
    "ClientCertificate",
    "ConnectionPool",
    "ConnectionSettings",
    "Dropped",
    "HeaderFields",
    "Outgoing",
    "PreparedRequest",
    "ReloadingPool",
    "Tls",
    "lines_of",
    "not_after",
    "prepared_base",
]
