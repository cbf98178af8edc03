"""The configuration that `init` writes: its text with comments, its secrets, its files."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import yaml

from exporter import config
from exporter.cli.asking import Pasted
from exporter.cli.user_errors import UserError
from exporter.guides import Guide

SECRETS = "secrets"
SCHEMA = ".remote-job-exporter.schema.json"
"""Beside the configuration. Its name begins with a dot: in a folder of configurations it is none of them."""
WIDTH = 100


@dataclass
class Draft:
    """One system, as far as its values are known.

    Args:
        provider: the value of ``provider:``.
        name: of the system.
        auth: the value of ``auth.type``.
        answers: by the key of the question; text, the source of a secret, or a `Pasted`.
        found: keys of the system that were found out, such as ``read``.
        discover: keys of ``discover:``; ``None`` if only ``jobs`` are watched.
        jobs: the keys of each job.
        known: answers that are no keys, as defaults if they are asked for again.
        complete: it could be written.
    """

    FILE: ClassVar[str] = "config.yaml"

    provider: str
    guide: Guide
    name: str
    auth: str = "none"
    answers: dict[str, Any] = field(default_factory=dict)
    found: dict[str, Any] = field(default_factory=dict)
    discover: dict[str, Any] | None = None
    jobs: list[dict[str, Any]] = field(default_factory=list)
    known: dict[str, str] = field(default_factory=dict)
    complete: bool = False

    def keys(self) -> dict[str, Any]:
        """The keys of the system, without secrets that were pasted: these are in files."""
        keys: dict[str, Any] = {"provider": self.provider, "base_url": ""}
        auth: dict[str, Any] = {"type": self.auth}
        known = {f"{{{key.removeprefix('known.')}}}": answer for key, answer in self.answers.items()}
        for key, answer in self.answers.items():
            first, *inner = (known.get(name, name) for name in key.split("."))
            if first in ("job", "discover", "known"):
                continue
            place = auth if first == "auth" else keys
            path = inner if first == "auth" else [first]
            for name in path[:-1]:
                place = place.setdefault(name, {})
            place[path[-1]] = {"file": self._file(key)} if isinstance(answer, Pasted) else answer
        if self.auth != "none":
            keys["auth"] = {**auth, **self.guide.sign_in[self.auth].fixed}
        keys |= self.found
        if self.discover is not None:
            keys["discover"] = self.discover
        if self.jobs:
            keys["jobs"] = self.jobs
        return keys

    def secrets(self) -> Mapping[str, str]:
        """The secrets that were pasted, by the name of the file relative to the configuration."""
        return {
            self._file(key): str(answer) for key, answer in self.answers.items() if isinstance(answer, Pasted)
        }

    def _file(self, key: str) -> str:
        question = next(each for each in self.guide.sign_in[self.auth].questions if each.key == key)
        return f"{SECRETS}/{self.name}-{question.option}"

    def text(self) -> str:
        """The configuration as YAML with comments."""
        comments = self._comments()
        lines = [
            f"# yaml-language-server: $schema={SCHEMA}",
            "# Written by remote-job-exporter init. After a change: remote-job-exporter check --online F",
            "# All keys: docs/reference/config.md",
            "systems:",
            f"  {self.name}:",
        ]
        for name, value in self.keys().items():
            lines += [f"    # {line}" for line in comments.get(name, ())]
            lines += [f"    {line}" for line in _yaml(name, value).splitlines()]
        lines += [
            "    # When the alerts of each job fire; docs/guides/alerts.md has the other thresholds.",
            "    # expect: {run_within: 4h, success_within: 1d}",
            "    # Labels of all its series, for routing alerts.",
            "    # labels: {team: web}",
        ]
        return "\n".join(lines) + "\n"

    def _comments(self) -> Mapping[str, Sequence[str]]:
        return {
            "provider": [f"{self.guide.title}: {self.guide.page}"],
            "auth": [
                "Secrets are read again when they change; docs/guides/credentials.md has the other kinds."
            ],
            "read": ["What each value means: docs/guides/json.md. Words that are not here are unknown."],
            "discover": [
                f"All {self.guide.jobs} that are listed; docs/guides/discovery.md has the other keys."
            ],
            "jobs": ["A job can have name, labels and expect of its own."],
        }

    def write_trial(self, folder: Path) -> Path:
        """Writes it with its secrets into an empty folder that only this user can read; its file."""
        (folder / SECRETS).mkdir(exist_ok=True)
        for name, value in self.secrets().items():
            (folder / name).write_text(value, encoding="utf-8")
        file = folder / self.FILE
        file.write_text(self.text(), encoding="utf-8")
        return file

    def files(self, target: Path) -> dict[Path, str]:
        """The secrets and the configuration by their files, the configuration last."""
        return {
            **{target.parent / name: value for name, value in self.secrets().items()},
            target: self.text(),
        }


def write(draft: Draft, target: Path, registry: config.Registry) -> list[Path]:
    """Writes all files or none.

    Returns:
        The files of secrets.

    Raises:
        UserError: one cannot be written; nothing has changed.
    """
    files = draft.files(target)
    schema = target.parent / SCHEMA
    files = {schema: json.dumps(config.json_schema(registry), indent=2) + "\n", **files}
    secrets = [target.parent / name for name in draft.secrets()]
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if secrets:
            (target.parent / SECRETS).mkdir(mode=0o700, exist_ok=True)
        _replace(files, secrets)
    except OSError as error:
        raise UserError(f"{error.filename or target} cannot be written: {error.strerror}") from None
    return secrets


def _replace(files: Mapping[Path, str], secrets: Sequence[Path]) -> None:
    """Writes new files beside the old ones and then replaces these; removes them if that is interrupted."""
    new = {path: path.with_name(f".{path.name}.new") for path in files}
    created = [path for path in files if not path.exists()]
    try:
        for path, text in files.items():
            new[path].unlink(missing_ok=True)
            mode = 0o600 if path in secrets else 0o666  # minus the umask
            descriptor = os.open(new[path], os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(text)
        for path in files:
            new[path].replace(path)
    except BaseException:
        for path in (*new.values(), *created):
            path.unlink(missing_ok=True)
        raise


class _Dumper(yaml.SafeDumper):
    """Writes no aliases."""

    def ignore_aliases(self, data: object) -> bool:
        del data
        return True


def _yaml(name: str, value: object) -> str:
    """A key with its value, of which the innermost level is on one line."""
    flow = None if isinstance(value, dict | list) else False
    text: str = yaml.dump(
        {name: value},
        Dumper=_Dumper,
        sort_keys=False,
        allow_unicode=True,
        width=WIDTH,
        default_flow_style=flow,
    )
    return text
