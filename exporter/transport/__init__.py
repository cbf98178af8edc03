"""libcurl as the transport for prepared requests of ``requests``.

`ConnectionPool` runs many transfers at a time on the event loop. `CurlAdapter` is a transport adapter for
single blocking calls of a ``requests.Session``. Both send through `handle.Handle`, so both apply the same
rules: one deadline for the whole transfer, limits on headers and decoded body, no redirects, http and
https only, TLS verified. A response of any HTTP status is returned; any other error is a `Failure`.
"""

from exporter.transport.adapter import CurlAdapter, blocking_session
from exporter.transport.certificate import ClientCertificate, not_after
from exporter.transport.handle import Dropped
from exporter.transport.kept import KeptRequest
from exporter.transport.pool import ConnectionPool
from exporter.transport.reloading import ReloadingPool
from exporter.transport.settings import ConnectionSettings, Tls

__all__ = [
    "ClientCertificate",
    "ConnectionPool",
    "ConnectionSettings",
    "CurlAdapter",
    "Dropped",
    "KeptRequest",
    "ReloadingPool",
    "Tls",
    "blocking_session",
    "not_after",
]
