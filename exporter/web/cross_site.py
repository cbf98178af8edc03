"""Requests that a browser sends for a page of another site: they must not change anything here.

Such a page cannot read a response, but its requests come from inside the network of the person who looks at
it, with the password that the browser remembers.
"""

import re

from starlette.requests import Request

_PORTS = {"http": 80, "https": 443}


REFUSAL = "sent by a page of another site; send it without Origin and Sec-Fetch-Site, for example with curl"


def is_cross_site(request: Request) -> bool:
    """Whether a browser sends this request for a page of another site.

    Browsers send ``Origin`` with every POST (https://fetch.spec.whatwg.org/#origin-header). They send
    ``Sec-Fetch-Site`` (https://www.w3.org/TR/fetch-metadata/) only over HTTPS and to this machine. Other
    clients send neither.
    """
    host = request.headers.get("host", "")
    # same-site is another host of the same domain; none is an action of the user, such as a bookmark.
    sites = {*request.headers.getlist("sec-fetch-site")} - {"same-origin", "none"}
    return bool(sites) or not all(_is_of(host, origin) for origin in request.headers.getlist("origin"))


def _is_of(host: str, origin: str) -> bool:
    """Whether an origin has this host and port. The scheme can differ: a proxy may end TLS."""
    scheme, _, site = origin.partition("://")
    port = _PORTS.get(scheme)
    return port is not None and _with_port(site, port) == _with_port(host, port)


def _with_port(host: str, port: int) -> str:
    """A host with its port, which browsers leave out if it is the usual one of the scheme."""
    return (host if re.search(r":[0-9]+$", host) else f"{host}:{port}").lower()
