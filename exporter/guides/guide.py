"""What a guide to a vendor is: where each value is found, and who corrects what fails."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from exporter.model.failure import Reason


@dataclass(frozen=True, slots=True)
class Question:
    """One value of the configuration that a person is asked for.

    Args:
        key: its place below the system, such as ``auth.client_id``; below ``job``, a key of the job. The
            answer of ``known.NAME`` is no key: it replaces ``{NAME}`` in the keys of other questions.
        text: what it is, in a few words.
        where: where it is found at the vendor, in one or two sentences.
        default: the value that Enter selects; made of the answers before it, by key, if it is a function.
        secret: it is asked for without echo and written to a file.
        choices: the values that are allowed; any if empty.
        flag: the name of its flag without dashes; by default the last part of the key.
    """

    key: str
    text: str
    where: str = ""
    default: str | Callable[[Mapping[str, str]], str] = ""
    secret: bool = False
    choices: Sequence[str] = ()
    flag: str = ""

    @property
    def option(self) -> str:
        """Its flag without dashes at the front; a secret has two, with ``.env`` and ``.file`` behind it."""
        return self.flag or self.key.rpartition(".")[2].replace("_", "-")


@dataclass(frozen=True, slots=True)
class SignIn:
    """One kind of credential that the vendor accepts.

    Args:
        about: for whom it is, in a few words.
        questions: for the keys of ``auth:``.
        fixed: keys of ``auth:`` that no question is needed for.
    """

    about: str
    questions: tuple[Question, ...] = ()
    fixed: Mapping[str, Any] = field(default_factory=dict)


def client_credentials(token_url: str, about_id: str, about_secret: str) -> tuple[Question, ...]:
    """The questions for a client of OAuth 2.0: where its id and its secret are found."""
    return (
        Question("auth.token_url", "Token endpoint", "", token_url),
        Question("auth.client_id", "Client id", about_id),
        Question("auth.client_secret", "Client secret", about_secret, secret=True),
    )


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why a system cannot be read with its credential.

    Args:
        reason: of the failure; ``None``: the listing works and has no job.
        base_url: of the system.
        auth: the validated keys of ``auth:``; its ``type`` is the kind of credential.
        scopes: of the token that was sent; ``None`` if they are not known.
        expired: the token that was sent has expired.
    """

    reason: Reason | None
    base_url: str
    auth: Any
    scopes: frozenset[str] | None = None
    expired: bool = False


def no_advice(trouble: Trouble) -> str:
    """For a vendor of which nothing is known."""
    del trouble
    return ""


@dataclass(frozen=True, slots=True)
class Guide:
    """What people have to know to set up one system.

    Args:
        title: the vendor's name.
        name: of the system in a new configuration.
        jobs: what its jobs are called.
        system: questions for the keys of the system.
        sign_in: the kinds of credentials by ``auth.type``, the usual one first.
        listing: questions for ``discover:``; ``None`` if there is no listing.
        discover: keys of ``discover:`` that no question is needed for; made of the answers, by key.
        job: questions for the keys of a job.
        page: of the documentation.
        advice: why the credential or its rights do not suffice and who can correct that; empty if not known.
    """

    title: str
    name: str
    jobs: str
    system: tuple[Question, ...]
    sign_in: Mapping[str, SignIn]
    listing: tuple[Question, ...] | None
    job: tuple[Question, ...]
    page: str
    discover: Callable[[Mapping[str, str]], Mapping[str, Any]] = lambda _: {}
    advice: Callable[[Trouble], str] = no_advice
