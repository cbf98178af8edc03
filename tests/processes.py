"""The marker ``process``: which tests start a process, and that no other test does."""

import functools
import inspect
import sys
from collections.abc import Iterable
from types import CodeType, FunctionType, ModuleType
from typing import Any

import pytest

Code = FunctionType | type


def starts_one(test: pytest.Function) -> bool:
    """Whether the test, a fixture of it, or anything from ``tests`` that these use, uses ``subprocess``."""
    modules = (test.module, *test.config.pluginmanager.get_plugins())
    places = [vars(module) for module in modules if isinstance(module, ModuleType)]
    fixtures = (place.get(name) for place in places for name in test.fixturenames)
    return _start_one(frozenset(_of_tests([test.function, *fixtures])))


@functools.cache
def _start_one(things: frozenset[Code]) -> bool:
    todo, seen = set(things), set[Code]()
    while todo:
        thing = todo.pop()
        names, used = _used_by(thing)
        if "subprocess" in names:
            return True
        seen.add(thing)
        todo |= used - seen
    return False


@functools.cache
def _used_by(thing: Code) -> tuple[set[str], set[Code]]:
    """The names in the code of a function or class, and what of ``tests`` they stand for."""
    if isinstance(thing, type):
        # A list: a model of pydantic gets attributes when it is looked at.
        return set(), _of_tests(getattr(part, "fget", part) for part in [*vars(thing).values()])
    names = _names_in(thing.__code__)
    used = [thing.__globals__.get(name) for name in names]
    modules = [vars(one) for one in used if isinstance(one, ModuleType) and one.__name__.startswith("tests.")]
    return names, _of_tests([*used, *(module.get(name) for module in modules for name in names)])


def _of_tests(things: Iterable[Any]) -> set[Code]:
    unwrapped = (inspect.unwrap(thing) for thing in things if thing is not None)
    return {
        thing
        for thing in unwrapped
        if isinstance(thing, FunctionType | type) and thing.__module__.startswith("tests.")
    }


def _names_in(code: CodeType) -> set[str]:
    inner = (_names_in(constant) for constant in code.co_consts if isinstance(constant, CodeType))
    return set(code.co_names).union(*inner)


class Guard:
    """Makes the start of a process an error while it is closed. An audit hook cannot be removed."""

    def __init__(self) -> None:
        self.closed = False
        sys.addaudithook(self._audit)

    def _audit(self, event: str, _arguments: object) -> None:
        if self.closed and event in {"subprocess.Popen", "os.fork", "os.posix_spawn"}:
            raise AssertionError("this test has no marker process, see tests/processes.py")
