"""The keys of a configuration file, as pydantic models.

The keys that providers and credentials declare are combined with those that every system and every job has.
"""

import math
import re
from collections.abc import Callable, Hashable, Mapping
from functools import cache
from types import GenericAlias
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    TypeAdapter,
    ValidationInfo,
    WithJsonSchema,
    create_model,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from exporter.auth.credential import Credential
from exporter.config.link import Link
from exporter.config_types import (
    DURATION_PATTERN,
    Duration,
    Headers,
    HttpUrl,
    Keys,
    PositiveDuration,
    ProxyUrl,
    parse_duration,
)
from exporter.metrics import LABELS
from exporter.model.text import has_control_characters
from exporter.providers.base import Provider
from exporter.providers.state_words import StateWords
from exporter.transport import Tls

MAX_TEXT = 128
MAX_TIMEOUT_SECONDS = 300.0
MAX_LISTINGS = 10
NEVER = "never"

_SYSTEM_NAME = "[A-Za-z0-9_.-]{1,128}"
_LABEL_NAME = "[A-Za-z_][A-Za-z0-9_]{0,127}"
# Set by Prometheus on every target, or with a special meaning in a sample.
_PROMETHEUS_LABELS = frozenset({"job", "instance", "le", "quantile"})


def _system_name(value: str) -> str:
    if not re.fullmatch(_SYSTEM_NAME, value):
        raise ValueError("not a name for a system; allowed are A-Z a-z 0-9 _ . - and at most 128 characters")
    return value


def label_name(value: str) -> str:
    """The same name.

    Raises:
        ValueError: no label of a job may have this name.
    """
    if not re.fullmatch(_LABEL_NAME, value):
        allowed = "A-Z a-z 0-9 _, no digit first, at most 128 characters"
        raise ValueError(f"not a label name; allowed are {allowed}")
    if value.startswith("__"):
        raise ValueError("label names that start with __ are reserved by Prometheus; choose another name")
    if value in _PROMETHEUS_LABELS:
        raise ValueError("this label is reserved by Prometheus; choose another name")
    if value in LABELS:
        raise ValueError("this label is set by the exporter; choose another name")
    return value


def _short_text(value: str) -> str:
    if len(value) > MAX_TEXT:
        raise ValueError(f"is longer than {MAX_TEXT} characters")
    if has_control_characters(value):
        raise ValueError("must not contain control characters or line breaks")
    return value


def _timeout(seconds: float) -> float:
    if seconds > MAX_TIMEOUT_SECONDS:
        raise ValueError("is too long; allowed is up to 5m")
    return seconds


def _within(value: object) -> float:
    if value == NEVER:
        return math.inf
    try:
        seconds = parse_duration(value)
    except ValueError as error:
        raise ValueError(f"{error}, or never") from None
    if seconds <= 0:
        raise ValueError("must be more than 0s, or never")
    return seconds


SystemName = Annotated[str, AfterValidator(_system_name), WithJsonSchema({"pattern": f"^{_SYSTEM_NAME}$"})]
_SHORT = {"type": "string", "maxLength": MAX_TEXT}
ShortText = Annotated[str, AfterValidator(_short_text), WithJsonSchema(_SHORT)]
_LABELS = {
    "type": "object",
    "propertyNames": {"pattern": f"^{_LABEL_NAME}$"},
    "additionalProperties": _SHORT,
}
Labels = Annotated[dict[Annotated[str, AfterValidator(label_name)], ShortText], WithJsonSchema(_LABELS)]
Within = Annotated[
    float,
    BeforeValidator(_within),
    WithJsonSchema({"anyOf": [{"type": "string", "pattern": DURATION_PATTERN}, {"const": NEVER}]}),
]
"""Seconds; ``never`` is infinity."""


class Expectations(Keys):
    """Expectations of a job, the thresholds of alerts. ``never`` disables one."""

    start_within: Within = Field("30m", validate_default=True, description="from queued to running")
    progress_within: Within = Field(
        "30m", validate_default=True, description="from one change of progress to the next"
    )
    run_within: Within = Field("12h", validate_default=True, description="from start to end")
    success_within: Within = Field(
        NEVER,
        validate_default=True,
        description="from one success to the next; applies to slots only, not to one-off runs",
    )


_no_expectations = cache(Expectations)
"""One instance for all the jobs without expectations of their own."""


class Settings(Keys):
    """How jobs are read, in ``defaults`` or for one system."""

    timeout: Annotated[PositiveDuration, AfterValidator(_timeout)] = Field(
        "8s",
        validate_default=True,
        description="one whole read, whatever the number of its requests; up to 5m",
    )
    concurrency: int = Field(16, ge=1, le=256, description="parallel reads of one system")
    min_interval: Duration = Field(
        "10s",
        validate_default=True,
        description="a job that was read this recently is not read again; less than the scrape interval; "
        "0s disables it",
    )
    final_interval: Duration = Field(
        "10m", validate_default=True, description="interval of reads of a run that has ended for good"
    )
    state_series: Literal["all", "current"] = Field(
        "all", description="one series for every state, or only for the current one"
    )
    max_jobs: int = Field(
        2000, ge=1, le=100_000, description="limit of discovered jobs; those over it are only counted"
    )
    conditional: bool = Field(
        default=True,
        description="ask only whether a response has changed, where the last one had ETag or Last-Modified",
    )
    expect: Expectations = Field(default_factory=_no_expectations, description="thresholds of alerts")


class Defaults(Settings):
    """Settings of every system that does not set its own."""


class JobKeys(Keys):
    """The keys of a job in addition to its provider's own."""

    name: ShortText = Field("", description="name for people, shown as the label job_name")
    labels: Labels = Field(
        default_factory=dict,
        description="labels of its series, for routing alerts; override those of the system",
    )
    expect: Expectations = Field(default_factory=_no_expectations, description="overrides that of the system")


class SystemKeys(Settings):
    """The keys of a system in addition to its provider's own. Those of ``defaults`` are allowed too."""

    base_url: HttpUrl = Field(description="address of the API; every path is appended to it")
    labels: Labels = Field(
        default_factory=dict, description="labels of every series of the system and its jobs"
    )
    tls: Annotated[Tls, AfterValidator(Tls.check_environment)] = Field(
        default_factory=Tls, validate_default=True, description="trust and client certificate"
    )
    proxy_url: ProxyUrl = Field(
        "", description="proxy; without it http_proxy, https_proxy, all_proxy and no_proxy apply"
    )
    headers: Headers = Field(
        default_factory=dict, description="sent with every request; put secrets under auth"
    )
    link: Link = Field(
        "",
        description="address of the page of a job at the vendor, with the job's keys in braces, as in "
        "`https://ci.example.com/jobs/{id}`; shown on the page of the job",
    )
    states: StateWords = Field(
        default_factory=dict,
        description="words of the vendor for states, as in `{failed: [Broken]}`, in addition to the known "
        "words, which they override; case is ignored",
    )


# mypy cannot check a model that is made at run time.
_make: Any = create_model


class Choice:
    """Marks a value as one of several models, selected by one of its keys.

    The validator of a model is made when a file selects it, since all of them together need 0.1 s and 4 MB.
    """

    def __init__(self, key: str, models: Mapping[str, type[Keys]]) -> None:
        self.key = key
        self.models = models

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return self._union(_when_selected)

    def _union(self, schema_of: Callable[[type[Keys]], CoreSchema]) -> CoreSchema:
        schemas: dict[Hashable, CoreSchema] = {tag: schema_of(model) for tag, model in self.models.items()}
        return core_schema.tagged_union_schema(schemas, discriminator=self.key)

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        complete = self._union(lambda model: TypeAdapter(model).core_schema)
        # For oneOf, validators report errors of a model that is not meant.
        models = handler(complete)["discriminator"]["mapping"]
        return {
            "type": "object",
            "required": [self.key],
            "properties": {self.key: {"enum": list(models)}},
            "allOf": [
                {
                    "if": {"required": [self.key], "properties": {self.key: {"const": tag}}},
                    "then": {"$ref": ref},
                }
                for tag, ref in models.items()
            ],
        }


def _when_selected(model: type[Keys]) -> CoreSchema:
    def validated(value: object, info: ValidationInfo) -> Keys:
        return model.model_validate(value, context=info.context)

    return core_schema.with_info_plain_validator_function(validated)


class OneOrMore:
    """Marks a value as one model or a list of it."""

    def __init__(self, model: type[Keys], most: int) -> None:
        self.model = model
        self._most = most

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        one = handler.generate_schema(self.model)
        several = core_schema.list_schema(one, min_length=1, max_length=self._most)
        return core_schema.tagged_union_schema(
            {"one": one, "several": several},
            discriminator=lambda value: "several" if isinstance(value, list) else "one",
        )

    def inside(self, tag: str) -> Any:
        """The type of the alternative with a tag in pydantic's locations."""
        return GenericAlias(list, (self.model,)) if tag == "several" else self.model


class Models:
    """The models of a file that may name the given providers and credentials.

    Attributes:
        auth: the keys of ``auth:`` by its ``type``.
        jobs: the keys of an entry of ``jobs:`` by the system's provider.
        systems: the keys of a system by its provider.
        file: the whole of one file; ``systems`` may be in another file of the same folder.
    """

    def __init__(
        self, providers: Mapping[str, type[Provider]], credentials: Mapping[str, type[Credential]]
    ) -> None:
        self.auth: Mapping[str, type[Keys]] = {kind: each.Keys for kind, each in credentials.items()}
        self.jobs: Mapping[str, type[JobKeys]] = {
            name: _make(f"{name}_job", __base__=(JobKeys, provider.JobKeys), __doc__=provider.JobKeys.__doc__)
            for name, provider in providers.items()
        }
        self.systems: Mapping[str, type[SystemKeys]] = {
            name: self._system(name, provider) for name, provider in providers.items()
        }
        self.file: type[Keys] = _make(
            "Config",
            __base__=Keys,
            __doc__="The configuration of remote-job-exporter.",
            defaults=(Defaults, Field(default_factory=Defaults, description="settings of every system")),
            systems=(
                dict[SystemName, Annotated[Any, Choice("provider", self.systems)]],
                Field(
                    default_factory=dict,
                    min_length=1,
                    description="the systems by name, which is the label system",
                    # Names that fit the pattern have their schema; this refuses all others.
                    json_schema_extra={"additionalProperties": False},
                ),
            ),
        )

    def _system(self, name: str, provider: type[Provider]) -> Any:
        auth = Field({"type": "none"}, validate_default=True, description="credentials of the exporter")
        job: Any = self.jobs[name]
        jobs = Field(min_length=1, description="the jobs to watch")
        found: dict[str, Any] = {}
        if provider.Discover is not None:
            also = "the jobs to watch, in addition to discovered ones"
            jobs = Field(default_factory=list, description=also)
            about = Field(None, description="discovery of jobs from the listing of the system")
            found = {"discover": (Annotated[Any, OneOrMore(provider.Discover, MAX_LISTINGS)] | None, about)}
        return _make(
            f"{name}_system",
            __base__=(SystemKeys, provider.Options),
            __doc__=provider.__doc__,
            provider=(Literal[name], Field(description="the API of the system")),
            auth=(Annotated[Any, Choice("type", self.auth)], auth),
            jobs=(list[job], jobs),
            **found,
        )
