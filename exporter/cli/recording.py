"""Writes the recording of a probe as files."""

from pathlib import Path

import yaml

from exporter import __version__
from exporter.cli import invocation
from exporter.cli.user_errors import UserError
from exporter.config.masked import MaskedConfig
from exporter.runtime.logging import counted
from exporter.simulator.recordings import CONFIG, EXCHANGES
from exporter.upstream.recording import Recorder

WIDTH = 110
_HEADER = f"# Recorded by remote-job-exporter {__version__}. Read it before you attach it to a report.\n"

NOTHING = """
Nothing is recorded, and no file is written: no request for the job was sent. Requests
for tokens and logins are never recorded. For a report, use the line "Not read" above;
it names the host and the proxy."""


class _Dumper(yaml.SafeDumper):
    """Writes texts of several lines as such, and no aliases."""

    def ignore_aliases(self, data: object) -> bool:
        del data
        return True


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    style = "|" if "\n" in value else None
    # YAML has more line breaks than this one, and changes them outside of double quotes.
    if not value.replace("\n", "").isprintable():
        style = '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_Dumper.add_representer(str, _text)


def dumped(exchanges: object) -> str:
    """Plain values as YAML for people."""
    text: str = yaml.dump(exchanges, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=WIDTH)
    return text


def check_folder(folder: Path) -> None:
    """Raises a `UserError` unless a folder is empty or does not exist yet."""
    try:
        if any(folder.iterdir()):
            raise UserError(f"{folder} is not empty; nothing is overwritten, so name a new folder")
    except FileNotFoundError:
        return
    except OSError as error:
        raise UserError(f"{folder} cannot be used: {error.strerror}; name a new folder") from None


def write(folder: Path, config: MaskedConfig, recorder: Recorder) -> str:
    """Writes a recording into an empty folder.

    Returns:
        What the user should know and do next.

    Raises:
        UserError: it cannot be written.
    """
    exchanges = recorder.recorded(config.masks, config.named)
    if not exchanges:
        return NOTHING
    texts = {CONFIG: config.text(), EXCHANGES: dumped(exchanges)}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            with (folder / name).open("x", encoding="utf-8") as file:
                file.write(_HEADER + text)
    except OSError as error:
        raise UserError(f"{folder} cannot be written: {error.strerror}") from None
    more = f" of {len(exchanges) + recorder.more}" if recorder.more else ""
    return f"""
{counted(len(exchanges), "request")}{more} recorded in {folder}: {CONFIG}, {EXCHANGES}

Masked are secrets, cookies, the ids that the configuration has, host names and
e-mail addresses. Other text of the vendor is unchanged, such as names and
messages: read both files before you attach them to a report.

To replay it:  {invocation.command()} simulate --replay {folder}"""
