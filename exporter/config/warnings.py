"""Warnings: what is allowed in a configuration and almost certainly wrong, with its place and what to do.

Only the command ``check`` looks for them: a large configuration is loaded again and again.
"""

import re
import time
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from itertools import starmap
from pathlib import Path
from typing import Any

from exporter.auth.jwt import jwt_expiry
from exporter.config.errors import Finding, bounded
from exporter.config.load import Config
from exporter.config.models import Settings
from exporter.config.read import is_folder, stamp, unread
from exporter.config_types import Place, inside
from exporter.providers.base import Provider
from exporter.runtime.secret import Secret
from exporter.transport import not_after

SOON_SECONDS = 3 * 86400.0
"""As the alert RemoteJobCredentialsExpireSoon."""

MAX_MIN_INTERVAL_SECONDS = 60.0
"""The default scrape interval of Prometheus."""

# ${NAME}, ${NAME:-default}, $(NAME) and $NAME, also after the scheme of a header. A password can start
# with a dollar sign, so without brackets only upper case matches.
_VARIABLE = re.compile(
    r"([A-Za-z]+ )?(\$\{[A-Za-z_]\w*(:?[-=?+][^{}]*)?\}|\$\([A-Za-z_]\w*\)|\$[A-Z_][A-Z0-9_]*)", re.ASCII
)
_TWO_SCHEMES = re.compile(r"(bearer|basic)\s+(bearer|basic)\s", re.IGNORECASE)
_CONFIG_LIKE = re.compile(r"\.(yaml|yml|json)(?![A-Za-z0-9])", re.IGNORECASE)


def warnings(config: Config, *, host: bool = True, now: float | None = None) -> list[Finding]:
    """The warnings in order of place, up to 1000. None contains the value of a secret.

    Args:
        host: whether client certificates are read, as in ``load``.
        now: Unix time, for expiry; the current time by default.
    """
    moment = time.time() if now is None else now
    found = [Finding(file, 1, "", text) for file, text in _unread(config.path)]
    providers = {system.name: system.provider for system in config.systems}
    for file in config.files:
        found += starmap(file.finding, _of_file(file.model, providers, moment, host=host))
    return bounded(found, "warnings")


def _of_file(
    model: Any, providers: Mapping[str, Provider], now: float, *, host: bool
) -> Iterator[tuple[Place, str]]:
    yield from _below(("defaults",), _of_settings(model.defaults))
    for name, system in model.systems.items():
        place = ("systems", name)
        yield from _below(place, _of_settings(system))
        yield from _below((*place, "auth"), _of_secrets(system.auth, now))
        if host and system.tls.cert_file and (end := not_after(system.tls.cert_file)) is not None:
            yield from _below((*place, "tls", "cert_file"), _of_end("the certificate", end, now))
        yield from _below(place, providers[name].warnings(system))


def _below(place: Place, found: Iterable[tuple[Place, str]]) -> Iterator[tuple[Place, str]]:
    yield from (((*place, *each), text) for each, text in found)


def _of_settings(settings: Settings) -> Iterator[tuple[Place, str]]:
    if settings.min_interval > MAX_MIN_INTERVAL_SECONDS:
        text = "is more than 1m, so scrapes can show values of that age; set it below the scrape interval"
        yield ("min_interval",), text


def _of_secrets(auth: object, now: float) -> Iterator[tuple[Place, str]]:
    for place, secret in inside(auth, Secret):
        if secret.is_unread:
            continue
        value = secret.reveal()
        if _VARIABLE.fullmatch(value):
            yield place, "the value is a variable that was not replaced; write {env: NAME} or {file: PATH}"
        if _TWO_SCHEMES.match(value):
            yield place, "the value starts with two schemes, such as Bearer Bearer; remove one"
        if (end := jwt_expiry(value)) is not None:
            yield from _below(place, _of_end("the token", end, now))


def _of_end(what: str, end: float, now: float) -> Iterator[tuple[Place, str]]:
    """A warning if something expires soon or has expired; ``end`` in Unix time."""
    if end - now < SOON_SECONDS:
        when = datetime.fromtimestamp(end, UTC).strftime("%Y-%m-%d %H:%M UTC")
        verb = "expired" if end <= now else "expires"
        yield (), f"{what} {verb} on {when}; replace it"


def _unread(path: Path) -> Iterator[tuple[Path, str]]:
    for entry in unread(path):
        if not is_folder(entry):
            if _CONFIG_LIKE.search(entry.name):
                yield entry, "is not read; rename it, as in jobs.yaml, or move it out of the folder"
        elif stamp(entry):  # empty for a folder without such files
            yield entry, "is a folder, and its files are not read; move them up or out of the folder"
