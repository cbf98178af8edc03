"""Proves that everything which names the version names the same: ``python -m tests.release [vX.Y.Z]``.

It is set in ``exporter/__init__.py``. With a tag, the tag has to fit too, and the changelog has to tell the
day of the release.
"""

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parent.parent
CHART = "helm/remote-job-exporter"

_VERSION = re.compile(r'^__version__ = "(.+)"$', re.MULTILINE)
_ARGUMENT = re.compile(r"^ARG VERSION=(.+)$", re.MULTILINE)
_HEADING = re.compile(r"^## \[(.+?)\] - (.+)$", re.MULTILINE)
_UPGRADE = re.compile(r"^### To (.+)$", re.MULTILINE)
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_IMAGE = re.compile(r"remote-job-exporter:v?(\d+\.\d+\.\d+[\w.-]*)")


@dataclass(frozen=True)
class Named:
    """A place that names the version."""

    where: str
    version: str


def version(root: Path) -> str:
    """The version, from the one place where it is set."""
    return _first(_VERSION, root / "exporter" / "__init__.py")


def named(root: Path) -> Iterator[Named]:
    """Every other place that names it."""
    chart = yaml.safe_load(_text(root / CHART / "Chart.yaml"))
    yield Named(f"{CHART}/Chart.yaml: version", str(chart["version"]))
    yield Named(f"{CHART}/Chart.yaml: appVersion", str(chart["appVersion"]))
    # An empty tag is the chart's appVersion.
    if tag := yaml.safe_load(_text(root / CHART / "values.yaml"))["image"]["tag"]:
        yield Named(f"{CHART}/values.yaml: image.tag", str(tag))
    yield Named("Dockerfile: ARG VERSION", _first(_ARGUMENT, root / "Dockerfile"))
    yield Named("CHANGELOG.md: newest heading", _first(_HEADING, root / "CHANGELOG.md"))
    yield Named(
        "docs/guides/upgrading.md: newest heading", _first(_UPGRADE, root / "docs/guides/upgrading.md")
    )
    for file in _that_name_images(root):
        for image in _IMAGE.findall(_text(file)):
            yield Named(f"{file.relative_to(root)}: image", image)


def errors(root: Path, tag: str = "") -> list[str]:
    """What does not agree, a line each."""
    wanted = version(root)
    found = [
        f"{place.where} is {place.version}, not {wanted}" for place in named(root) if place.version != wanted
    ]
    if tag:
        released = _first(_HEADING, root / "CHANGELOG.md", group=2)
        if tag != f"v{wanted}":
            found.append(f"the tag is {tag}, not v{wanted}")
        if not _DATE.fullmatch(released):
            found.append(f"CHANGELOG.md: {wanted} is {released}, not released on a day such as 2026-01-31")
    return found


def notes(root: Path) -> str:
    """What the changelog says of the newest version."""
    return re.split(r"^## .*\n", _text(root / "CHANGELOG.md"), flags=re.MULTILINE)[1].strip()


def _that_name_images(root: Path) -> Iterator[Path]:
    yield root / "README.md"
    for folder in ("docs", "examples", "grafana", "helm"):
        for pattern in ("*.md", "*.yaml"):
            yield from sorted((root / folder).rglob(pattern))


def _first(pattern: re.Pattern[str], file: Path, group: int = 1) -> str:
    found = pattern.search(_text(file))
    if found is None:
        raise ValueError(f"{file}: no line is like {pattern.pattern}")
    return found[group]


def _text(file: Path) -> str:
    return file.read_text(encoding="utf-8")


def main() -> None:
    """Prints what does not agree, and fails if anything does not; else prints the changelog's newest part."""
    found = errors(ROOT, *sys.argv[1:])
    sys.stdout.write("\n".join(found or [notes(ROOT)]) + "\n")
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
