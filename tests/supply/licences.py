"""Writes ``docs/reference/licences.md``: ``python -m tests.supply.licences``."""

import re
from pathlib import Path

from exporter.config.markdown import table
from tests.supply.components import LIBRARIES, locked

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "licences.md"

SHIPPED = {
    "Apache-2.0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "LGPL-2.1-only",
    "LGPL-3.0-or-later",
    "MIT",
    "MPL-2.0",
    "PSF-2.0",
    "Zlib",
    "curl",
}
"""Licences of what is installed with the exporter: permissive, or copyleft for their own files only."""
DEVELOPED = SHIPPED | {"GPL-3.0-only", "GPL-3.0-or-later", "MIT-0"}
"""Licences of tools that only tests and builds run."""


_ABOUT = """\
Generated from the metadata of the pinned versions. What each is used for is in
[dependencies](../extend/dependencies.md); `make sbom` also prints the versions."""
_ABOUT_LIBRARIES = """\
Which of them, and their versions, depends on the wheel. Without zlib in the wheel, that of the operating
system is used."""


def allowed(expression: str, licences: set[str]) -> bool:
    """Whether an expression of SPDX gives a choice that has allowed licences only."""
    choices = expression.split(" OR ")
    return any(set(re.split(" AND ", choice)) <= licences for choice in choices)


def page() -> str:
    """The page of all licences."""
    runtime = locked("runtime.txt")
    names = {one.name for one in runtime}
    tools = [one for one in locked("dev.txt") if one.name not in names]
    head = ("package", "licence")
    parts = [
        "# Licences of dependencies",
        _ABOUT,
        "## Installed with the exporter",
        table(head, [(f"`{one.name}`", one.licence) for one in runtime]),
        "## In the wheels of pycurl",
        _ABOUT_LIBRARIES,
        table(("library", "licence"), [(f"`{one.name}`", one.licence) for one in LIBRARIES]),
        "## To test and to build",
        table(head, [(f"`{one.name}`", one.licence) for one in tools]),
    ]
    return "\n\n".join(part.strip() for part in parts) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
