"""Every limit that a request, a response or a file can reach, for ``docs/reference/limits.md``.

The numbers are those of the code. A test fails for a constant with the name of a limit that is missing here.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import reduce
from importlib import import_module
from typing import Any

from exporter.config.markdown import table


def count(value: float) -> str:
    """``1,000``."""
    return f"{value:,}"


def size(value: float) -> str:
    """``64 KiB``."""
    for power, unit in ((30, "GiB"), (20, "MiB"), (10, "KiB")):
        if value >= 1 << power:
            return f"{value / (1 << power):,g} {unit}"
    return f"{value:,} bytes"


def seconds(value: float) -> str:
    """``10 s``, ``15 min``, ``1 d``."""
    for unit, name in ((86400, "d"), (3600, "h"), (60, "min")):
        if value >= unit and value % unit == 0:
            return f"{value / unit:,g} {name}"
    return f"{value:,g} s"


@dataclass(frozen=True)
class Bound:
    """One limit.

    Args:
        place: ``module:name`` of the constant.
        unit: how its value is written.
        what: is limited.
        then: what happens at the limit.
    """

    place: str
    unit: Callable[[Any], str]
    what: str
    then: str

    @property
    def value(self) -> str:
        """The limit as people read it."""
        module, _, path = self.place.partition(":")
        return self.unit(reduce(_part, path.split("."), import_module(f"exporter.{module}")))


def _part(whole: Any, name: str) -> Any:
    """An attribute; of a class, the default of a field."""
    if not isinstance(whole, type):
        return getattr(whole, name)
    if defaults := getattr(whole, "_field_defaults", {}):
        return defaults[name]
    return next(field.default for field in fields(whole) if field.name == name)


def page() -> str:
    """The reference page."""
    parts = ["# Limits\n", INTRODUCTION]
    for title, bounds in SECTIONS.items():
        rows = [(each.what, each.value, each.then) for each in bounds]
        parts.append(f"## {title}\n\n{table(('what', 'limit', 'beyond it'), rows)}\n")
    return "\n".join(parts)


INTRODUCTION = """\
Every limit that a client, a system or a file can reach, and what happens beyond it. The reasons are in
[security](../understand/security.md), the limits that can be configured in [the configuration](config.md).
"""

_READ = "upstream.reading:ReadLimits"
_LISTING = "upstream.reading:LISTING_LIMITS"
_SERVER = "web.limits:Limits"
_BUDGET = "expressions.budget"
_CLOSED = "the connection is closed"
_LARGE = "reason `too_large`"
_INVALID = "reason `invalid_response`"
_ERROR = "an error"

SECTIONS: dict[str, list[Bound]] = {
    "Clients of the exporter": [
        Bound(
            f"{_SERVER}.connections",
            count,
            "open connections",
            "the one that waits for the longest time is closed; a new one only if all serve requests",
        ),
        Bound(f"{_SERVER}.handshake_timeout", seconds, "a TLS handshake", _CLOSED),
        Bound(f"{_SERVER}.read_timeout", seconds, "sending one request", _CLOSED),
        Bound(f"{_SERVER}.keep_alive_timeout", seconds, "between two requests", _CLOSED),
        Bound(f"{_SERVER}.write_timeout", seconds, "reading 64 KiB of a response", _CLOSED),
        Bound(f"{_SERVER}.header_bytes", size, "request line and headers", "431"),
        Bound(f"{_SERVER}.header_lines", count, "lines of headers", "431"),
        Bound(f"{_SERVER}.body_bytes", size, "the body of a request", "413"),
        Bound("web.app:DEFAULT_TIMEOUT", seconds, "a scrape without a valid timeout", "reason `deadline`"),
        Bound("web.app:LONGEST_TIMEOUT", seconds, "the timeout that a scrape can ask for", "the default"),
        Bound(
            "collector.gathering:MAX_GATHERINGS",
            count,
            "scrapes at the same time that began at different moments",
            "the oldest gets what is known",
        ),
        Bound("web.sending:MAX_BYTES", size, "pages that are being sent", "the slowest readers are cut"),
        Bound("web.sending:SENDING_SECONDS", seconds, "reading a whole response", _CLOSED),
        Bound("collector.query:MAX_PARAMETERS", count, "parameters of a request", "400"),
        Bound("config_types:MAX_KEY_LENGTH", count, "characters of a key in `/probe`", "400"),
        Bound("collector.collector:MAX_PROBES", count, "probes of unwatched jobs at the same time", "503"),
        Bound("collector.probed:MAX_PROBED", count, "unwatched jobs that are remembered", "the oldest goes"),
        Bound(
            "collector.record:MAX_CHANGES", count, "changes of state of a job on its page", "the oldest goes"
        ),
        Bound("views.selection:MAX_FILTERS", count, "filters of `/jobs`", "400"),
        Bound("views.selection:MAX_FILTER_LENGTH", count, "characters of one of them", "400"),
        Bound("collector.probed:MAX_PROBED_BYTES", size, "lines of these jobs", "the oldest goes"),
        Bound("web.passwords:MAX_CHECKS", count, "passwords that wait for their check", "429"),
        Bound("web.passwords:MAX_CHECKS_PER_CLIENT", count, "the same, of one address", "429"),
        Bound("web.passwords:MAX_CLIENTS", count, "addresses that are remembered", "the oldest goes"),
        Bound("web.passwords:MAX_WRONG", count, "wrong passwords that are remembered", "the oldest goes"),
        Bound("web.config:MAX_COST", count, "bcrypt cost of a password", _ERROR),
    ],
    "Responses of systems": [
        Bound("config.models:MAX_TIMEOUT_SECONDS", seconds, "`timeout`, for one read of a job", _ERROR),
        Bound(f"{_LISTING}.seconds", seconds, "a listing with all its pages", "reason `timeout`"),
        Bound(f"{_READ}.max_requests", count, "requests for one job", _LARGE),
        Bound(f"{_LISTING}.max_requests", count, "requests for one listing", _LARGE),
        Bound(f"{_READ}.max_bytes", size, "a response, decoded", _LARGE),
        Bound(f"{_LISTING}.max_bytes", size, "a page of a listing, decoded", _LARGE),
        Bound("model.json_body:MAX_VALUES", count, "JSON values of a response", _LARGE),
        Bound("transport.handle:MAX_HEADER_BYTES", size, "headers of a response", _LARGE),
        Bound("transport.handle:MAX_HEADER_LINES", count, "lines of headers of a response", _LARGE),
        Bound("providers.paging:MAX_TIMES", count, "times as many entries as a page should have", _LARGE),
        Bound("providers.paging:MAX_ENTRIES", count, "entries of a page of no known size", _LARGE),
        Bound("providers.paging:MAX_PAGES", count, "pages of a listing", _LARGE),
        Bound("providers.paging:MAX_EMPTY", count, "empty pages in a row", "the listing is incomplete"),
        Bound("providers.paging:MAX_ADDRESS", count, "characters of the link to a next page", _INVALID),
        Bound("providers.json.listing:MAX_LINK", count, "characters of a header `Link`", _INVALID),
        Bound("providers.json.listing:MAX_TOKEN", count, "characters of a token of a next page", _INVALID),
        Bound("upstream.reading:MAX_FOUND", count, "jobs of a listing", _LARGE),
        Bound("providers.json.job_api:MAX_PARENTS", count, "parents of a listing", _LARGE),
        Bound(f"{_BUDGET}:EXPRESSION_STEPS", count, "steps of one expression", _INVALID),
        Bound(f"{_BUDGET}:READ_STEPS", count, "steps of all expressions of a read", _LARGE),
        Bound(f"{_BUDGET}:READ_SECONDS", seconds, "their CPU time", _LARGE),
        Bound(f"{_BUDGET}:ENTRY_STEPS", count, "steps that each entry of a listing adds", _LARGE),
        Bound(f"{_BUDGET}:LISTING_SECONDS", seconds, "CPU time of the expressions of a listing", _LARGE),
        Bound("providers.values:MAX_TEXT", count, "characters of a text that becomes a label", "it is cut"),
        Bound("providers.values:MAX_COUNT", count, "a number of items", "it is absent"),
        Bound("model.dates:MAX_LENGTH", count, "characters of a time", "it is absent"),
        Bound("providers.caps:MAX_CATEGORIES_LENGTH", count, "characters of categories", "they are absent"),
        Bound("metrics.job_metrics:MAX_CATEGORIES", count, "categories of a job", "the rest is `other`"),
        Bound("upstream.unknown_words:MAX_WORDS", count, "unknown words in the log", "others are not logged"),
        Bound("model.pacing:MAX_RETRY_AFTER", seconds, "a wait that a system asks for", "it is this long"),
        Bound("providers.rate_limit:MAX_HEADERS", count, "headers about a rate limit", "others are ignored"),
        Bound(
            "upstream.stored:MAX_BYTES", size, "stored responses, for conditional requests", "the oldest goes"
        ),
        Bound("upstream.stored:MAX_BODY", size, "one of them", "it is not stored"),
        Bound("auth.token:MAX_TOKEN_LENGTH", count, "characters of a token", "reason `auth`"),
        Bound("auth.token:MAX_LIFE_SECONDS", seconds, "the use of a token", "it is renewed"),
        Bound("auth.cookies:MAX_COOKIES", count, "cookies of a login", "others are not sent"),
        Bound("auth.cookies:MAX_HEADER_LENGTH", count, "characters of all cookies", "others are not sent"),
    ],
    "Configuration, secrets and certificates": [
        Bound("config.link:MAX_LINK_LENGTH", count, "characters of `link`", _ERROR),
        Bound("config.yaml:MAX_BYTES", size, "the configuration", _ERROR),
        Bound("config.yaml:MAX_NODES", count, "values of the configuration, aliases included", _ERROR),
        Bound("config.yaml:MAX_DEPTH", count, "levels of the configuration", _ERROR),
        Bound("config.errors:MAX_ERRORS", count, "errors that are shown", "the number of others is shown"),
        Bound("config_types:MAX_KEY_LENGTH", count, "characters of a key of a job", _ERROR),
        Bound("config.models:MAX_LISTINGS", count, "listings of a system", _ERROR),
        Bound("providers.json.keys:MAX_LABELS", count, "labels from responses", _ERROR),
        Bound("expressions.tree:MAX_LENGTH", count, "characters of an expression", _ERROR),
        Bound("expressions.tree:MAX_DEPTH", count, "levels of an expression", _ERROR),
        Bound("runtime.secret:MAX_BYTES", size, "a secret", "an error; after the start the last one stays"),
        Bound("runtime.files:MAX_PEM_BYTES", size, "a file of certificates or a key", "the same"),
        Bound("runtime.calls:CALL_SECONDS", seconds, "reading a file", "the same"),
        Bound("runtime.calls:MAX_HANGING", count, "threads for files that do not respond", "the same"),
        Bound("model.shard:MAX_SHARDS", count, "shards", _ERROR),
    ],
    "Log and recordings": [
        Bound("runtime.log_writer:MAX_WAITING", size, "lines that wait to be written", "dropped and counted"),
        Bound("runtime.logging:MAX_VALUE_LENGTH", count, "characters of one value", "it is cut"),
        Bound("upstream.recording:MAX_BYTES", size, "bodies of a recording", _ERROR),
    ],
    "The command watch": [
        Bound(
            "cli.watched:READ_SECONDS", seconds, "reading all jobs of a configuration", "reason `deadline`"
        ),
        Bound("cli.watched:URL_SECONDS", seconds, "the response of the exporter at `--url`", _ERROR),
        Bound("cli.watched:MAX_RESPONSE_BYTES", size, "this response", _ERROR),
        Bound("cli.watched:MAX_PASSWORD_BYTES", size, "the file of `--password-file`", _ERROR),
    ],
}

NOT_LISTED = {
    "auth.cookies:MAX_COOKIE_LENGTH",
    "auth.cookies:MAX_LINES",
    "auth.huawei_aksk:MAX_KEY_LENGTH",
    "auth.huawei_aksk:MAX_SECURITY_TOKEN_LENGTH",
    "auth.jwt:MAX_LENGTH",
    "auth.jwt:MAX_SCOPES",
    "cli.job_table:MAX_NOTES",
    "cli.job_table:MAX_TEXT",
    "collector.collector:MAX_ROUNDS",
    "collector.explain_expressions:MAX_NAME",
    "collector.explain_expressions:MAX_NAMES",
    "collector.explain_expressions:MAX_NOTE",
    "collector.explain_expressions:MAX_SHOWN",
    "collector.explain_expressions:MAX_SOURCE",
    "collector.explain_listing:MAX_LINE",
    "collector.explain_listing:MAX_LINES",
    "collector.online:MAX_JOBS",
    "collector.query:MAX_NAMES",
    "collector.records:MAX_OWNED",
    "config.errors:MAX_TEXT",
    "config.models:MAX_TEXT",
    "config.warnings:MAX_MIN_INTERVAL_SECONDS",
    "config.yaml:MAX_DIGITS",
    "guides.shape:MAX_ENTRIES",
    "guides.shape:MAX_LEVELS",
    "expressions.evaluation:MAX_BITS",
    "providers.caps:MAX_CATEGORIES",
    "providers.crafter.publishing:MAX_STAGES",
    "providers.json.keys:MAX_ALSO",
    "providers.json.keys:MAX_TEMPLATE",
    "providers.json.keys:MAX_WORD",
    "providers.json.listing:MAX_INT",
    "providers.rate_limit:MAX_VALUES",
    "providers.sitecore:MAX_NUMBERED",
    "providers.state_words:MAX_WORDS",
    "runtime.calls:MAX_IDLE",
    "runtime.systemd:MAX_STATUS_LENGTH",
    "transport.certificate:MAX_BYTES",
    "transport.handle:MAX_CONNECTION_SECONDS",
    "upstream.prepared:MAX_HEADS",
    "upstream.recording:MAX_DEPTH",
    "upstream.trace:MAX_EXCHANGES",
    "upstream.trace:MAX_VALUE",
}
"""Limits that nobody meets beside another one: of caches, of an explanation, of a part of a value."""
