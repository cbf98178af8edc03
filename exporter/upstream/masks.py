"""Replaces what must not leave the machine in texts and JSON: secrets, ids, host names, e-mail addresses.

The same value has the same placeholder everywhere (``secret-1``, ``id_1``, ``host-1.invalid``), so a masked
recording still fits together. What is masked first has the lowest number.
"""

import base64
import html
import re
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any
from urllib.parse import unquote, urlsplit

from exporter.runtime.secret import MASK

ORIGIN = "http://replay.invalid"
"""What the address of the recorded system becomes; the top-level domain never resolves (RFC 6761)."""

MIN_SECRET = 4
MIN_ID = 3
MIN_FOREIGN = 8

_HOST = "replay.invalid"
_SLASH = r"(?:\\?/|%2[fF]|\\u002[fF])"
_URL = re.compile(
    rf"(?P<scheme>https?)(?P<colon>:|%3[aA])(?P<slashes>{_SLASH}{{2}})"
    r"(?P<authority>(?:[A-Za-z0-9._~!$*+=:@\[\]-]|%3[aA]|%40){1,300})",
    re.IGNORECASE,
)
_AT = r"(?:@|%(?:25)?40|\\u0040|&#64;)"
_EMAIL = rf"[A-Za-z0-9._%+-]{{1,64}}{_AT}(?:[A-Za-z0-9-]{{1,63}}\.){{1,8}}[A-Za-z]{{2,63}}"
# Secrets of the vendor: in signed URLs, in fields with such a name, and any JSON Web Token (RFC 7519).
_SENSITIVE = (
    r"(?:[a-z0-9_-]{0,40}(?:access_?key|api_?key|authorization|credentials?|jwt|passw(?:or)?d|private_?key|secret"
    r"|signature|token)|sig)"
)
_FIELD = re.compile(_SENSITIVE, re.IGNORECASE)
_VALUE = rf"[^\s?&;#{{}}\"'<>\\]{{{MIN_FOREIGN},2000}}"
_PARAMETER = rf"[?&;]{_SENSITIVE}={_VALUE}"
_PLACEHOLDER = re.compile(r"secret-\d+")
_BASE64 = re.compile(r"(?:[A-Za-z0-9+/_-]|%2[BbFf]|\\/){6,}(?:=|%3[Dd]){0,2}")
_BEFORE = r"(?:(?<![A-Za-z0-9])|(?<=%[0-9A-Fa-f]{2})|(?<=\\[nrt]))"
# With what is before it in the same word, from whose beginning on it is searched. A search from each eyJ in
# the word would take a time that grows with the square of its length.
_JWT = (
    r"(?:(?<![A-Za-z0-9_-])|(?<=%[0-9A-Fa-f]{2})|(?<=\\[nrt]))"
    r"[A-Za-z0-9_-]{0,40}?eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}"
)
_IN_PATH = r"(?:(?<=/)|(?<=%2F))"
_AFTER = r"(?![A-Za-z0-9])"
# Of JSON in JSON, and in a URL.
_BACKSLASHES = r"(?:\\|%(?:25)?5c){1,8}"
_JSON_ESCAPES = {"\n": "n", "\r": "r", "\t": "t", "\b": "b", "\f": "f", '"': '"', "\\": "\\", "/": "/"}
# What is an id in every API: UUIDs and long hexadecimal numbers.
_OPAQUE = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|(?=[0-9]*[a-f])[0-9a-f]{24,64}"
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
# Segments of a path that name an API and nothing of the user's.
_TECHNICAL = re.compile(r"api|apis|rest|studio|v?\d{1,3}(\.\d{1,3})*", re.IGNORECASE)


class Masks:
    """The values to mask, and their placeholders.

    Args:
        secrets_only: masks nothing else, and with ``***``, for text that stays on the machine.
    """

    def __init__(self, *, secrets_only: bool = False) -> None:
        self._secrets_only = secrets_only
        self._secrets: dict[str, str] = {}
        self._foreign: dict[str, str] = {}
        self._ids: dict[str, str] = {}
        self._paths: dict[str, str] = {}
        self._hosts: dict[str, str] = {}
        self._seen: dict[str, str] = {}
        self._emails: dict[str, str] = {}
        self._pattern: re.Pattern[str] | None = None
        self._replacements: list[Callable[[str], str]] = []
        self._cores: dict[str, str] = {}

    def add_secret(self, value: str) -> str:
        """Masks a secret in every encoding; one shorter than 4 characters only where it is the whole text.

        Returns:
            Its placeholder.
        """
        self._pattern = None
        return self._secrets.setdefault(value, self._next_secret())

    def add_id(self, value: str) -> None:
        """Masks an id where it is a whole word; the placeholder has the form of the id.

        Ids shorter than 3 characters identify nothing and are not masked. UUIDs and long hexadecimal numbers
        are ids also if they are not added.
        """
        if len(value) >= MIN_ID:
            self._pattern = None
            self._ids.setdefault(value, _placeholder(value, len(self._ids) + 1))

    def add_system(self, base_url: str) -> None:
        """Masks the host of the recorded system, and what its address has of the user's in its path."""
        url = urlsplit(base_url)
        self._pattern = None
        self._hosts[_host(url.netloc)] = _HOST
        self._hosts.setdefault(url.hostname or "", _HOST)
        for segment in url.path.split("/"):
            if len(segment) >= MIN_ID and not _TECHNICAL.fullmatch(segment):
                self._paths.setdefault(unquote(segment), f"path-{len(self._paths) + 1}")

    def add_host(self, netloc: str) -> None:
        """Masks another host, also outside of URLs."""
        self._pattern = None
        self._hosts.setdefault(_host(netloc), self._name(netloc))

    def text(self, text: str) -> str:
        """The text with every value replaced."""
        if text in self._secrets:
            return self._secrets[text]
        if self._pattern is None:
            self._compile()
        text = _BASE64.sub(self._decoded, text) if self._cores else text
        pattern = self._pattern
        return text if pattern is None else pattern.sub(self._replaced, text)

    def json(self, value: Any) -> Any:
        """A JSON value with every value replaced, in keys too; an id that is a number stays a number."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return {self.text(name): self._field(name, each) for name, each in value.items()}
        if isinstance(value, list):
            return [self.json(each) for each in value]
        if isinstance(value, int) and not isinstance(value, bool):
            written = self.text(str(value))
            return int(written) if re.fullmatch(r"-?[0-9]+", written) else written
        return value

    def _field(self, name: str, value: Any) -> Any:
        if isinstance(value, str) and len(value) >= MIN_FOREIGN and _FIELD.fullmatch(name):
            return self._foreign_secret(value)
        return self.json(value)

    def _compile(self) -> None:
        parts: list[tuple[str, Callable[[str], str]]] = []
        self._cores = {}
        for secret, placeholder in sorted(self._secrets.items(), key=lambda pair: -len(pair[0])):
            if len(secret) >= MIN_SECRET:
                forms = _encoded(secret), secret.encode("utf-8", "surrogateescape").hex()
                parts += [(form, _constant(placeholder)) for form in forms]
                self._cores |= dict.fromkeys(_cores(secret), placeholder)
        if not self._secrets_only:
            parts += [(_URL.pattern, self._url), (_EMAIL, self._email)]
        parts += [(_PARAMETER, self._parameter), (_JWT, self._new_secret)]
        places = ((self._hosts, _BEFORE), (self._paths, _IN_PATH), (self._ids, _BEFORE))
        words = [(word, before, to) for known, before in places for word, to in known.items() if word]
        for word, before, placeholder in sorted(words, key=lambda each: -len(each[0])):
            parts.append((f"{before}{_encoded(word)}{_AFTER}", _constant(placeholder)))
        if not self._secrets_only:
            parts.append((f"{_BEFORE}(?:{_OPAQUE}){_AFTER}", self._id))
        self._replacements = [replace for _, replace in parts]
        # Named groups, since the one of a URL has groups in it.
        joined = "|".join(f"(?P<m{index}>{part})" for index, (part, _) in enumerate(parts))
        self._pattern = re.compile(joined, re.IGNORECASE)

    def _replaced(self, match: re.Match[str]) -> str:
        return self._replacements[int(str(match.lastgroup)[1:])](match[0])

    def _decoded(self, match: re.Match[str]) -> str:
        """A run of base64 that contains a secret, wherever in it."""
        plain = unquote(match[0]).replace("\\/", "/").replace("-", "+").replace("_", "/")
        return next((to for core, to in self._cores.items() if core in plain), match[0])

    def _url(self, found: str) -> str:
        match = _URL.fullmatch(found)
        if match is None:
            raise AssertionError(found)
        authority = unquote(match["authority"]).rpartition("@")[2]
        rest = authority[len(authority.rstrip(".:!,*")) :]
        host = self._name(authority.removesuffix(rest)) if authority != rest else authority
        scheme = "http" if host == _HOST else match["scheme"]
        return f"{scheme}{match['colon']}{match['slashes']}{host}{rest}"

    def _name(self, netloc: str) -> str:
        """The placeholder of a host."""
        host = _host(netloc)
        return self._hosts.get(host) or self._seen.setdefault(host, f"host-{len(self._seen) + 1}.invalid")

    def _id(self, value: str) -> str:
        return self._ids.setdefault(value.lower(), _placeholder(value, len(self._ids) + 1))

    def _email(self, found: str) -> str:
        number = len(self._emails) + 1
        address = re.sub(_AT, "@", found).lower()
        return self._emails.setdefault(address, f"mail-{number}@mail.invalid")

    def _parameter(self, found: str) -> str:
        name, _, value = found.partition("=")
        return f"{name}={self._foreign_secret(value)}"

    def _foreign_secret(self, value: str) -> str:
        """The placeholder of what is a secret by the name before it; the known one if it has one."""
        masked = self.text(value)
        known = _PLACEHOLDER.fullmatch(masked) or masked in self._ids.values()
        return masked if known else self._new_secret(value)

    def _new_secret(self, value: str) -> str:
        return self._foreign.setdefault(unquote(value), self._next_secret())

    def _next_secret(self) -> str:
        return MASK if self._secrets_only else f"secret-{len(self._secrets) + len(self._foreign) + 1}"


def _placeholder(value: str, number: int) -> str:
    """An id of the same form, so that it fits where the id did: digits, a UUID, or a fixed length."""
    if value.isascii() and value.isdigit():
        return str(9 * 10 ** (len(value) - 1) + number)
    if _UUID.fullmatch(value):
        return f"00000000-0000-4000-8000-{number:012}"
    if len(value) >= 16 and value.isascii() and value.isalnum():
        return f"{number:0{len(value)}}"
    # With no hyphen: an id can be a word of an expression in the configuration.
    return f"id_{number}"


def _host(netloc: str) -> str:
    return netloc.rpartition("@")[2].lower()


def _constant(placeholder: str) -> Callable[[str], str]:
    return lambda _: placeholder


def _encoded(value: str) -> str:
    """A pattern of a text in which each character may be escaped as in a URL, in JSON or in HTML."""
    return "".join(map(_character, value))


@lru_cache(maxsize=1 << 12)
def _character(one: str) -> str:
    code = ord(one)
    units = one.encode("utf-16-be", "surrogatepass")
    plain = [
        "".join(f"%(?:25)?{byte:02x}" for byte in one.encode("utf-8", "surrogatepass")),
        "".join(f"{_BACKSLASHES}u{units[at : at + 2].hex()}" for at in range(0, len(units), 2)),
        f"&#(?:0*{code}|x0*{code:x});",
        re.escape(html.escape(one)),
        re.escape(one),
    ]
    if code < 256:
        plain.append(f"%(?:25)?{code:02x}")
    if one == " ":
        plain.append(r"\+")
    if one in _JSON_ESCAPES:
        escaped = f"{_BACKSLASHES}(?:{re.escape(_JSON_ESCAPES[one])}|%(?:25)?{ord(_JSON_ESCAPES[one]):02x})"
        # First: a backslash alone would end the match in the middle of an escaped one.
        plain.insert(0, escaped)
    return f"(?:{'|'.join(dict.fromkeys(plain))})"


def _cores(secret: str) -> Iterator[str]:
    """The characters of base64 that depend on the secret alone, for each place that it can begin at."""
    for data in {secret.encode("utf-8", "surrogateescape"), secret.encode("latin-1", "ignore")}:
        for before in range(3):
            encoded = base64.b64encode(b"\0" * before + data).decode()
            core = encoded[-(-before * 8 // 6) : (before + len(data)) * 8 // 6]
            if len(core) >= MIN_SECRET:
                yield core
