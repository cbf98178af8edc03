"""The sources of the documentation site; Sphinx itself runs in CI and in a release."""

import os
import subprocess
from pathlib import Path

import pytest

from docs.site import pages

HOME = "# Home\n\n## Guides\n\n- [One](guides/one.md): the first.\n- [Kinds](guides/kinds/index.md)\n"
FILES = {
    "docs/index.md": HOME,
    "docs/guides/one.md": "# One\n",
    "docs/guides/kinds/index.md": "# Kinds\n\n| kind |\n| --- |\n| [B](b.md) |\n| [A](a.md#use) |\n",
    "docs/guides/kinds/a.md": "# Kind A\n",
    "docs/guides/kinds/b.md": "# Kind B\n",
    "docs/pictures/one.png": "",
    "deploy/unit.service": "",
}


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with a few pages."""
    monkeypatch.setattr(pages, "ROOT", tmp_path)
    monkeypatch.setattr(pages, "BESIDE", {"CHANGELOG.md": "changes.md"})
    for path, text in (FILES | {"CHANGELOG.md": "# Changes\n"}).items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    with (tmp_path / "docs/index.md").open("a") as home:
        home.write("- [Changes](../CHANGELOG.md)\n")
    return tmp_path


def test_every_page_is_in_the_navigation_once() -> None:
    listed = [path for section in pages.entries().values() for _, path in section]
    below = [path for children in pages.children().values() for path in children]
    assert sorted([pages.HOME, *listed, *below]) == sorted(pages.paths())


@pytest.mark.usefixtures("root")
def test_the_home_page_lists_the_navigation() -> None:
    home = pages.source("docs/index.md", "main")
    assert home.startswith("# Home")
    assert home.endswith(
        "\n```{toctree}\n:hidden:\n:caption: Guides\n\n"
        "One </guides/one>\nKinds </guides/kinds/index>\nChanges </changes>\n```\n"
    )


@pytest.mark.usefixtures("root")
def test_the_page_of_a_folder_lists_its_pages_in_its_order() -> None:
    text = pages.source("docs/guides/kinds/index.md", "main")
    assert text.endswith("\n:hidden:\n\nKind B </guides/kinds/b>\nKind A </guides/kinds/a>\n```\n")


@pytest.mark.parametrize("place", ["docs/guides/two.md", "docs/guides/kinds/c.md"])
def test_a_page_that_is_not_listed_is_an_error(root: Path, place: str) -> None:
    (root / place).write_text("# Lost\n")
    with pytest.raises(ValueError, match=f"{place} is not in the navigation: list it in docs/index.md"):
        pages.children()


def test_a_page_that_is_listed_twice_is_an_error(root: Path) -> None:
    with (root / "docs/index.md").open("a") as home:
        home.write("\n## More\n\n- [One again](guides/one.md)\n")
    with pytest.raises(ValueError, match=r"docs/index\.md lists twice: docs/guides/one\.md"):
        pages.children()


@pytest.mark.parametrize(
    ("link", "moved"),
    [
        ("kinds/a.md#use", "kinds/a.md#use"),
        ("#here", "#here"),
        ("../../CHANGELOG.md#newest", "../changes.md#newest"),
        ("../pictures/one.png", "../pictures/one.png"),
        ("../../deploy/unit.service", f"{pages.REPOSITORY}/blob/v1/deploy/unit.service"),
        ("../../deploy/", f"{pages.REPOSITORY}/tree/v1/deploy"),
        ("https://example.com/a.md", "https://example.com/a.md"),
    ],
)
def test_a_link_leads_to_the_same_in_the_site(root: Path, link: str, moved: str) -> None:
    code = f"```md\n[code]({link})\n```\n"
    (root / "docs/guides/one.md").write_text(f"# One\n\nA [link\nof two lines]({link}).\n\n{code}")
    assert pages.source("docs/guides/one.md", "v1") == f"# One\n\nA [link\nof two lines]({moved}).\n\n{code}"


def test_a_page_from_outside_has_its_links_moved_with_it(root: Path) -> None:
    (root / "CHANGELOG.md").write_text("[One](docs/guides/one.md) [unit](deploy/unit.service)")
    pages.write(root / "site")
    unit = f"{pages.REPOSITORY}/blob/main/deploy/unit.service"
    assert (root / "site/changes.md").read_text() == f"[One](guides/one.md) [unit]({unit})"
    assert (root / "site/pictures/one.png").exists()


def test_a_readme_elsewhere_has_whole_addresses(root: Path) -> None:
    pictures = '<img src="docs/pictures/one.png"> ![One](docs/pictures/one.png)'
    (root / "README.md").write_text(f"[Home](docs/index.md#guides) [here](#top)\n{pictures}\n")
    one = f"{pages.REPOSITORY}/raw/v1/docs/pictures/one.png"
    assert pages.readme("v1") == (
        f"[Home]({pages.REPOSITORY}/blob/v1/docs/index.md#guides) [here](#top)\n"
        f'<img src="{one}"> ![One]({one})\n'
    )


def test_a_published_site_keeps_its_folder_and_latest_is_the_highest_version(tmp_path: Path) -> None:
    who = ("GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL", "GIT_COMMITTER_NAME", "GIT_COMMITTER_EMAIL")
    env = {**os.environ, **dict.fromkeys(who, "x")}

    def run(*command: str | Path) -> str:
        return subprocess.run(
            command, cwd=tmp_path / "clone", env=env, check=True, capture_output=True, text=True
        ).stdout

    (tmp_path / "clone").mkdir()
    run("git", "init", "--quiet", "--bare", "../origin")
    run("git", "clone", "--quiet", "../origin", ".")
    (tmp_path / "clone" / "code").touch()
    run("git", "add", "code")
    run("git", "commit", "--quiet", "--message", "code")
    for version in ("1.9.0", "1.10.0", "1.9.1"):
        (tmp_path / "site").mkdir(exist_ok=True)
        (tmp_path / "site" / "index.html").write_text(version)
        run(pages.ROOT / "docs" / "site" / "publish", "../site", version)
    run("git", "fetch", "--quiet", "origin", "gh-pages")
    files = run("git", "ls-tree", "-r", "--name-only", "FETCH_HEAD").split()
    published = {file: run("git", "show", f"FETCH_HEAD:{file}") for file in files if "/" in file}
    assert published == {
        **{f"{version}/index.html": version for version in ("1.9.0", "1.10.0", "1.9.1")},
        "latest/index.html": "1.10.0",
    }
    assert set(files) - set(published) == {".nojekyll", "index.html"}
