"""Responses that ask a user to sign in, sent to a program that asked for data."""

import re

from exporter.model.http import Request, Response

_MARKUP = b"<!doctype html", b"<html"
_LONGEST_START = 1024
# /login.jsp, /users/sign_in, /securityRealm/commenceLogin (Jenkins), /oauth2/start (oauth2-proxy); in the
# query what OpenID Connect and SAML require.
_SIGN_IN = re.compile(
    r"[^?#]*(?:(?:(?<![a-z])|commence)(?:log|sign)[-_]?[io]n(?![a-z])|/oauth2/(?:start|auth))"
    r"|[^#]*[?&](?:response_type|samlrequest)=",
    re.IGNORECASE | re.ASCII,
)
_LONGEST_LOCATION = 2048


def asks_to_sign_in(request: Request, response: Response) -> bool:
    """Whether a response is a sign-in page or a redirect to one."""
    return is_sign_in_page(request, response) or is_sign_in_redirect(response)


def is_sign_in_redirect(response: Response) -> bool:
    """Whether a response is a temporary redirect to what is, by its address, a sign-in page."""
    if response.status not in (302, 303, 307):
        return False
    location = response.headers.get("location", "")[:_LONGEST_LOCATION]
    return _SIGN_IN.match(location) is not None


def is_sign_in_page(request: Request, response: Response) -> bool:
    """Whether a response of status 2xx is an HTML page, which the request did not ask for.

    Gateways and some vendors (Azure DevOps, with status 203) answer so if a credential is missing or expired.
    JSON that is sent as ``text/html`` is no page: only what begins as markup is one.
    """
    if response.body.startswith(b"{") or not 200 <= response.status < 300:
        return False
    start = response.body[:_LONGEST_START].lstrip(b"\xef\xbb\xbf \t\r\n")
    if not start.startswith(b"<"):
        return False
    if any(name.lower() == "accept" and "html" in value.lower() for name, value in request.headers):
        return False
    return start.lower().startswith(_MARKUP) or "html" in response.headers.get("content-type", "").lower()
