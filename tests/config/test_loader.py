"""A configuration is loaded again only if the content of a file that it was read from has changed."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import certifi
import pytest

from exporter.config import Config, ConfigError, Finding, Loader, loader
from exporter.config import load as config_load
from tests.clock import FakeClock
from tests.vendor import caps_config

BEARER = "auth: {type: bearer, token: {file: token}}"
TLS = "tls: {ca_file: ca.pem}"


class Loads:
    """Counts loads, and shows what the loader returns."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        real = config_load

        def load(*arguments: Any, **named: Any) -> Config:
            self.count += 1
            return real(*arguments, **named)

        monkeypatch.setattr(loader, "load", load)


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> Loads:
    return Loads(monkeypatch)


def text(jobs: int = 1, more: str = "") -> str:
    return "systems:\n" + caps_config("https://caps.example", jobs, more=more)


def write_as_before(file: Path, content: str) -> None:
    """Replaces the content; the file looks the same otherwise, as after two changes in one tick."""
    status = file.stat()
    assert status.st_size == len(content)
    file.write_text(content)
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))


def test_what_did_not_change_is_not_loaded_again_whatever_its_time(tmp_path: Path, loads: Loads) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(text())
    loading = Loader(file)
    loading.load()
    for _ in range(3):
        os.utime(file)
        assert loading.load_changes() is None
    (tmp_path / "new").write_text(text())
    (tmp_path / "new").rename(file)
    assert loading.load_changes() is None
    assert loads.count == 1


def test_a_change_that_no_stamp_shows_is_loaded(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(text(more="labels: {squad: a}"))
    loading = Loader(file)
    loading.load()
    write_as_before(file, text(more="labels: {squad: b}"))
    changed = loading.load_changes()
    assert changed is not None
    assert changed.systems[0].labels == {"squad": "b"}
    assert loading.load_changes() is None


def replace_token(folder: Path) -> None:
    write_as_before(folder / "token", "hush-b")


def remove_token(folder: Path) -> None:
    (folder / "token").unlink()


def break_certificate(folder: Path) -> None:
    (folder / "ca.pem").write_text("none")


def add_file(folder: Path) -> None:
    (folder / "config" / "b.yaml").write_text(text().replace("docs", "more"))


def rename_file(folder: Path) -> None:
    (folder / "config" / "a.yaml").rename(folder / "config" / "c.yaml")


def remove_folder(folder: Path) -> None:
    (folder / "config" / "a.yaml").unlink()
    (folder / "config").rmdir()


@pytest.mark.parametrize(
    ("change", "fails"),
    [
        (replace_token, False),
        (remove_token, True),
        (break_certificate, True),
        (add_file, False),
        (rename_file, False),
        (remove_folder, True),
    ],
)
def test_any_file_that_was_read_counts(
    change: Callable[[Path], None], tmp_path: Path, loads: Loads, *, fails: bool
) -> None:
    (tmp_path / "token").write_text("hush-a")
    (tmp_path / "ca.pem").write_bytes(Path(certifi.where()).read_bytes())
    folder = tmp_path / "config"
    folder.mkdir()
    both = BEARER.replace("token}", "../token}") + "\n" + TLS.replace("ca.pem", "../ca.pem")
    (folder / "a.yaml").write_text(text(more=both))
    loading = Loader(folder)
    loading.load()
    assert loading.load_changes() is None
    change(tmp_path)
    if fails:
        with pytest.raises(ConfigError):
            loading.load_changes()
    else:
        assert loading.load_changes() is not None
        assert loading.load_changes() is None
        assert loads.count == 2


def test_errors_are_reported_again_without_a_load_until_a_file_changes(tmp_path: Path, loads: Loads) -> None:
    file, token = tmp_path / "config.yaml", tmp_path / "token"
    file.write_text(text(more=BEARER))
    loading = Loader(file, FakeClock())
    with pytest.raises(ConfigError) as first:
        loading.load()
    for _ in range(3):
        with pytest.raises(ConfigError) as again:
            loading.load_changes()
        assert str(again.value) == str(first.value)
    assert loads.count == 1
    token.write_text("hush")
    assert loading.load_changes() is not None


def test_errors_whose_cause_is_in_no_file_pass(tmp_path: Path, loads: Loads) -> None:
    file, clock = tmp_path / "config.yaml", FakeClock()
    file.write_text(text())
    loading = Loader(file, clock)
    loading.load()
    loading.reject(ConfigError([Finding(file, 1, "", "too many open files")]))
    with pytest.raises(ConfigError):
        loading.load_changes()
    clock.turn(loader.REMEMBER_ERRORS_SECONDS)
    assert loading.load_changes() is not None
    assert loads.count == 2


def test_a_file_of_a_folder_that_could_not_be_read_counts_once_it_can(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(text())
    (tmp_path / "b.yaml").symlink_to("missing")
    loading = Loader(tmp_path, FakeClock())
    with pytest.raises(ConfigError):
        loading.load()
    (tmp_path / "missing").write_text(text().replace("docs", "more"))
    assert loading.load_changes() is not None


def test_after_an_unexpected_error_everything_is_loaded_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(text())
    loading = Loader(file)
    loading.load()
    file.write_text(text(2))
    with monkeypatch.context() as patch:
        patch.setattr(loader, "load", lambda *_, **__: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            loading.load_changes()
    changed = loading.load_changes()
    assert changed is not None
    assert len(changed.systems[0].jobs) == 2
