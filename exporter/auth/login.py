"""A login that the configuration describes: a request with secrets, and the token or cookies of its response.

Airflow, AWX, Grafana, vCenter and most gateways that a company writes for itself have such a login, each with
other names.
"""

import math
import re
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal
from urllib.parse import urljoin, urlsplit

from pydantic import (
    AfterValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    PlainValidator,
    ValidationInfo,
    WithJsonSchema,
    model_validator,
)

from exporter import config_types as fields
from exporter.auth.cookies import NO_END_SECONDS, CookieCredential, origin
from exporter.auth.credential import HeaderSecret, Username, basic_header, header_value
from exporter.auth.jwt import jwt_expiry
from exporter.auth.token import DEFAULT_LIFE_SECONDS, Grant, usable
from exporter.model import http
from exporter.model.failure import Failure, Reason
from exporter.model.json_body import parsed
from exporter.runtime.secret import MASK, Secret
from exporter.transport import Outgoing

if TYPE_CHECKING:
    from requests import Response, Session

PLACE = "{token}"
# The last segment of the page after a failed login: /user/error (Rundeck), /users/sign_in, /loginFailed.jsp.
_FAILED_PAGE = re.compile(
    r"(?:(?:log|sign)[-_]?in(?:[-_]?(?:error|fail\w*))?|error|denied)(?:\.\w+)?", re.IGNORECASE | re.ASCII
)
_DEFAULT = {"Authorization": Secret.plain(f"Bearer {PLACE}")}


def _cookie_name(value: str) -> str:
    if not http.TOKEN.fullmatch(value):
        raise ValueError("is not the name of a cookie; allowed are letters, digits and !#$%&'*+-.^_`|~")
    return value


def _lifetime(value: object) -> float | fields.Expression:
    # A duration begins with a digit, an expression never does.
    if isinstance(value, fields.Expression) or (isinstance(value, str) and not value[:1].isdigit()):
        return fields.expression(value)
    try:
        return fields.positive(fields.parse_duration(value))
    except ValueError as error:
        raise ValueError(f"{error}, or a JMESPath expression") from None


Lifetime = Annotated[
    float | fields.Expression,
    PlainValidator(_lifetime),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "pattern": fields.DURATION_PATTERN},
                {"type": "string", "pattern": "^[^0-9]", "format": "jmespath"},
            ]
        }
    ),
]
"""Seconds, or an expression that finds them."""


def _body(value: object, info: ValidationInfo) -> Any:
    if not isinstance(value, dict | list):
        raise ValueError("must be a mapping or a list, which is sent as JSON")  # noqa: TRY004  as in config_types
    errors: list[tuple[fields.Place, str]] = []
    body = _with_secrets(value, info, (), errors)
    if errors:
        raise fields.ErrorsInside(errors)
    return body


def _with_secrets(
    value: Any, info: ValidationInfo, place: fields.Place, errors: list[tuple[fields.Place, str]]
) -> Any:
    """The value with a `Secret` for each text in it; what cannot be read is added to ``errors``."""
    if isinstance(value, list):
        return [_with_secrets(each, info, (*place, at), errors) for at, each in enumerate(value)]
    if isinstance(value, dict) and value.keys() not in ({"env"}, {"file"}):
        return {name: _with_secrets(each, info, (*place, name), errors) for name, each in value.items()}
    # A number that JSON does not have is not a secret either, which is the error then.
    is_number = isinstance(value, int) or (isinstance(value, float) and math.isfinite(value))
    if value is None or value == "" or is_number:
        return value
    try:
        return fields.secret(value, info)
    except ValueError as error:
        errors.append((place, str(error)))
        return None


SecretBody = Annotated[
    Any,
    PlainValidator(_body),
    PlainSerializer(lambda _: MASK, return_type=str),
    WithJsonSchema({"anyOf": [{"type": "object"}, {"type": "array"}]}),
]
"""A JSON value in which every text is a `Secret`; ``{env: NAME}`` and ``{file: PATH}`` are texts too."""

SecretHeaders = Annotated[dict[fields.RequestHeaderName, HeaderSecret], AfterValidator(fields.each_once)]


class LoginBasic(fields.Keys):
    """User name and password for HTTP Basic."""

    username: Username = Field(description="user name, without a colon")
    password: fields.SecretValue = Field(description="the user's password")


class LoginKeys(fields.Keys):
    """The request that logs in, what its response contains, and what is sent with all other requests."""

    model_config = ConfigDict(
        json_schema_extra={
            "anyOf": [
                {"required": ["token"]},
                {"required": ["token_header"]},
                {"required": ["cookies"], "properties": {"cookies": {"const": True}}},
            ]
        }
    )

    type: Literal["login"]
    url: fields.EndpointOrPath = Field(
        description="address of the login: a URL, or a path such as /login below base_url"
    )
    method: Literal["POST", "GET"] = Field("POST", description="method of the login")
    query: dict[str, fields.SecretValue] = Field(
        default_factory=dict, description="parameters of the login, each a secret"
    )
    headers: SecretHeaders = Field(default_factory=dict, description="headers of the login, each a secret")
    basic: LoginBasic | None = Field(
        None, description="`username` and `password`, sent to the login as HTTP Basic"
    )
    body: SecretBody | None = Field(
        None, description="body of the login, sent as JSON; each text in it is a secret"
    )
    form: dict[str, fields.SecretValue] | None = Field(
        None, description="fields of the login, sent as a form; each is a secret"
    )
    token: fields.Expr | None = Field(
        None, description="the token in the JSON of the response; `@` if the response is nothing else"
    )
    token_header: fields.HeaderName | None = Field(None, description="header of the response with the token")
    cookies: bool = Field(
        default=False, description="send the cookies of the response with all other requests"
    )
    session_cookie: Annotated[str, AfterValidator(_cookie_name)] | None = Field(
        None, description="name of a cookie: a response without it is a failed login"
    )
    lifetime: Lifetime | None = Field(
        None,
        description="a duration, or an expression that finds seconds, a duration or a time in the response: "
        "how long the login is valid; without it `exp` of a JWT, else 5m for a token, and cookies until they "
        "are rejected",
    )
    renew_on: (
        Annotated[list[Annotated[int, Field(ge=300, le=499)]], Field(min_length=1, max_length=20)] | None
    ) = Field(
        None,
        description="statuses of other requests after which it logs in again; without it 401, 403, 419, 440, "
        "498, 302 and 303",
    )
    send: SecretHeaders | None = Field(
        None,
        description="headers of all other requests, each a secret in which the token replaces `{token}`; "
        "without it `Authorization: Bearer {token}`",
    )

    @model_validator(mode="after")
    def _fits_together(self) -> "LoginKeys":
        has_token = self.token is not None or self.token_header is not None
        if self.token is not None and self.token_header is not None:
            raise ValueError("allowed is one of token and token_header")
        if not has_token and not self.cookies:
            raise ValueError("token, token_header or cookies: true is missing: what the login brings")
        if self.session_cookie is not None and not self.cookies:
            raise ValueError("session_cookie goes with cookies: true only")
        if self.body is not None and self.form is not None:
            raise ValueError("allowed is one of body and form")
        if self.method == "GET" and not self.body is self.form is None:
            raise ValueError("body and form go with method: POST only")
        if self.basic is not None and "authorization" in map(str.lower, self.headers):
            raise ValueError("basic sets the header Authorization, so headers must not contain it")
        send = self.send or {}
        if self.cookies and "cookie" in map(str.lower, send):
            raise ValueError("cookies: true sets the header Cookie, so send must not contain it")
        if any(secret.is_unread for secret in send.values()):
            return self
        if error := self.error_of_send([secret.reveal() for secret in send.values()]):
            raise ValueError(error)
        return self

    def error_of_send(self, values: Collection[str]) -> str:
        """Why these values of `send` do not fit what the login brings; empty if they do."""
        has_token = self.token is not None or self.token_header is not None
        if self.send is None or has_token == any(PLACE in value for value in values):
            return ""
        wrong = "must contain" if has_token else "must not contain"
        return f"send {wrong} {PLACE}: token or token_header finds the token that replaces it"

    def sent(self) -> Mapping[str, Secret]:
        """The headers of all other requests."""
        if self.send is not None:
            return self.send
        return {} if self.token is None and self.token_header is None else _DEFAULT


class Login(CookieCredential):
    """Logs in with the configured request, and sets the token or the cookies of its response."""

    kind: ClassVar[str] = "login"
    Keys: ClassVar[type[fields.Keys]] = LoginKeys
    # When a session has ended, many systems respond with a redirect to their login, Django and Spring with
    # 403, others with the unregistered 419 (Laravel), 440 (IIS) and 498 (ArcGIS).
    rejections = frozenset({401, 403, 419, 440, 498, 302, 303})

    def __init__(self, keys: LoginKeys) -> None:
        self._keys = keys
        if keys.renew_on is not None:
            self.rejections = frozenset(keys.renew_on)
        self._sent = keys.sent()
        inside = (secret for _, secret in fields.inside(keys, Secret))
        self._sources = tuple(dict.fromkeys((*inside, *self._sent.values())))
        super().__init__(*self._sources)

    def bind(self, base_url: str, headers: Mapping[str, str]) -> None:
        """Sets the address of the login."""
        super().bind(base_url, headers)
        url = self._keys.url
        self.endpoint = base_url + url if url.startswith("/") else url

    def apply(self, request: Outgoing) -> None:
        """Sets the cookies and the headers; fails before the first login."""
        super().apply(request)
        values = dict(zip(self._sources, self._secrets.values, strict=True))
        sent = {name: values[secret] for name, secret in self._sent.items()}
        if error := self._keys.error_of_send(sent.values()):  # a file may have changed
            raise Failure(Reason.AUTH, error)
        for name, value in sent.items():
            request.headers[name] = header_value(value.replace(PLACE, self.grant.token))

    def fetch(self, session: "Session", secrets: tuple[str, ...]) -> Grant:
        """Logs in."""
        keys, values = self._keys, dict(zip(self._sources, secrets, strict=True))
        response = self.send(
            session,
            keys.method,
            params=_filled(keys.query, values),
            headers=self._login_headers(values),
            json=_filled(keys.body, values),
            data=_filled(keys.form, values),
        )
        self._check(response)
        cookies = self.session_cookies(response, keys.session_cookie or "") if keys.cookies else {}
        content = _content(response)
        token = self._token_of(response, content)
        return Grant(token, self._seconds(response, content, token), cookies)

    def _login_headers(self, values: Mapping[Secret, str]) -> dict[str, str]:
        keys, headers = self._keys, dict(self._headers)
        if origin(self.endpoint) != origin(self._base_url):
            headers = {name: headers[name] for name in ("User-Agent", "Accept") if name in headers}
        headers |= {name: header_value(values[secret]) for name, secret in keys.headers.items()}
        if keys.basic is not None:
            headers["Authorization"] = basic_header(keys.basic.username, values[keys.basic.password])
        return headers

    def _check(self, response: "Response") -> None:
        """Accepts 2xx, and with cookies the redirect with which a form is answered."""
        status = response.status_code
        if not self._keys.cookies or status not in (302, 303):
            self.check_status(response)
        # Without the name of the cookie, only the target of the redirect shows a failed login.
        elif self._keys.session_cookie is None and self._leads_back(response):
            raise self.failure(f"HTTP status {status}, a redirect to a login or error page", status)

    def _leads_back(self, response: "Response") -> bool:
        try:
            target = urlsplit(urljoin(self.endpoint, response.headers.get("Location", "")))
        except ValueError:  # it is not a URL
            return False
        last = target.path.rstrip("/").rpartition("/")[2]
        return target.path == urlsplit(self.endpoint).path or _FAILED_PAGE.fullmatch(last) is not None

    def _token_of(self, response: "Response", content: Any) -> str:
        keys = self._keys
        if keys.token is not None:
            token, where = _find(keys.token, content), "where `token` expects it"
        elif keys.token_header is not None:
            token, where = response.headers.get(keys.token_header), f"in the header {keys.token_header}"
        else:
            return ""
        if isinstance(token, int) and not isinstance(token, bool):
            token = str(token)
        if isinstance(token, str) and token[:7].lower() == "bearer ":
            token = token[7:].strip()  # `send` names the scheme
        if not usable(token):
            raise self.failure(f"the response has no usable token {where}", response.status_code)
        return token

    def _seconds(self, response: "Response", content: Any, token: str) -> float:
        lifetime = self._keys.lifetime
        if isinstance(lifetime, float):
            return lifetime
        if lifetime is None and not token:
            return NO_END_SECONDS
        found = None if lifetime is None else _find(lifetime, content)
        seconds = self.life(response, found, jwt_expiry(token))
        if found is None and lifetime is not None and seconds == DEFAULT_LIFE_SECONDS:
            self.assume_life()  # the configuration expects one
        return seconds


def _filled(value: Any, values: Mapping[Secret, str]) -> Any:
    """The same with the values of secrets."""
    if isinstance(value, Secret):
        return values[value]
    if isinstance(value, dict):
        return {key: _filled(each, values) for key, each in value.items()}
    return [_filled(each, values) for each in value] if isinstance(value, list) else value


def _content(response: "Response") -> Any:
    """The JSON value of a body, or its text, since some responses are the token alone; nothing for a page."""
    text = response.content.decode(errors="replace").strip()
    if text[:1].isdigit():  # a token such as 12e45 is not a number
        return text
    try:
        return parsed(response.content, response.headers)
    except (ValueError, RecursionError):
        return None if text.startswith("<") else text


def _find(expression: fields.Expression, content: Any) -> Any:
    """What an expression finds; nothing if it cannot be evaluated for this response."""
    try:
        return expression.find(content)
    except ValueError:
        return None
