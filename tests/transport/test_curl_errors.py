"""Every number of libcurl has a reason on purpose."""

import pycurl
import pytest

from exporter.model.failure import Reason
from exporter.transport.curl_errors import CURL_ERRORS, MEANINGS

NUMBERS = {
    name: number
    for name, number in vars(pycurl).items()
    if name.startswith("E_") and not name.startswith("E_MULTI_")
}


@pytest.mark.parametrize("name", sorted(NUMBERS))
def test_every_error_that_pycurl_names_has_a_reason(name: str) -> None:
    reason, words = CURL_ERRORS[NUMBERS[name]]
    assert isinstance(reason, Reason)
    assert words


def test_every_number_that_libcurl_describes_has_a_reason() -> None:
    described = {number for number in range(1, 200) if "Unknown error" not in pycurl.easy_strerror(number)}
    assert len(described) > 60
    assert described <= set(CURL_ERRORS)


def test_no_number_has_two_meanings() -> None:
    numbers = [number for _, _, group in MEANINGS for number in group]
    assert len(numbers) == len(set(numbers))


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("E_OPERATION_TIMEDOUT", Reason.TIMEOUT),
        ("E_COULDNT_RESOLVE_HOST", Reason.DNS),
        ("E_COULDNT_RESOLVE_PROXY", Reason.DNS),
        ("E_COULDNT_CONNECT", Reason.CONNECT),
        ("E_GOT_NOTHING", Reason.CONNECT),
        ("E_PARTIAL_FILE", Reason.CONNECT),
        ("E_SEND_ERROR", Reason.CONNECT),
        ("E_RECV_ERROR", Reason.CONNECT),
        ("E_SSL_CONNECT_ERROR", Reason.TLS),
        ("E_SSL_CERTPROBLEM", Reason.TLS),
        ("E_PEER_FAILED_VERIFICATION", Reason.TLS),
        ("E_SSL_CACERT_BADFILE", Reason.TLS),
        ("E_SSL_CRL_BADFILE", Reason.TLS),
        ("E_FILESIZE_EXCEEDED", Reason.TOO_LARGE),
        ("E_BAD_CONTENT_ENCODING", Reason.INVALID_RESPONSE),
        ("E_HTTP2", Reason.INVALID_RESPONSE),
        ("E_OUT_OF_MEMORY", Reason.INTERNAL),
    ],
)
def test_the_usual_faults_are_what_the_contract_says(name: str, reason: Reason) -> None:
    assert CURL_ERRORS[NUMBERS[name]][0] is reason
