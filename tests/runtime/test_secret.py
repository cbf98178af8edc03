"""A secret shows nowhere but on the wire, and follows its file."""

import copy
import logging
import os
import pickle
import time
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from exporter.runtime import secret as secrets
from exporter.runtime.secret import MASK, MAX_BYTES, Secret, SecretError, masked_url

HUSH = "hunter2"


@pytest.fixture(params=["plain", "env", "file"])
def secret(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Secret:
    """The same value, by each of the ways to give it."""
    match request.param:
        case "plain":
            return Secret.plain(HUSH)
        case "env":
            monkeypatch.setenv("HUSH", HUSH)
            return Secret.env("HUSH")
    file = tmp_path / "secret"
    file.write_text(HUSH)
    return Secret.file(file)


@pytest.fixture
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files are looked at each time, not once a second."""
    monkeypatch.setattr(secrets, "LOOK_AGAIN_SECONDS", 0.0)


def test_the_value_is_had_by_reveal(secret: Secret) -> None:
    assert secret.reveal() == HUSH


@pytest.mark.parametrize(
    "show",
    [
        repr,
        str,
        "{}".format,
        "{!r}".format,
        "{:>40}".format,
        "%s".__mod__,
        ascii,
        lambda secret: repr([secret, {"key": secret}]),
        lambda secret: f"{secret:s}",
        lambda secret: str(ValueError(secret)),
        dir,
    ],
)
def test_no_way_to_print_it_shows_it(show: Callable[[Secret], object], secret: Secret) -> None:
    shown = str(show(secret))
    assert HUSH not in shown
    assert len(shown) > 0


def test_it_prints_as_a_mask_whatever_its_length() -> None:
    assert f"{Secret.plain('a')}" == f"{Secret.plain('b' * 1000):>9}" == MASK


@pytest.mark.parametrize(
    "take", [copy.copy, copy.deepcopy, *(lambda s, n=n: pickle.dumps(s, n) for n in range(6))]
)
def test_it_cannot_be_pickled_or_copied(take: Callable[[Secret], object], secret: Secret) -> None:
    with pytest.raises(TypeError) as caught:
        take(secret)
    assert HUSH not in str(caught.value)


def test_it_has_no_dictionary_to_look_into(secret: Secret) -> None:
    with pytest.raises(TypeError):
        vars(secret)
    with pytest.raises(AttributeError):
        secret.note = "more"  # type: ignore[attr-defined]  # that is the point


def test_a_traceback_with_locals_does_not_show_it(secret: Secret) -> None:
    def fails(token: Secret) -> None:
        held = [token]
        raise RuntimeError(f"with {token} in {len(held)} places")

    try:
        fails(secret)
    except RuntimeError as error:
        told = traceback.TracebackException.from_exception(error, capture_locals=True)
        assert HUSH not in "".join(told.format())


def test_what_holds_one_cannot_be_pickled_or_copied_deeply_either(secret: Secret) -> None:
    for take in (copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError):
            take([secret])


def test_two_are_equal_that_are_written_the_same_way(secret: Secret, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_text(HUSH)
    same = Secret.file(other), Secret.file(other)
    assert same[0] == same[1]
    assert hash(same[0]) == hash(same[1])
    assert Secret.plain(HUSH) == Secret.plain(HUSH)
    assert secret not in (Secret.plain("other"), Secret.file(other), HUSH)


def test_an_environment_variable_that_is_not_set_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HUSH", raising=False)
    with pytest.raises(SecretError, match="the environment variable HUSH is not set"):
        Secret.env("HUSH")


@pytest.mark.parametrize("value", ["", "\n", "\r\n"])
def test_an_environment_variable_that_holds_nothing_is_called_empty(
    value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HUSH", value)
    with pytest.raises(SecretError, match="HUSH is empty; set it to the secret"):
        Secret.env("HUSH")


@pytest.mark.parametrize(
    ("content", "value"),
    [
        ("a", "a"),
        ("a\n", "a"),
        ("a\r\n", "a"),
        ("a\n\n", "a\n"),
        (" a \t\n", " a \t"),
        ("a\nb", "a\nb"),
        ("\na", "\na"),
        ("é", "é"),
        ("a\v", "a\v"),
    ],
)
def test_the_last_line_break_goes_and_nothing_else_from_file_and_environment(
    content: str, value: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "secret"
    file.write_bytes(content.encode())
    monkeypatch.setenv("HUSH", content)
    assert Secret.file(file).reveal() == Secret.env("HUSH").reveal() == value


@given(st.text(st.characters(codec="utf-8"), min_size=1).filter(lambda text: not text.endswith(("\n", "\r"))))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_text_comes_back_from_its_file(tmp_path: Path, text: str) -> None:
    file = tmp_path / "secret"
    for end in ("", "\n", "\r\n"):
        file.write_bytes(text.encode() + end.encode())
        assert Secret.file(file).reveal() == text


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "is empty"),
        (b"\n", "is empty"),
        (b"\r\n", "is empty"),
        (HUSH.encode() + b"\xff", "is not UTF-8 text"),
        (HUSH.encode() * MAX_BYTES, "too large"),
    ],
)
def test_a_file_that_holds_no_secret_is_refused_without_showing_it(
    content: bytes, why: str, tmp_path: Path
) -> None:
    file = tmp_path / "secret"
    file.write_bytes(content)
    with pytest.raises(SecretError) as caught:
        Secret.file(file)
    assert str(file) in str(caught.value)
    assert why in str(caught.value)
    told = traceback.TracebackException.from_exception(caught.value)
    assert HUSH not in "".join(told.format())


def test_a_file_may_be_as_large_as_the_limit(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_bytes(b"x" * MAX_BYTES)
    assert len(Secret.file(file).reveal()) == MAX_BYTES


@pytest.mark.parametrize("kind", ["absent", "folder", "unreadable"])
def test_a_file_that_cannot_be_read_is_refused_with_its_place(kind: str, tmp_path: Path) -> None:
    file = tmp_path / "secret"
    if kind == "folder":
        file.mkdir()
    if kind == "unreadable":
        file.symlink_to(file)
    with pytest.raises(SecretError, match=f"cannot read {file}: "):
        Secret.file(file)


@pytest.mark.usefixtures("_at_once")
def test_a_file_written_anew_is_read_anew(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("old")
    secret = Secret.file(file)
    assert secret.reveal() == "old"
    file.write_text("newer")
    assert secret.reveal() == "newer"


def mount(folder: Path, name: str, value: str) -> None:
    """Publishes a value as Kubernetes does: a folder of its own, swapped in by renaming a link."""
    (folder / name).mkdir()
    (folder / name / "token").write_text(value)
    (folder / "..tmp").symlink_to(name)
    (folder / "..tmp").rename(folder / "..data")
    if not (folder / "token").is_symlink():
        (folder / "token").symlink_to("..data/token")


@pytest.mark.usefixtures("_at_once")
def test_a_mounted_secret_is_followed_through_the_swap_of_its_link(tmp_path: Path) -> None:
    mount(tmp_path, "..first", "one")
    secret = Secret.file(tmp_path / "token")
    # Same size, same times: only the file behind the link is another one.
    first = (tmp_path / "token").stat()
    assert secret.reveal() == "one"
    mount(tmp_path, "..second", "two")
    os.utime(tmp_path / "token", ns=(first.st_atime_ns, first.st_mtime_ns))
    assert secret.reveal() == "two"


def test_a_file_is_not_looked_at_for_every_request(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("old")
    secret = Secret.file(file)
    assert secret.reveal() == "old"
    file.write_text("newer")
    assert secret.reveal() == "old"


@pytest.mark.usefixtures("_at_once")
@pytest.mark.parametrize("spoil", ["unlink", "empty", "binary", "huge"])
def test_a_file_that_is_spoilt_keeps_its_last_value_and_is_told_of_once(
    spoil: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "secret"
    file.write_text(HUSH)
    secret = Secret.file(file)
    if spoil == "unlink":
        file.unlink()
    else:
        file.write_bytes({"empty": b"", "binary": b"\xff\xfe", "huge": b"x" * (MAX_BYTES + 1)}[spoil])
    with caplog.at_level(logging.WARNING):
        assert [secret.reveal() for _ in range(3)] == [HUSH] * 3
        assert len(caplog.records) == 1
        assert vars(caplog.records[0])["path"] == str(file)
        file.write_text("mended")
        assert secret.reveal() == "mended"
        assert len(caplog.records) == 1
        file.unlink()
        assert secret.reveal() == "mended"
        assert len(caplog.records) == 2
    assert HUSH not in caplog.text


def test_the_time_to_mask_a_url_grows_with_its_length_only() -> None:
    began = time.thread_time()
    assert masked_url("http://host/?" + "a" * 50_000) == "http://host/?" + "a" * 50_000
    # 1 ms; from each character of a name to its end, it would be 20 s.
    assert time.thread_time() - began < 3


@pytest.mark.usefixtures("_at_once", "_frequent_turns")
def test_threads_that_read_a_secret_together_all_get_its_value(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "secret"
    file.write_text(HUSH)
    secret = Secret.file(file)

    def read(_: int) -> set[str]:
        return {secret.reveal() for _ in range(50)}

    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(read, range(4))) == [{HUSH}] * 4
    assert caplog.messages == []
