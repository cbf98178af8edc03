"""The sources of the site, made from Markdown that also reads well on a code host.

The navigation is what ``docs/index.md`` lists. Another page belongs to the page of its folder, which is named
like it or is its ``index.md``, and is listed there.
"""

import posixpath
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HOME = "docs/index.md"
BESIDE = {
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "examples/quickstart/README.md": "examples/quickstart.md",
    "examples/recipes/README.md": "examples/recipes.md",
    "examples/systemd/README.md": "examples/systemd.md",
    "helm/remote-job-exporter/README.md": "helm.md",
}
"""Pages outside of docs/ that are part of the site, and their place in it."""
PICTURES = "docs/pictures/"
REPOSITORY = "https://github.com/remote-job-exporter/remote-job-exporter"

_LINK = re.compile(r"(\[(?:[^\]\n]|\n(?!\n))*\]\()([^)\s]+)(\))")
_PICTURE = re.compile(r'((?:src|srcset)=")([^"]+)(")')
_FENCED = re.compile(r"(^ *```.*?^ *```$)", re.DOTALL | re.MULTILINE)
_SECTION = re.compile(r"^## (.+)\n((?:(?!## ).*\n)*)", re.MULTILINE)
_ENTRY = re.compile(r"^- \[([^\]]+)\]\(([^)\s#]+)\)", re.MULTILINE)


def paths() -> dict[str, str]:
    """Each page of the site: its path in the repository, and its path in the site."""
    inside = sorted(str(file.relative_to(ROOT)) for file in (ROOT / "docs").rglob("*.md"))
    return {path: path.removeprefix("docs/") for path in inside} | BESIDE


def entries() -> dict[str, list[tuple[str, str]]]:
    """The sections of the navigation, each with the titles and paths of its pages."""
    home = (ROOT / HOME).read_text(encoding="utf-8")
    return {
        section: [(title, _from(HOME, target)) for title, target in _ENTRY.findall(text)]
        for section, text in _SECTION.findall(home)
    }


def children() -> dict[str, list[str]]:
    """The pages that the page of their folder lists, in its order, by its path.

    Raises:
        ValueError: a page is in no place of the navigation, or in two.
    """
    listed = [path for section in entries().values() for _, path in section]
    if twice := {path for path in listed if listed.count(path) > 1}:
        raise ValueError(f"{HOME} lists twice: {', '.join(sorted(twice))}")
    found: dict[str, list[str]] = {}
    for path in paths().keys() - {HOME, *listed}:
        folder = posixpath.dirname(path)
        parents = [page for page in (f"{folder}/index.md", f"{folder}.md") if page in listed and page != path]
        if not parents or path not in _links(parents[0]):
            place = " or ".join([HOME, *parents])
            raise ValueError(f"{path} is not in the navigation: list it in {place}")
        found.setdefault(parents[0], []).append(path)
    return {parent: sorted(pages, key=_links(parent).index) for parent, pages in found.items()}


def source(path: str, ref: str) -> str:
    """A page as the site has it: with its part of the navigation, and with links that lead somewhere there.

    Args:
        path: of the page in the repository.
        ref: branch or tag that links to other files of the repository use.
    """
    known = paths()
    here = posixpath.dirname(known[path]) or "."

    def place(there: str) -> str:
        if there in known:
            return posixpath.relpath(known[there], here)
        if there.startswith(PICTURES):
            return posixpath.relpath(there.removeprefix("docs/"), here)
        return _on_code_host(there, ref)

    return "".join([_relinked(path, place), *_navigation(path)])


def readme(ref: str) -> str:
    """The README for where it is shown without the repository: every link is an address.

    Args:
        ref: branch or tag that the links lead to.
    """
    return _relinked("README.md", lambda there: _on_code_host(there, ref))


def write(folder: Path, ref: str = "main") -> None:
    """Writes the sources of the site into a folder, which is emptied first."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(ROOT / "docs" / "pictures", folder / "pictures")
    for path, place in paths().items():
        file = folder / place
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(source(path, ref), encoding="utf-8")


def _relinked(path: str, place: Callable[[str], str]) -> str:
    """A page with another target for each relative link.

    Args:
        path: of the page in the repository.
        place: the new target for the path of the old one in the repository.
    """

    def moved(link: re.Match[str]) -> str:
        target, hash_sign, anchor = link[2].partition("#")
        if not target or ":" in target:
            return link[0]
        return f"{link[1]}{place(_from(path, target))}{hash_sign}{anchor}{link[3]}"

    parts = _FENCED.split((ROOT / path).read_text(encoding="utf-8"))
    parts[::2] = [_PICTURE.sub(moved, _LINK.sub(moved, part)) for part in parts[::2]]
    return "".join(parts)


def _on_code_host(path: str, ref: str) -> str:
    kind = "tree" if (ROOT / path).is_dir() else "raw" if path.startswith(PICTURES) else "blob"
    return f"{REPOSITORY}/{kind}/{ref}/{path}"


def _navigation(path: str) -> Iterator[str]:
    known = paths()
    if path == HOME:
        for section, pages in entries().items():
            yield _toctree(section, {title: known[page] for title, page in pages})
    elif below := children().get(path):
        yield _toctree("", {_title(page): known[page] for page in below})


def _toctree(caption: str, pages: Mapping[str, str]) -> str:
    lines = [f"{title} </{page.removesuffix('.md')}>" for title, page in pages.items()]
    options = [":hidden:", *([f":caption: {caption}"] if caption else [])]
    return "\n".join(["", "```{toctree}", *options, "", *lines, "```", ""])


def _title(path: str) -> str:
    return (ROOT / path).read_text(encoding="utf-8").partition("\n")[0].removeprefix("# ")


def _links(path: str) -> list[str]:
    text = _FENCED.sub("", (ROOT / path).read_text(encoding="utf-8"))
    return [_from(path, target.partition("#")[0]) for _, target, _ in _LINK.findall(text)]


def _from(path: str, target: str) -> str:
    """What a relative link of a page leads to, as a path in the repository."""
    return posixpath.normpath(posixpath.join(posixpath.dirname(path), target))
