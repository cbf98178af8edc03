"""The language of what people read: the list of words in CONTRIBUTING.md, and short sentences."""

import ast
import json
import re
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from tokenize import COMMENT, tokenize

import pytest

from tests.generate import ROOT
from tests.systems import rows
from tests.test_docs import MARKDOWN, shown

LONGEST = 35
"""Words of a sentence."""

_FENCED = re.compile(r"^( *)```.*?^ *```$", re.DOTALL | re.MULTILINE)
_UNREAD = re.compile(
    r"<!--.*?-->|\{#.*?#\}|\{%.*?%\}|\{\{.*?\}\}|<style>.*?</style>|<[a-z/][^>]*>", re.DOTALL
)
_CODE = re.compile(r"(?<!`)(`+)(?!`).+?(?<!`)\1(?!`)")
_LINK = re.compile(r"\[([^\]]*)\]\([^)]*\)")
_PARAGRAPH = re.compile(r"(?:\n\s*)+(?:(?:[-*>]|\d+\.) |(?=[|#]))|\n\s*\n")
_END = re.compile(r"(?<=[.!?:;·])\s+")


def never_right() -> list[str]:
    """The words of the table in CONTRIBUTING.md that are wrong in every sentence."""
    table = rows((ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").partition("## Words")[2])
    words = [word.strip() for cells in table for word in cells[0].split(",")]
    return [word.removesuffix("*").strip() for word in words if word.endswith("*")]


def wrong_words(text: str) -> list[str]:
    """The words of that list in a text, outside of code, comments and tags."""
    plain = _CODE.sub("", " ".join(_UNREAD.sub("", _FENCED.sub("", text)).split()))
    return [word for word in never_right() if re.search(rf"\b{word}(?![\w-])", plain, re.IGNORECASE)]


def in_code(file: Path) -> Iterator[str]:
    """The strings with more than a word, docstrings among them, and the comments of a file of code."""
    code = file.read_bytes()
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value:
            yield node.value
    for token in tokenize(BytesIO(code).readline):
        if token.type == COMMENT:
            yield token.string


def prose() -> dict[str, str]:
    """What people read, by its place."""
    chart = ROOT / "helm" / "remote-job-exporter"
    alerts = sorted((ROOT / "grafana" / "alerts").glob("*.yaml"))
    written = [
        *(file for file in MARKDOWN if file.name != "CONTRIBUTING.md"),
        *sorted((ROOT / "examples").rglob("*.yaml")),
        *(file for file in alerts if not file.name.endswith(".test.yaml")),
        *sorted((ROOT / "exporter").rglob("*.html")),
        *(chart / "values.yaml", chart / "templates" / "NOTES.txt"),
    ]
    built = [ROOT / name for name in ("Makefile", "Dockerfile", "pyproject.toml", ".ci/run")]
    found = {shown(file): file.read_text(encoding="utf-8") for file in [*written, *built]}
    for file in sorted((ROOT / "grafana" / "dashboards").glob("*.json")):
        texts = re.findall(r'"(?:title|description|noValue)": (".*")', file.read_text(encoding="utf-8"))
        found[shown(file)] = "\n".join(map(json.loads, texts))
    code = (file for file in sorted((ROOT / "exporter").rglob("*.py")) if "simulator" not in file.parts)
    for file in code:
        found[shown(file)] = "\n".join(in_code(file))
    return found


def long_sentences(text: str) -> list[str]:
    """The sentences of a page with too many words; a table, a title and code have none."""
    paragraphs = _PARAGRAPH.split(_UNREAD.sub("", _FENCED.sub("", text)))
    written = [_LINK.sub(r"\1", part) for part in paragraphs if not part.lstrip().startswith(("|", "#"))]
    sentences = [sentence for part in written for sentence in _END.split(part)]
    return [sentence for sentence in sentences if len(sentence.split()) > LONGEST]


PROSE = prose()


@pytest.mark.parametrize("place", PROSE)
def test_no_word_is_used_that_is_never_right(place: str) -> None:
    assert wrong_words(PROSE[place]) == [], "see the words in CONTRIBUTING.md"


@pytest.mark.parametrize("file", MARKDOWN, ids=shown)
def test_no_sentence_is_too_long(file: Path) -> None:
    assert long_sentences(file.read_text(encoding="utf-8")) == []


def test_a_wrong_word_is_found_across_lines_and_left_alone_in_code() -> None:
    assert wrong_words("Every Mistake, once\nmore.") == ["mistake", "once more"]
    assert wrong_words('<p title="mistake">{# mistake #}mistake</p>') == ["mistake"]
    assert wrong_words("`mistake`, mistaken, `one\nmistake`\n```sh\nmistake\n```\n") == []


def test_messages_docstrings_and_comments_of_code_are_read(tmp_path: Path) -> None:
    file = tmp_path / "code.py"
    file.write_text('"""A line."""\nraise ValueError(f"a message {told}")  # a comment\nnames = "told"\n')
    assert list(in_code(file)) == ["A line.", "a message ", "# a comment"]


def test_a_sentence_ends_at_a_point_a_colon_or_an_item() -> None:
    words = " ".join(["word"] * LONGEST)
    assert long_sentences(f"{words}.") == []
    assert len(long_sentences(f"{words} more.")) == 1
    assert long_sentences(f"# {words} {words}\n\n{words}:\n- {words}\n- {words}\n\n| {words} {words} |") == []
