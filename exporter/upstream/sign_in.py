"""Pages that ask a user to sign in, sent with a status of success to a program that asked for data."""

from exporter.model.http import Request, Response

_MARKUP = b"<!doctype html", b"<html"
_LONGEST_START = 1024


def is_sign_in_page(request: Request, response: Response) -> bool:
    """Whether a response of status 2xx is an HTML page, which the request did not ask for.

    Gateways and some vendors (Azure DevOps, with status 203) answer so if a credential is missing or expired.
    JSON that is sent as ``text/html`` is no page: only what begins as markup is one.
    """
    if not 200 <= response.status < 300:
        return False
    start = response.body[:_LONGEST_START].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if not start.startswith(b"<"):
        return False
    if any(name.lower() == "accept" and "html" in value.lower() for name, value in request.headers):
        return False
    return start.startswith(_MARKUP) or "html" in response.headers.get("content-type", "").lower()
