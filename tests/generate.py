"""Writes what is made from the code: the reference pages, the JSON Schema and the README's table.

``python -m tests.generate``; a test fails while any of it is stale.
"""

import json
from pathlib import Path

from exporter import config
from exporter.cli import reference
from exporter.cli.main import cli

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
REFERENCE = ROOT / "docs" / "reference"

_BEGIN, _END = "<!-- metrics -->", "<!-- /metrics -->"


def pages() -> dict[Path, str]:
    """Every generated file and what it should hold.

    Raises:
        ValueError: the README has lost the marks that its table stands between.
    """
    return {
        REFERENCE / "metrics.md": reference.metrics(),
        REFERENCE / "config.md": config.reference(),
        REFERENCE / "cli.md": reference.commands(cli),
        REFERENCE / "config.schema.json": json.dumps(config.json_schema(), indent=2) + "\n",
        README: _between_marks(README.read_text(encoding="utf-8"), reference.compact()),
    }


def _between_marks(text: str, table: str) -> str:
    before, begin, rest = text.partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not begin or not end:
        raise ValueError(f"README.md has no {_BEGIN} … {_END}")
    return f"{before}{begin}\n\n{table}\n\n{end}{after}"


def main() -> None:
    """Writes the files that have changed."""
    for file, text in pages().items():
        if not file.exists() or file.read_text(encoding="utf-8") != text:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
