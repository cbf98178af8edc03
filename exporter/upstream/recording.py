"""The requests and responses of one read as plain values for files that can be attached to a public report.

Request headers are shown as in the trace. Of response headers only those that are known to be harmless, or
that the configuration names, have a value. Cookies and credentials never have one.
"""

import json
import re
from base64 import b64encode
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from email.message import Message
from typing import Any
from urllib.parse import urlsplit

from exporter.model.failure import Failure
from exporter.model.http import Response
from exporter.runtime.secret import MASK
from exporter.transport import PreparedRequest
from exporter.upstream.masks import Masks
from exporter.upstream.trace import RESPONSE_HEADERS, Trace, secrets_of

MAX_BYTES = 8 << 20
"""Of all response bodies of a recording together."""

MAX_DEPTH = 100
MIN_ISSUED = 8

# The body is recorded decoded, and the server that replays it frames it itself.
_FRAMING = frozenset({"connection", "content-encoding", "content-length", "keep-alive", "transfer-encoding"})
# What a provider may need in addition to what a trace shows: pages, and when a credential expires.
_ALSO = re.compile(r"link|x-((next|prev)-)?page|x-per-page|x-total(-\w+)?|.*-expir(y|es|ation)")
_NOT_TEXT = frozenset(chr(code) for code in range(32)) - set("\t\r\n")


@dataclass(slots=True)
class _Sent:
    request: PreparedRequest
    response: Response | None = None
    failure: str = ""


@dataclass
class Recorder(Trace):
    """A trace that also keeps what was sent and received."""

    _sent: list[_Sent] = field(default_factory=list)
    _issued: dict[str, None] = field(default_factory=dict)

    def request(self, plain: PreparedRequest, request: PreparedRequest) -> None:
        """Records a request that is about to be sent; ``plain`` is the same without a credential."""
        super().request(plain, request)
        self._issued |= dict.fromkeys(sorted(secrets_of(plain, request), key=lambda each: (len(each), each)))
        if not self.more:
            self._sent.append(_Sent(request))

    def response(self, response: Response) -> None:
        """Records the response to the last request."""
        super().response(response)
        if not self.more:
            self._sent[-1].response = response

    def failure(self, failure: Failure) -> None:
        """Records why the last request has no response."""
        super().failure(failure)
        if not self.more:
            self._sent[-1].failure = str(failure.reason)

    def responses(self) -> dict[int, Response]:
        """The responses by number, without those after which a request was sent a second time."""
        found: dict[int, Response] = {}
        before = None
        for number, each in enumerate(self._sent, 1):
            sent = (each.request.method, each.request.url, each.request.body)
            if sent == before:
                found.pop(number - 1, None)
            if each.response is not None:
                found[number] = each.response
            before = sent
        return found

    @property
    def issued(self) -> Iterable[str]:
        """What the credential has set in the requests, only to look into it: a token has claims."""
        return self._issued

    def add_issued(self, masks: Masks) -> None:
        """Masks the values that the credential set."""
        for value in self._issued:
            if len(value) >= MIN_ISSUED:
                masks.add_secret(value)

    def recorded(self, masks: Masks, named: frozenset[str]) -> list[dict[str, Any]]:
        """The exchanges as they are written to a file, in the order of the requests.

        Args:
            masks: gets the values that the credential set in addition.
            named: lower-case words of the configuration: response headers with such a name are recorded.
        """
        self.add_issued(masks)
        exchanges, left = [], MAX_BYTES
        for sent, shown in zip(self._sent, self.exchanges, strict=True):
            headers = {name: masks.text(value) for name, value in shown.headers}
            request = {"method": shown.method, "url": masks.text(_path(sent.request.url)), "headers": headers}
            request |= _body(_bytes(sent.request.body), headers.get("Content-Type", ""), masks)
            if sent.response is None:
                exchanges.append({"request": request, "failure": sent.failure or "no response yet"})
                continue
            left -= len(sent.response.body)
            exchanges.append({"request": request, "response": _response(sent.response, masks, named, left)})
        return exchanges


def _path(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.path}?{parts.query}" if parts.query else parts.path


def _response(response: Response, masks: Masks, named: frozenset[str], left: int) -> dict[str, Any]:
    headers = dict(_headers(response.headers, masks, named))
    if left < 0:
        body: Mapping[str, Any] = {"left_out": len(response.body)}
    else:
        body = _body(response.body, response.headers.get("content-type", ""), masks)
    return {"status": response.status, "headers": headers, **body}


def _headers(headers: Mapping[str, str], masks: Masks, named: frozenset[str]) -> Iterator[tuple[str, str]]:
    for name, value in headers.items():
        if name in _FRAMING:
            continue
        harmless = RESPONSE_HEADERS.fullmatch(name) or _ALSO.fullmatch(name) or name in named
        shown = re.split(r"[?#]", value, maxsplit=1)[0] if name == "location" else value
        yield masks.text(name), masks.text(shown) if harmless and "cookie" not in name else MASK


def _bytes(body: bytes | str | None) -> bytes:
    return body.encode() if isinstance(body, str) else body or b""


def _body(data: bytes, media_type: str, masks: Masks) -> dict[str, Any]:
    """A body: ``json`` where that loses nothing, ``text`` in UTF-8, or ``base64`` of another text.

    What is no text could contain a secret in any form: it is left out, and its length is recorded.
    """
    if not data:
        return {}
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return _other_text(data, media_type, masks)
    if _NOT_TEXT.intersection(text):
        return {"left_out": len(data)}
    try:
        return {"json": masks.json(_exact_json(text))}
    except (ValueError, RecursionError):
        return {"text": masks.text(text)}


def _other_text(data: bytes, media_type: str, masks: Masks) -> dict[str, Any]:
    message = Message()
    message["Content-Type"] = media_type or "text/plain"
    utf16 = data.startswith((BOM_UTF16_LE, BOM_UTF16_BE))
    charset = "utf-16" if utf16 else message.get_content_charset("latin-1")
    try:
        text = data.decode(charset)
        masked = masks.text(text)
        if not _NOT_TEXT.intersection(text):
            return {"base64": b64encode(data if masked == text else masked.encode(charset)).decode()}
    except (LookupError, ValueError):
        pass
    return {"left_out": len(data)}


def _exact_json(text: str) -> Any:
    """The value of a JSON text; a ``ValueError`` if the value has not all that is in the text."""

    def mapping(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len(found := dict(pairs)) < len(pairs):
            raise ValueError("a name is repeated")
        return found

    def number(digits: str) -> float:
        value = float(digits)
        if Decimal(repr(value)) != Decimal(digits):
            raise ValueError("more digits than a float has")
        return value

    def constant(word: str) -> float:
        raise ValueError(word)

    value = json.loads(text, object_pairs_hook=mapping, parse_float=number, parse_constant=constant)
    json.dumps(value, ensure_ascii=False).encode()  # lone surrogates have no place in a file
    if _depth(value) > MAX_DEPTH:
        raise ValueError("nested too deeply for a file")
    return value


def _depth(value: Any) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + max(map(_depth, inner), default=0)
