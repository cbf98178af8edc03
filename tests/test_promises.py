"""Each promise of the pages about security and reliability names the tests that fail when it is broken."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from tests.generate import ROOT, UNDERSTAND

PAGES = ("security.md", "reliability.md")
NO_PROMISES = {"Run it behind TLS and a login", "What is installed", "What is not promised"}
"""Sections without promises: steps, other pages, and limits of the promises."""

_BULLET = re.compile(r"^- (?:.+\n)(?:  .*\n)*", re.MULTILINE)
_TESTS = re.compile(r"<!-- (.+?) -->", re.DOTALL)


@cache
def names_in(file: Path) -> frozenset[str]:
    """The names of the test functions and state machines of a file."""
    if not file.is_file():
        return frozenset()
    tree = ast.parse(file.read_text(encoding="utf-8"))
    named = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Assign)
    names = [node for node in ast.walk(tree) if isinstance(node, named)]
    return frozenset(
        name
        for node in names
        for name in (
            [target.id for target in node.targets if isinstance(target, ast.Name)]
            if isinstance(node, ast.Assign)
            else [node.name]
        )
        if name.lower().startswith("test")
    )


def promises() -> list[tuple[str, str]]:
    """The bullets of the pages, each with its page."""
    found = []
    for page in PAGES:
        for section in (UNDERSTAND / page).read_text(encoding="utf-8").split("\n## ")[1:]:
            title, _, text = section.partition("\n")
            if title not in NO_PROMISES:
                found += [(page, bullet) for bullet in _BULLET.findall(text)]
    return found


def first_words(value: object) -> str:
    return str(value)[:50] if isinstance(value, str) else ""


@pytest.mark.parametrize(("page", "promise"), promises(), ids=first_words)
def test_a_promise_names_tests_that_exist(page: str, promise: str) -> None:
    named = [test for group in _TESTS.findall(promise) for test in group.split()]
    assert named, f"{page}: no test is named for: {promise}"
    for test in named:
        file, _, name = test.partition("::")
        assert name in names_in(ROOT / "tests" / file), f"{page}: there is no test {test}"
