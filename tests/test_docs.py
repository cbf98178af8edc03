"""The documentation held against the code: nothing stale, nothing missing, nothing that does not work."""

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from exporter import config
from exporter.cli.main import commands
from exporter.model.failure import Reason
from exporter.model.job import State
from exporter.model.pacing import Why
from exporter.providers import PROVIDERS
from tests.bounds import NOT_LISTED, SECTIONS
from tests.generate import DOCS, GUIDES, REFERENCE, ROOT, UNDERSTAND, pages
from tests.systems import DATA, VENDORS, rows, state_of, states_on_page

HIDDEN = {".venv", "build", "node_modules"}
MARKDOWN = sorted(
    file
    for file in ROOT.rglob("*.md")
    if not any(part in HIDDEN or part.startswith(".") for part in file.relative_to(ROOT).parts)
)

_LINK = re.compile(r"!?\[(?:[^\]\n]|\n(?!\n))*\]\(([^)\s]+)\)")  # a text can go over a line break
_PICTURE = re.compile(r'(?:src|srcset)="([^"]+)"')
_PAGE = re.compile(r"(?:blob/main/|(?<![\w./-]))(docs/[\w/-]+\.md)(?:#([\w-]+))?")
_FENCED = re.compile(r"^( *)```(\w*)\n(.*?)^ *```$", re.DOTALL | re.MULTILINE)


def shown(file: Path) -> str:
    return str(file.relative_to(ROOT))


def anchors(text: str) -> set[str]:
    """The targets that a page's headings are, by GitHub's rule."""
    headings = re.findall(r"^#+ (.+)$", _FENCED.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("file", pages(), ids=shown)
def test_what_is_generated_is_up_to_date(file: Path) -> None:
    assert file.read_text(encoding="utf-8") == pages()[file], "run: make docs"


def test_every_limit_of_the_code_is_on_the_page_of_limits() -> None:
    package = ROOT / "exporter"
    found = {
        f"{'.'.join(file.relative_to(package).with_suffix('').parts)}:{name}"
        for file in package.rglob("*.py")
        for name in re.findall(
            r"^(MAX_[A-Z_]+|LONGEST_[A-Z_]+)\b", file.read_text(encoding="utf-8"), re.MULTILINE
        )
        if "simulator" not in file.parts
    }
    listed = {bound.place for bounds in SECTIONS.values() for bound in bounds}
    assert not listed & NOT_LISTED
    assert found - listed - NOT_LISTED == set()
    assert found >= NOT_LISTED


@pytest.mark.parametrize("file", MARKDOWN, ids=shown)
def test_every_relative_link_leads_somewhere(file: Path) -> None:
    broken = []
    text = _FENCED.sub("", file.read_text(encoding="utf-8"))
    for target in [*_LINK.findall(text), *_PICTURE.findall(text)]:
        path, _, anchor = target.partition("#")
        if re.match(r"[a-z]+:", target):
            continue
        page = file.parent / path if path else file
        if not page.exists() or (anchor and anchor not in anchors(page.read_text(encoding="utf-8"))):
            broken.append(target)
    assert broken == []


def named_elsewhere() -> list[Any]:
    """Each page of docs/ that a file names outside of Markdown, as a path from the root."""
    folders = ("exporter", "examples", "grafana", "helm", ".github")
    files = [file for folder in folders for file in sorted((ROOT / folder).rglob("*.*"))]
    return [
        pytest.param(path, anchor, id=f"{shown(file)}:{path}#{anchor}")
        for file in files
        if file.suffix in {".py", ".html", ".yaml", ".tpl", ".txt"}
        for path, anchor in sorted(set(_PAGE.findall(file.read_text(encoding="utf-8"))))
    ]


@pytest.mark.parametrize(("path", "anchor"), named_elsewhere())
def test_a_page_that_a_message_or_a_comment_names_exists(path: str, anchor: str) -> None:
    page = ROOT / path
    assert page.is_file()
    assert not anchor or anchor in anchors(page.read_text(encoding="utf-8"))


def test_every_page_can_be_reached_from_the_readme() -> None:
    reached, waiting = set(), [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        if page in reached or page.suffix != ".md":
            continue
        reached.add(page)
        targets = _LINK.findall(page.read_text(encoding="utf-8"))
        waiting += [
            (page.parent / target.partition("#")[0]).resolve() for target in targets if ":" not in target
        ]
    assert set(DOCS.rglob("*.md")) <= reached


def examples() -> list[Any]:
    """Every config in a ``yaml`` block of the README and of docs/, with its place."""
    return [
        pytest.param(block, id=f"{shown(file)}:{number}")
        for file in [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]
        for number, block in enumerate(_blocks(file), 1)
        if re.search(r"^(systems|defaults):", block, re.MULTILINE)
    ]


def _blocks(file: Path) -> Iterator[str]:
    for indent, language, block in _FENCED.findall(file.read_text(encoding="utf-8")):
        if language == "yaml":
            yield re.sub(rf"^{indent}", "", block, flags=re.MULTILINE)


@pytest.mark.parametrize("block", examples())
def test_every_config_example_is_good(block: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in re.findall(r"\{env: (\w+)\}", block):
        monkeypatch.setenv(name, "sesame")
    secret = tmp_path / "secret"
    secret.write_text("sesame\n")
    file = tmp_path / "config.yaml"
    file.write_text(re.sub(r"\{file: [^}]+\}", f"{{file: {secret}}}", block))
    loaded = config.load(file)
    assert loaded.systems
    assert config.warnings(loaded) == []


def test_each_page_of_a_system_has_an_example() -> None:
    for file in (GUIDES / "json.md", *(GUIDES / "systems" / f"{name}.md" for name in VENDORS)):
        configs = [yaml.safe_load(block) for block in _blocks(file)]
        systems = [system for each in configs for system in each.get("systems", {}).values()]
        assert file.stem in {system["provider"] for system in systems}


@pytest.mark.parametrize("name", ["metrics", "config", "cli"])
def test_every_metric_key_and_flag_has_a_meaning(name: str) -> None:
    unexplained = [cells[0] for cells in rows(pages()[DOCS / "reference" / f"{name}.md"]) if not cells[-1]]
    assert unexplained == []


def test_every_state_is_explained() -> None:
    explained = [
        cells[:2] for cells in rows((UNDERSTAND / "states.md").read_text(encoding="utf-8")) if cells[2]
    ]
    assert explained == [[f"`{state}`", str(code)] for code, state in enumerate(State)]


def test_every_reason_has_its_section() -> None:
    text = (DOCS / "on-call" / "reasons.md").read_text(encoding="utf-8")
    sections = dict(re.findall(r"^## `(\w+)`\n(.*?)(?=^#|\Z)", text, re.DOTALL | re.MULTILINE))
    assert list(sections) == [reason.value for reason in Reason]
    assert all(len(section.split()) > 10 for section in sections.values())
    assert [cells[0] for cells in rows(text)] == [f"[`{reason}`](#{reason})" for reason in Reason]


def test_every_warning_of_check_is_explained() -> None:
    table = rows((GUIDES / "check.md").read_text(encoding="utf-8"))
    known = [re.escape(text).replace("…", ".*") for cells in table for text in cells[0].split("<br>")]
    files = (ROOT / "tests" / "config" / "odd").glob("*.yaml")
    said = re.findall(r"^#! \d+: \S+: (.*)$", "\n".join(map(Path.read_text, files)), re.MULTILINE)
    assert len(said) > 10
    assert [text for text in said if not any(re.fullmatch(pattern, text) for pattern in known)] == []


def test_every_why_of_a_skipped_read_is_explained_under_pacing() -> None:
    told = {cells[-1] for cells in rows((UNDERSTAND / "pacing.md").read_text(encoding="utf-8"))}
    assert {f"`{why}`" for why in Why} <= told


@pytest.mark.parametrize("provider", VENDORS)
def test_the_page_of_a_system_tells_every_word_and_what_it_becomes(provider: str) -> None:
    told = states_on_page(GUIDES / "systems" / f"{provider}.md")
    kind = PROVIDERS[provider]
    assert {word: state_of(DATA / provider, kind, word).value for word in told} == told
    assert {word.casefold() for word in told} >= set(kind.states)


def test_every_dependency_has_its_reason() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    development = [
        line
        for name in ("build.in", "dev.in", "fuzz.in", "audit.in", "docs.in")
        for line in (ROOT / "requirements" / name).read_text(encoding="utf-8").splitlines()
    ]
    wanted = [re.split(r"[<>=!~\[ ]", line)[0] for line in [*project["dependencies"], *development] if line]
    told = {
        cells[0].strip("`"): cells[1:]
        for cells in rows((DOCS / "extend" / "dependencies.md").read_text(encoding="utf-8"))
    }
    assert set(told) == set(wanted) - {"-r", "-c"}
    assert all(all(cells) for cells in told.values())


def log_messages() -> set[str]:
    """The text of each log line from level info on, as the code has it."""
    found = set()
    for file in (ROOT / "exporter").rglob("*.py"):
        tree = ast.parse(file.read_text(encoding="utf-8"))
        texts = {
            target.id: node.value.value
            for node in tree.body
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
            for target in node.targets
            if isinstance(target, ast.Name)
        }
        for call in ast.walk(tree):
            match call:
                case ast.Call(
                    func=ast.Attribute(ast.Name("_log"), "info" | "warning" | "error" | "exception"),
                    args=[ast.Constant(text), *_],
                ):
                    found.add(str(text))
                case ast.Call(func=ast.Attribute(attr="_complain"), args=[ast.Constant(text), *_]):
                    found.add(str(text))
                case ast.Call(func=ast.Attribute(ast.Name("_log")), args=[ast.Name(name), *_]) if (
                    name in texts
                ):
                    found.add(str(texts[name]))
    return found


def test_the_reference_lists_every_message_of_the_log() -> None:
    table = rows((REFERENCE / "log-messages.md").read_text(encoding="utf-8"))
    listed = {text for cells in table for text in re.findall(r"`([^`]+)`", cells[1])}
    assert log_messages() - listed == set()


def test_the_page_of_the_log_names_messages_that_exist() -> None:
    text = (DOCS / "on-call" / "log.md").read_text(encoding="utf-8").partition("## From begin to end")[2]
    begin_and_end = [cells for cells in rows(text.partition("\n## ")[0]) if cells[0].startswith("`")]
    assert begin_and_end
    assert {re.findall(r"`([^`]+)`", cell)[0] for cells in begin_and_end for cell in cells} <= log_messages()


def test_the_reference_lists_every_path_of_the_exporter() -> None:
    sources = "".join(file.read_text(encoding="utf-8") for file in (ROOT / "exporter" / "web").glob("*.py"))
    routes = {re.sub(r"{(\w+)[^}]*}", r"\1", path) for path in re.findall(r'Route\("([^"]+)"', sources)}
    table = rows((REFERENCE / "http.md").read_text(encoding="utf-8").partition("## ")[0])
    listed = {path for cells in table for path in re.findall(r"`([^`]+)`", cells[0])}
    assert {path.lower() for path in listed} == {path.replace("static/name", "static/…") for path in routes}


_COMMAND = re.compile(r"(?:remote-job-exporter|python -m exporter) ([a-z]+)(?![/.\w-])((?: +[^\s#|&;<>)]+)*)")


def commands_in(text: str) -> Iterator[tuple[str, list[str]]]:
    """Each command of the exporter in the ``sh`` blocks of a page, with the flags that it is given."""
    for _, language, block in _FENCED.findall(text):
        if language == "sh":
            for name, rest in _COMMAND.findall(re.sub(r" *\\\n *", " ", block)):
                yield name, [word.partition("=")[0] for word in rest.split() if word.startswith("--")]


@pytest.mark.parametrize("file", [file for file in MARKDOWN if any(commands_in(file.read_text()))], ids=shown)
def test_every_command_in_a_page_exists_with_its_flags(file: Path) -> None:
    known = {
        name: {flag for option in command.params for flag in option.opts}
        for name, command in commands().items()
    }
    unknown = [
        (name, flags)
        for name, flags in commands_in(file.read_text(encoding="utf-8"))
        if name not in known or not {*flags} <= known[name] | {"--help"}
    ]
    assert unknown == []


def test_a_wrong_flag_in_a_page_is_found() -> None:
    page = "```sh\nx/remote-job-exporter serve a.yaml \\\n  --log.level=debug --odd 1 | grep --quiet x\n"
    page += "docker run --rm remote-job-exporter check a\ndocker run --rm x\n```\n"
    assert [*commands_in(page)] == [("serve", ["--log.level", "--odd"]), ("check", [])]


def test_the_hooks_of_a_commit_are_those_of_make_lint() -> None:
    (local,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"]
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    (lint,) = re.findall(r"^lint:.*\n((?:\t.*\n)+)", makefile, re.MULTILINE)
    commands = re.findall(r"@\$\(BIN\)/(.*)", lint)
    assert [hook["entry"] for hook in local["hooks"]] == [f".venv/bin/{command}" for command in commands]
