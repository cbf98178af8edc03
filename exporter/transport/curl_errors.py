"""The meaning of each libcurl error number: a `Reason` and a description in our own words.

libcurl's own messages quote certificates and what the peer sent, so they are not shown. Numbers:
https://curl.se/libcurl/c/libcurl-errors.html, also those that pycurl has no name for yet.
"""

from collections.abc import Mapping

from exporter.model.failure import Reason

MEANINGS: tuple[tuple[Reason, str, tuple[int, ...]], ...] = (
    (Reason.TIMEOUT, "timed out", (28,)),
    (Reason.DNS, "could not resolve the host name", (6,)),
    (Reason.DNS, "could not resolve the host name of the proxy", (5,)),
    (Reason.CONNECT, "could not connect", (7, 45, 89, 96)),
    (Reason.CONNECT, "the server closed the connection without a response", (52,)),
    (Reason.CONNECT, "the connection was closed in the middle of the response", (18, 92)),
    (Reason.CONNECT, "the connection was lost while sending", (55, 65)),
    (Reason.CONNECT, "the connection was lost while receiving", (56, 81, 99)),
    (Reason.CONNECT, "the handshake with the proxy failed", (97,)),
    (Reason.TLS, "the TLS handshake failed", (35, 59, 64, 80, 101)),
    (Reason.TLS, "the server's certificate is not trusted", (60, 83, 90, 91)),
    (Reason.TLS, "the client certificate or its key cannot be used", (58,)),
    (Reason.TLS, "the server requires a client certificate", (98,)),
    (Reason.TLS, "the CA file cannot be used", (77,)),
    (Reason.TLS, "the CRL file cannot be used", (82,)),
    (Reason.TLS, "the TLS library could not be initialized", (53, 54, 66)),
    (Reason.TOO_LARGE, "the response is too large", (63, 100)),
    (Reason.INVALID_RESPONSE, "the response is not HTTP", (1, 8)),
    (Reason.INVALID_RESPONSE, "the response violates HTTP/2 or HTTP/3", (16, 95)),
    (Reason.INVALID_RESPONSE, "the response body cannot be decoded", (23, 61)),
    (Reason.INTERNAL, "the URL is invalid", (3,)),
    (Reason.INTERNAL, "libcurl ran out of memory", (27,)),
    (Reason.INTERNAL, "libcurl was built without a required feature", (2, 4, 41, 48)),
    (Reason.INTERNAL, "libcurl was used incorrectly", (-1, 0, 26, 42, 43, 44, 93, 99999)),
    # Other protocols, redirects, ranges, logins: this exporter does not use them.
    (Reason.INTERNAL, "unexpected error of libcurl", (*range(9, 16), 17, 19, 20, 21, 22, 24, 25)),
    (Reason.INTERNAL, "unexpected error of libcurl", (*range(29, 35), *range(36, 41), 46, 47, 49, 57)),
    (Reason.INTERNAL, "unexpected error of libcurl", (62, *range(67, 77), 78, 79, *range(84, 89), 94)),
)

CURL_ERRORS: Mapping[int, tuple[Reason, str]] = {
    number: (reason, description) for reason, description, numbers in MEANINGS for number in numbers
}
"""Reason and description by number."""

CERTIFICATE_ERRORS: Mapping[int, str] = {
    # OpenSSL's X509_V_ERR_…; 1 is libcurl's initial value, which stays if the name does not match.
    1: "it is for another host name",
    3: "there is no CRL of its issuer",
    9: "it is not valid yet",
    10: "it has expired",
    12: "the CRL has expired",
    18: "it is self-signed",
    19: "its CA is not in the CA file",
    20: "its CA is not in the CA file",
    21: "its CA is not in the CA file",
    23: "it has been revoked",
    62: "it is for another host name",
}
"""Why a certificate was rejected, by OpenSSL's number."""
