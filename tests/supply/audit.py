"""Looks for known vulnerabilities of the pinned dependencies: ``python -m tests.supply.audit [--required]``.

Without a network the advisories cannot be read. This is then said and not an error, unless it is required.
"""

import json
import subprocess
import sys
from collections.abc import Iterator

from tests.supply.components import REQUIREMENTS

SECONDS = 120
COMMAND = (
    "--disable-pip",
    "--require-hashes",
    "--progress-spinner",
    "off",
    "--format",
    "json",
    "--timeout",
    "10",
)


def vulnerabilities(report: str) -> Iterator[str]:
    """A line for each vulnerability in a report of pip-audit.

    Raises:
        ValueError: it is no report, or one that lacks a package, as without a network.
    """
    for package in json.loads(report)["dependencies"]:
        if reason := package.get("skip_reason"):
            raise ValueError(reason)
        for one in package.get("vulns", ()):
            fixed = ", ".join(one["fix_versions"]) or "no version"
            yield f"{package['name']} {package['version']}: {one['id']}, fixed in {fixed}"


def audit(lock: str) -> list[str] | None:
    """What is known of the versions that a lock file pins; ``None`` where that cannot be found out."""
    command = [sys.executable, "-m", "pip_audit", *COMMAND, "--requirement", str(REQUIREMENTS / lock)]
    try:
        ended = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
        return list(vulnerabilities(ended.stdout))
    except (subprocess.TimeoutExpired, ValueError, KeyError):
        return None


def main() -> int:
    """Prints what is known; 1 if anything is, or if it is required and cannot be found out."""
    found = audit("runtime.txt")
    if found is None:
        sys.stdout.write("audit skipped: the advisories cannot be read from here\n")
        return int("--required" in sys.argv)
    sys.stdout.writelines(f"{line}\n" for line in found or ["no known vulnerability"])
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
