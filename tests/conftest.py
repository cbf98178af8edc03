"""Fixtures and settings of all tests."""

import os
import shutil
import sys
import time
from collections.abc import Callable, Generator, Iterator
from typing import Any

import pytest
from hypothesis import is_hypothesis_test, settings

from exporter.runtime import calls
from exporter.transport import reloading
from tests import processes

# Speed is measured in benchmarks/, never by a test; and what CI says of a commit can be repeated.
# Deeper searches are those of `make fuzz`.
settings.register_profile(
    "project", deadline=None, derandomize=os.environ.get("CI") == "true", max_examples=50
)
settings.register_profile("fast", settings.get_profile("project"), max_examples=10)
settings.load_profile("project")

_settrace = sys.settrace


def _install(function: Any) -> None:
    """As ``sys.settrace``, with which coverage follows new threads.

    Python 3.11 refuses it, and the thread ends before it has begun, while another thread is in it.
    """
    while True:
        try:
            return _settrace(function)
        except RuntimeError:
            time.sleep(0)


sys.settrace = _install

UNMEASURED = {"browser", "chart", "endurance", "grafana", "image"}
"""Folders of tests that run without coverage: of what is beside the exporter, or of what others cover too."""

Program = Callable[[str, str], str]
_guard = processes.Guard()


@pytest.fixture(scope="session", autouse=True)
def _patient() -> None:
    """Waits longer for files: other tests need the processor at the same time."""
    calls.LOOP_SECONDS = reloading.WAIT_SECONDS = 5.0


@pytest.fixture
def _frequent_turns() -> Iterator[None]:
    """Threads take turns as often as the interpreter can."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(usual)


@pytest.fixture(scope="session")
def program() -> Program:
    """The path of a program that a Debian package brings.

    Where it is missing the test is skipped, with a line that says how to get it; not where
    ``CI=true``, so that no test is left out there for want of a program.
    """

    def find(name: str, package: str) -> str:
        path = shutil.which(name)
        if path is None:
            missing = f"{name} is not installed; get it with: apt-get install {package}"
            if os.environ.get("CI") == "true":
                pytest.fail(missing)
            pytest.skip(missing)
        return path

    return find


@pytest.hookimpl(tryfirst=True)  # before pytest selects by markers
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if isinstance(item, pytest.Function) and processes.starts_one(item):
            item.add_marker("process")
        if _is_unmeasured(item):
            item.add_marker("unmeasured")


def _is_unmeasured(item: pytest.Item) -> bool:
    """Whether the time that coverage adds would be large, and what it finds small."""
    folders = item.path.relative_to(item.config.rootpath).parts
    many_examples = is_hypothesis_test(getattr(item, "obj", None))
    return many_examples or bool(item.get_closest_marker("slow")) or not UNMEASURED.isdisjoint(folders)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    _guard.closed = item.get_closest_marker("process") is None
    try:
        return (yield)
    finally:
        _guard.closed = False
