import resource
from collections.abc import Iterator
from pathlib import Path

import pytest

from exporter.config import ConfigError
from exporter.runtime import descriptors
from exporter.service import Options, serve


@pytest.fixture
def hard() -> Iterator[int]:
    """The hard limit; the soft one is low."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(1000, soft), hard))
    yield hard
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_the_command_raises_the_soft_limit_of_open_files(hard: int, tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        await serve(tmp_path / "missing.yaml", Options())
    assert descriptors.limit() == min(hard, descriptors.WANTED)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ((64, 64), (64, 64)),
        ((1024, 4096), (4096, 4096)),
        ((1024, 524_288), (descriptors.WANTED, 524_288)),
        ((100_000, 524_288), (100_000, 524_288)),
        ((1024, resource.RLIM_INFINITY), (descriptors.WANTED, resource.RLIM_INFINITY)),
        ((resource.RLIM_INFINITY,) * 2, (resource.RLIM_INFINITY,) * 2),
    ],
)
def test_the_soft_limit_is_raised_as_far_as_it_helps(
    before: tuple[int, int], after: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = [before]
    monkeypatch.setattr(resource, "getrlimit", lambda _: limits[-1])
    monkeypatch.setattr(resource, "setrlimit", lambda _, given: limits.append(given))
    descriptors.raise_limit()
    assert limits[-1] == after


def test_a_sandbox_that_forbids_it_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(_: int, _limits: tuple[int, int]) -> None:
        raise PermissionError

    monkeypatch.setattr(resource, "getrlimit", lambda _: (64, 1024))
    monkeypatch.setattr(resource, "setrlimit", forbidden)
    descriptors.raise_limit()
    assert descriptors.limit() == 64
