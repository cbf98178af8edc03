"""The configuration of one recorded read: what a replay of its system needs, without secrets and ids."""

import contextlib
import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

import yaml
from pydantic import BaseModel

from exporter.config.load import Config
from exporter.config.read import File
from exporter.config_types import inside
from exporter.model.job import Job
from exporter.runtime.secret import MASK, SECRET_PARAMETER, Secret, SecretError
from exporter.upstream.masks import ORIGIN, Masks

MIN_PARAMETER = 8

_ID_NAME = re.compile(
    r"(.*_)?(ids?|account|client|domain|organi[sz]ation|project|site|tenant|user(name)?|workspace)",
    re.IGNORECASE,
)
# What follows these in a path is the name of an account or a project; a repository has two.
_OWNERS = re.compile(
    r"/(?:(?:accounts?|groups?|namespaces?|org(?:anization)?s?|projects?|sites?|subscriptions?|teams?|tenants?|users?"
    r"|workspaces?)|repos(?:/([^/{]+))?)/([^/{]+)",
    re.IGNORECASE,
)
_HARMLESS = frozenset({"accept", "accept-language", "content-type", "user-agent"})
_SENT = frozenset({"query", "headers", "body"})
# What a replay does not need, and the jobs, which are replaced.
_LEFT_OUT = frozenset(
    {"base_url", "auth", "tls", "proxy_url", "labels", "link", "discover", "jobs", "provider"}
)


class MaskedConfig:
    """The system of one job, masked.

    Attributes:
        masks: its secrets and ids.
        named: the words of its keys in lower case, among them names of headers.
    """

    def __init__(self, loaded: Config, job: Job) -> None:
        file = _file(loaded, job.system)
        self._section: Mapping[str, Any] = file.root["systems"][job.system]
        found = (file.root["defaults"] for file in loaded.files if "defaults" in file.root)
        self._defaults: Mapping[str, Any] = next(found, {})
        self._keys = file.model.systems[job.system]
        self._job = job
        self.masks = Masks()
        provider = next(system.provider for system in loaded.systems if system.name == job.system)
        _add_secrets(self.masks, self._keys, self._section)
        self._add_hosts()
        self._add_ids(provider.JobKeys.model_fields)
        self.named = frozenset(text.casefold() for text, _ in _texts(self._section))

    def _add_hosts(self) -> None:
        self.masks.add_system(self._keys.base_url)
        for _, text in inside((self._keys.auth, self._keys.proxy_url), str):
            if text.startswith(("http://", "https://")):
                self.masks.add_host(urlsplit(text).netloc)

    def _add_ids(self, fields: Mapping[str, Any]) -> None:
        for name, value in self._job.keys.items():
            # A default such as the word latest identifies nothing.
            if name not in fields or fields[name].default != value:
                self.masks.add_id(value)
        sent = (
            text
            for kind, name, text in _sent(self._section)
            if _ID_NAME.fullmatch(name) or (kind == "headers" and name.lower() not in _HARMLESS)
        )
        paths = (text for text, place in _texts(self._section) if place[-1] == "path")
        owners = (name for text in paths for found in _OWNERS.findall(text) for name in found)
        for text in (*_ids(self._keys.auth), *_ids(self._keys), *sent, *owners):
            self.masks.add_id(text)

    def text(self) -> str:
        """It as YAML. The system is named after its provider, and only the recorded job is in it."""
        section = self._section
        system: dict[str, Any] = {"provider": section["provider"], "base_url": self._base_url()}
        if self._keys.auth.type != "none":
            # What another credential sends is not recorded, and the replay accepts any.
            system["auth"] = {"type": "bearer", "token": "recorded"}
        for name, value in section.items():
            if name not in _LEFT_OUT:
                system[name] = self._masked(value, (name,))
        system["jobs"] = [self.job_keys()]
        content = {"defaults": self._masked(self._defaults, ("defaults",))} if self._defaults else {}
        content["systems"] = {section["provider"]: system}
        text: str = yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=110)
        return text

    def job_keys(self) -> dict[str, str]:
        """The keys of the job."""
        return {name: self.masks.text(value) for name, value in self._job.keys.items()}

    def _base_url(self) -> str:
        return ORIGIN + self.masks.text(urlsplit(self._keys.base_url).path)

    def _masked(self, value: Any, place: tuple[str, ...]) -> Any:
        if isinstance(value, dict):
            return {
                name: MASK
                if place[-1] == "headers" and name.lower() not in _HARMLESS
                else self._masked(each, (*place, name))
                for name, each in value.items()
            }
        if isinstance(value, list):
            return [self._masked(each, place) for each in value]
        return self.masks.text(value) if isinstance(value, str) else value


def secret_masks(loaded: Config, system: str) -> Masks:
    """The secrets of a system and what it has in headers, for texts that are shown where they are made."""
    file, masks = _file(loaded, system), Masks(secrets_only=True)
    section = file.root["systems"][system]
    _add_secrets(masks, file.model.systems[system], section)
    for kind, name, text in _sent(section):
        if kind == "headers" and name.lower() not in _HARMLESS:
            masks.add_secret(text)
    return masks


def _file(loaded: Config, system: str) -> File:
    return next(file for file in loaded.files if system in file.root.get("systems", {}))


def _add_secrets(masks: Masks, keys: Any, section: Mapping[str, Any]) -> None:
    for _, secret in inside(keys, Secret):
        # One that cannot be read was not sent either.
        with contextlib.suppress(SecretError):
            masks.add_secret(secret.reveal())
    # One in a query or a header of the configuration is not read as a secret.
    for _, name, text in _sent(section):
        if SECRET_PARAMETER.search(name) and len(text) >= MIN_PARAMETER:
            masks.add_secret(text)


def _sent(section: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """What the configuration adds to requests, without templates: the kind of place, name and value."""
    for text, place in _texts(section):
        kind = next((part for part in place[:-1] if part in _SENT), None)
        if kind is not None and place[0] != "auth" and "{" not in text:
            yield kind, place[-1], text


def _texts(value: object, place: tuple[str, ...] = ()) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Every text of a section, with the keys that lead to it."""
    if isinstance(value, str):
        yield value, place
    elif isinstance(value, Mapping):
        for name, each in value.items():
            yield from _texts(each, (*place, name))
    elif isinstance(value, list):
        for each in value:
            yield from _texts(each, place)


def _ids(keys: BaseModel) -> Iterator[str]:
    """The values of keys whose names are those of ids or accounts, nested ones too."""
    for name in type(keys).model_fields:
        value = getattr(keys, name)
        if isinstance(value, BaseModel) and name != "auth":
            yield from _ids(value)
        elif isinstance(value, str) and _ID_NAME.fullmatch(name):
            yield value
