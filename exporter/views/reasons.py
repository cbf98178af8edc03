"""Why a job cannot be read, as a sentence with the next step; in full in docs/on-call/reasons.md."""

from collections.abc import Mapping
from dataclasses import dataclass

from exporter.model.failure import Reason

DOCUMENTATION = "https://github.com/remote-job-exporter/remote-job-exporter/blob/main/"
"""The folder of the project that links of pages and of the terminal lead to."""

_WORDS: Mapping[Reason, tuple[str, str]] = {
    Reason.TIMEOUT: (
        "The vendor did not respond completely in time.",
        "Check whether the vendor is slow or a firewall drops packets; increase timeout if it is slow.",
    ),
    Reason.DNS: (
        "The name of the host or of the proxy has no address.",
        "Check base_url, proxy_url and the resolver of the machine.",
    ),
    Reason.CONNECT: (
        "There was no connection, or it was closed too early.",
        "Check that the service is up, its port, the firewall and the proxy.",
    ),
    Reason.TLS: (
        "The TLS handshake failed or the certificate was rejected.",
        "Check that the port expects TLS, the keys under tls: and the clock of the machine.",
    ),
    Reason.UNAUTHORIZED: (
        "The vendor does not accept the credential.",
        "Check whether the credential has expired or is for another environment, and replace it.",
    ),
    Reason.FORBIDDEN: (
        "The account has no right to read this job.",
        "Give the account the right to read it.",
    ),
    Reason.NOT_FOUND: (
        "The job does not exist, or the account must not know of it.",
        "Check the keys of the job and base_url; remove runs that have ended from jobs:.",
    ),
    Reason.RATE_LIMITED: (
        "The vendor got too many requests.",
        "Wait; if it stays, increase min_interval and check who else uses the account.",
    ),
    Reason.REDIRECT: (
        "The vendor redirects to another address, which is not followed.",
        "Check base_url; it may be old, or need https.",
    ),
    Reason.CLIENT_ERROR: (
        "The vendor rejects the request.",
        "Check the keys of the job and headers:.",
    ),
    Reason.SERVER_ERROR: (
        "The vendor reports an error of its own.",
        "See the status page of the vendor.",
    ),
    Reason.TOO_LARGE: (
        "The response is too large for the status of a job.",
        "Check with curl what base_url returns.",
    ),
    Reason.INVALID_RESPONSE: (
        "The response is not what the API documents.",
        "Check base_url and the credential: it may be a sign-in page; else report it.",
    ),
    Reason.AUTH: (
        "No credential was available, so the job was not read.",
        "Check the keys under auth: and the log, which has the response of the token endpoint.",
    ),
    Reason.DEADLINE: (
        "The job was not read before the scrape had to be answered.",
        "Wait for the next scrape; if it stays, increase concurrency or the scrape timeout.",
    ),
    Reason.INTERNAL: (
        "There is an error in the exporter.",
        "Report it, with the lines of the log.",
    ),
}


@dataclass(frozen=True, slots=True)
class Problem:
    """Why the last read of a job failed.

    Args:
        reason: as in `remote_job_read_error_info`.
        sentence: what happened.
        detail: what exactly, in one line; may be empty.
        next_step: what to do about it.
        docs: address of the section that explains the reason.
    """

    reason: str
    sentence: str
    detail: str
    next_step: str
    docs: str


def problem(reason: Reason, detail: str = "") -> Problem:
    """The words for a reason.

    Args:
        detail: of the failure.
    """
    sentence, next_step = _WORDS[reason]
    docs = f"{DOCUMENTATION}docs/on-call/reasons.md#{reason.value}"
    return Problem(reason.value, sentence, detail, next_step, docs)
