"""What each libcurl error number means: one of our reasons and a few words of our own.

libcurl's own messages quote hosts, certificates and what the peer sent; they go nowhere. Numbers:
https://curl.se/libcurl/c/libcurl-errors.html, also those that pycurl has no name for yet.
"""

from collections.abc import Mapping

from exporter.model.failure import Reason

TIMED_OUT = 28
NOT_TAKEN = 23
BAD_ARGUMENT = 43
CLIENT_CERTIFICATE = 58
BAD_CERTIFICATE = 60

MEANINGS: tuple[tuple[Reason, str, tuple[int, ...]], ...] = (
    (Reason.TIMEOUT, "no whole answer in time", (TIMED_OUT,)),
    (Reason.DNS, "the name of the host could not be resolved", (6,)),
    (Reason.DNS, "the name of the proxy could not be resolved", (5,)),
    (Reason.CONNECT, "no connection could be made", (7, 45, 89, 96)),
    (Reason.CONNECT, "the connection was closed before an answer came", (52,)),
    (Reason.CONNECT, "the connection was closed in the middle of the answer", (18, 92)),
    (Reason.CONNECT, "the connection was lost while sending", (55, 65)),
    (Reason.CONNECT, "the connection was lost while receiving", (56, 81, 99)),
    (Reason.CONNECT, "the proxy did not connect us", (97,)),
    (Reason.TLS, "the TLS handshake failed", (35, 59, 64, 80, 101)),
    (Reason.TLS, "the server's certificate is not trusted", (BAD_CERTIFICATE, 83, 90, 91)),
    (Reason.TLS, "the client certificate or its key cannot be used", (CLIENT_CERTIFICATE,)),
    (Reason.TLS, "the server wants a client certificate", (98,)),
    (Reason.TLS, "the CA file cannot be used", (77,)),
    (Reason.TLS, "the CRL file cannot be used", (82,)),
    (Reason.TLS, "the TLS library could not be set up", (53, 54, 66)),
    (Reason.TOO_LARGE, "the answer is over a size limit", (63, 100)),
    (Reason.INVALID_RESPONSE, "the answer is not HTTP", (1, 8)),
    (Reason.INVALID_RESPONSE, "the answer breaks the rules of HTTP/2 or HTTP/3", (16, 95)),
    (Reason.INVALID_RESPONSE, "the answer cannot be unpacked", (NOT_TAKEN, 61)),
    (Reason.INTERNAL, "the URL cannot be used", (3,)),
    (Reason.INTERNAL, "libcurl ran out of memory", (27,)),
    (Reason.INTERNAL, "libcurl was built without what is needed", (2, 4, 41, 48)),
    (Reason.INTERNAL, "libcurl was used in a wrong way", (-1, 0, 26, 42, BAD_ARGUMENT, 44, 93, 99999)),
    # Other protocols, redirects, ranges, logins: nothing that this exporter asks libcurl for.
    (Reason.INTERNAL, "libcurl did something unasked", (*range(9, 16), 17, 19, 20, 21, 22, 24, 25)),
    (Reason.INTERNAL, "libcurl did something unasked", (*range(29, 35), *range(36, 41), 46, 47, 49, 57)),
    (Reason.INTERNAL, "libcurl did something unasked", (62, *range(67, 77), 78, 79, *range(84, 89), 94)),
)

FAULTS: Mapping[int, tuple[Reason, str]] = {
    number: (reason, words) for reason, words, numbers in MEANINGS for number in numbers
}
"""Reason and words of every number known."""

CERTIFICATE_FAULTS: Mapping[int, str] = {
    # OpenSSL's X509_V_ERR_…; 1 is what libcurl begins with and leaves there when it is the name.
    1: "it is for another name",
    3: "there is no CRL of its issuer",
    9: "it is not valid yet",
    10: "it has expired",
    12: "the CRL has expired",
    18: "it is self-signed",
    19: "the CA is not in the CA file",
    20: "the CA is not in the CA file",
    21: "the CA is not in the CA file",
    23: "it has been revoked",
    62: "it is for another name",
}
"""Why a certificate was refused, where OpenSSL says so."""
