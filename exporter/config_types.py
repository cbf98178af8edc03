"""Types for the keys of the configuration, shared by all modules that declare keys.

Each rejects bad input with a text: what is wrong; what is allowed. ``config`` adds the place.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from operator import attrgetter
from pathlib import Path
from typing import Annotated, ClassVar, TypeVar
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    PlainSerializer,
    PlainValidator,
    ValidationInfo,
    WithJsonSchema,
)

from exporter.expressions.budget import Find
from exporter.model.clock import SYSTEM_CLOCK
from exporter.model.http import CONNECTION_HEADERS, TOKEN, has_dot_segments
from exporter.model.text import has_control_characters
from exporter.runtime import files
from exporter.runtime.secret import Rule, Secret, SecretError

T = TypeVar("T")

Place = tuple[str | int, ...]
"""Keys and indexes that lead to a value."""

_UNITS = {"y": 31536000.0, "w": 604800.0, "d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
# https://prometheus.io/docs/prometheus/latest/configuration/configuration/: <duration>, and 0.
_DURATION = re.compile("".join(rf"(?:(?P<{unit}>\d{{1,9}}){unit})?" for unit in _UNITS), re.ASCII)
DURATION_PATTERN = "^(?=.)(0|" + "".join(rf"(\d+{unit})?" for unit in _UNITS) + ")$"

MAX_KEY_LENGTH = 512

ORDINARY_NAME = re.compile(r"[A-Za-z]{1,20}([-_][A-Za-z]{1,20}){0,5}")
"""A name of words, such as ``X-Auth-Token``. Other text can be a misplaced secret, and is not quoted."""


class ErrorsInside(ValueError):
    """Errors of values inside a value.

    Args:
        errors: the place below the value, and the text, of each.
    """

    def __init__(self, errors: Iterable[tuple[Place, str]]) -> None:
        self.errors = tuple(errors)
        super().__init__("; ".join(text for _, text in self.errors))


class Keys(BaseModel):
    """A mapping of the configuration: unknown keys and wrong types are errors.

    Attributes:
        nullable: the keys for which null is a value of its own.
    """

    nullable: ClassVar[frozenset[str]] = frozenset()

    model_config = ConfigDict(
        defer_build=True,
        extra="forbid",
        frozen=True,
        strict=True,
        arbitrary_types_allowed=True,
        hide_input_in_errors=True,
    )


@dataclass(frozen=True, slots=True)
class Expression:
    """A compiled JMESPath expression; equal to another of the same text.

    Args:
        find: its result for a value, ``None`` for nothing; see `Find`.
        can_take_long: whether it can take more than a fraction of a millisecond for a small value.
    """

    source: str
    find: Find = field(repr=False, compare=False)
    can_take_long: bool = field(repr=False, compare=False)


def inside(value: object, kind: type[T], place: Place = ()) -> Iterator[tuple[Place, T]]:
    """Every value of a type in validated keys, with its place below ``place``."""
    parts: Iterable[tuple[str | int, object]] = ()
    if isinstance(value, kind):
        yield place, value
    elif isinstance(value, BaseModel):
        fields = type(value).model_fields.items()
        parts = ((field.alias or name, getattr(value, name)) for name, field in fields)
    elif isinstance(value, Mapping):
        parts = value.items()
    elif isinstance(value, list | tuple):
        parts = enumerate(value)
    for part, each in parts:
        yield from inside(each, kind, (*place, part))


def parse_duration(value: object) -> float:
    """A Prometheus duration such as ``500ms``, ``10s`` or ``1m30s``, in seconds.

    Raises:
        ValueError: it is not a duration.
    """
    if value in ("0", 0) and not isinstance(value, bool | float):
        return 0.0
    match = _DURATION.fullmatch(value) if isinstance(value, str) and value else None
    if match is None:
        raise ValueError(
            "not a duration; allowed are Prometheus durations such as 500ms, 10s, 1m30s, 2h or 1d"
        )
    return sum(int(number) * _UNITS[unit] for unit, number in match.groupdict().items() if number)


def positive(seconds: float) -> float:
    """The same seconds; raises a ``ValueError`` if they are not more than 0."""
    if seconds <= 0:
        raise ValueError("must be more than 0s")
    return seconds


def check_http_url(value: str, credentials: str = "credentials belong under auth:") -> str:
    """The URL. Raises `ValueError` unless it has scheme http or https and no credentials, query, fragment."""
    hint = "allowed is http://HOST[:PORT][/PATH] or https://…"
    try:
        url = urlsplit(value)
        port = url.port
    except ValueError:  # its text can quote a password
        raise ValueError(f"not a URL; {hint}") from None
    if url.scheme not in ("http", "https"):
        raise ValueError(f"the scheme must be http or https; {hint}")
    if url.username is not None or url.password is not None:
        raise ValueError(f"must not contain a user name or password; {credentials}")
    if not url.hostname or port == 0:
        raise ValueError(f"the host is missing or the port is out of range; {hint}")
    if url.query or url.fragment or value.endswith(("?", "#")):
        raise ValueError(f"must not have a query or fragment; {hint}")
    if re.search(r"[\s\\]", value) or has_control_characters(value):
        raise ValueError(f"must not contain spaces, backslashes or control characters; {hint}")
    if has_dot_segments(url.path):
        raise ValueError("must not contain the path segments . or ..")
    return value


def _endpoint_or_path(value: str) -> str:
    if value.startswith("/"):
        check_http_url(f"http://host{value}")
        return value
    try:
        return check_http_url(value)
    except ValueError as error:
        raise ValueError(f"{error}, or a path that starts with /") from None


def _proxy_url(value: str) -> str:
    return check_http_url(
        value,
        "leave it out and set the environment variable https_proxy (for an https base_url) or http_proxy "
        "(for http; lower case only) to http://USER:PASSWORD@HOST:PORT",
    )


def check_key(value: str) -> str:
    """A key value of a job, which is encoded into one segment of a path or one value of a query.

    Raises:
        ValueError: empty, too long, with control characters, or ``.`` or ``..``, which clients remove. Nor
            may these be segments in it for a gateway, see `has_dot_segments`.
    """
    if not value:
        raise ValueError("must not be empty")
    if len(value) > MAX_KEY_LENGTH:
        raise ValueError(f"is longer than {MAX_KEY_LENGTH} characters")
    if has_dot_segments(value):
        raise ValueError("must not be . or .., nor have these between / or \\, which would change the path")
    if has_control_characters(value):
        raise ValueError("must not contain control characters")
    return value


def check_header_value(value: str) -> str:
    """A value that is allowed in an HTTP header (RFC 9110 section 5.5).

    Raises:
        ValueError: it contains control characters or is not Latin-1.
    """
    if has_control_characters(value):
        raise ValueError("must not contain control characters or line breaks")
    try:
        value.encode("latin-1")
    except UnicodeEncodeError:
        raise ValueError("must contain only Latin-1 characters") from None
    return value


def _header_name(value: str) -> str:
    if not TOKEN.fullmatch(value):
        raise ValueError("is not a header name; allowed are letters, digits and !#$%&'*+-.^_`|~")
    return value


def _request_header(name: str) -> str:
    if name.lower() in CONNECTION_HEADERS:
        others = ", ".join(sorted(CONNECTION_HEADERS))
        raise ValueError(f"{name} is set by the connection; allowed are all names except {others}")
    return name


def each_once(headers: dict[str, T]) -> dict[str, T]:
    """The same headers.

    Raises:
        ValueError: two names differ only in case.
    """
    seen: set[str] = set()
    for name in headers:
        if name.lower() in seen:
            shown = name if ORDINARY_NAME.fullmatch(name) else "a name"
            raise ValueError(f"has {shown} twice; names of headers are not case-sensitive")
        seen.add(name.lower())
    return headers


def in_folder(path: str | Path, info: ValidationInfo) -> Path:
    """A path, relative to ``folder`` in the context: the folder of the configuration file."""
    return Path((info.context or {}).get("folder", ""), path)


def host_is_read(info: ValidationInfo) -> bool:
    """Whether files and variables that the configuration names are read: ``host`` in the context."""
    return (info.context or {}).get("host", True) is True


def note(path: Path, info: ValidationInfo) -> None:
    """Adds the state of a file that is about to be read to ``stamps`` or ``digests`` of the context.

    A change of the file must cause a reload, also if it is missing now.
    """
    context = info.context or {}
    if "stamps" in context:
        context["stamps"].setdefault(path, files.stamp(path))
    if "digests" in context:
        context["digests"].setdefault(path, files.digest(path))


def check_pem(path: Path, written: str = "") -> None:
    """Raises a ``ValueError`` if a PEM file cannot be read; its content is not checked.

    Args:
        written: the path as the user wrote it, see `files.problem`.
    """
    try:
        files.pem(path)
    except OSError as error:
        raise ValueError(f"{files.problem(path, error, written)}; allowed is a readable PEM file") from None


def _pem_file(value: object, info: ValidationInfo) -> Path:
    if not isinstance(value, str) or not value:
        raise ValueError("not a path; allowed is the path of a readable PEM file")
    path = in_folder(value, info)
    note(path, info)
    if host_is_read(info):
        check_pem(path, value)
    return path


def secret(value: object, info: ValidationInfo) -> Secret:
    """A secret as it is written in the configuration; raises a ``ValueError`` if it cannot be read."""
    if isinstance(value, Secret):
        return value
    hint, reads = "allowed is a string, {env: NAME} or {file: PATH}", host_is_read(info)
    try:
        match value:
            case str():
                if not value:
                    raise ValueError(f"must not be empty; {hint}")
                return Secret.plain(value)
            case {"env": str(name), **rest} if not rest and name:
                return Secret.env(name) if reads else Secret.unread("env", name)
            case {"file": str(path), **rest} if not rest and path:
                if not reads:
                    return Secret.unread("file", path)
                file, clock = in_folder(path, info), (info.context or {}).get("clock", SYSTEM_CLOCK)
                note(file, info)
                return Secret.file(file, clock, written=path)
    except SecretError as error:
        raise ValueError(str(error)) from None
    raise ValueError(f"not a secret; {hint}")


def expression(value: object) -> Expression:
    """A JMESPath expression from text.

    Raises:
        ValueError: the error in it, in one sentence.
    """
    if isinstance(value, Expression):
        return value
    if not isinstance(value, str):
        # pydantic reports no TypeError.
        raise ValueError("must be text: a JMESPath expression, in quotes")  # noqa: TRY004
    # Only where expressions are configured.
    from exporter.expressions.tree import can_take_long, finder  # noqa: PLC0415

    return Expression(value, finder(value), can_take_long(value))


def secret_check(check: Rule) -> AfterValidator:
    """Checks each value of a secret, when it is loaded and when its file has changed."""
    return AfterValidator(lambda secret: secret.with_rule(check))


Duration = Annotated[
    float,
    BeforeValidator(parse_duration),
    WithJsonSchema(
        # The only number allowed is 0. With anyOf or a list of types, validators do not report for another
        # number that a duration is text.
        {
            "if": {"const": 0},
            "else": {"type": "string", "pattern": DURATION_PATTERN},
            "examples": ["10s", "1m30s"],
        }
    ),
]
"""Seconds, written as a Prometheus duration."""

PositiveDuration = Annotated[Duration, AfterValidator(positive)]

_URL_SCHEMA = WithJsonSchema({"type": "string", "pattern": "^https?://", "format": "uri"})

_NO_SLASH = AfterValidator(lambda url: url.rstrip("/"))

HttpUrl = Annotated[str, AfterValidator(check_http_url), _NO_SLASH, _URL_SCHEMA]
"""A URL with scheme http or https, without credentials, query and trailing slash."""

EndpointUrl = Annotated[str, AfterValidator(check_http_url), _URL_SCHEMA]
"""The same, but unchanged: a trailing slash stays."""

EndpointOrPath = Annotated[
    str,
    AfterValidator(_endpoint_or_path),
    WithJsonSchema({"type": "string", "pattern": "^(https?://|/)", "format": "uri-reference"}),
]
"""The same, or a path below ``base_url``, which begins with a slash."""

ProxyUrl = Annotated[str, AfterValidator(_proxy_url), _NO_SLASH, _URL_SCHEMA]
"""The URL of a proxy; an error says where its user name and password belong."""

PemFile = Annotated[Path, BeforeValidator(_pem_file, json_schema_input_type=str)]
"""The path of a readable PEM file; its state is added to ``stamps`` or ``digests`` in the context."""

KeyValue = Annotated[str, AfterValidator(check_key)]

HeaderName = Annotated[str, AfterValidator(_header_name)]

HeaderText = Annotated[str, AfterValidator(check_header_value)]

RequestHeaderName = Annotated[HeaderName, AfterValidator(_request_header)]
"""The name of a header that a request can set."""

Headers = Annotated[dict[RequestHeaderName, HeaderText], AfterValidator(each_once)]
"""Headers of a request by name."""

SecretValue = Annotated[
    Secret,
    PlainValidator(secret),
    PlainSerializer(str),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "minLength": 1},
                *(
                    {
                        "type": "object",
                        "properties": {source: {"type": "string"}},
                        "required": [source],
                        "additionalProperties": False,
                    }
                    for source in ("env", "file")
                ),
            ]
        }
    ),
]
"""A secret: a plain string, ``{env: NAME}`` or ``{file: PATH}``."""

Expr = Annotated[
    Expression,
    PlainValidator(expression),
    PlainSerializer(attrgetter("source"), return_type=str),
    WithJsonSchema({"type": "string", "minLength": 1, "format": "jmespath"}),
]
"""A JMESPath expression, as text in the config."""
