"""A file that cannot be read is one line that names it and says why: no traceback, no waiting."""

import os
import socket
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
import trustme
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from exporter.config import ConfigError, load
from exporter.runtime import files
from exporter.transport import not_after
from exporter.web.config import load as load_web
from tests.command import COMMAND, run, run_unprivileged, serving

SYSTEM = "provider: crafter, base_url: https://a.example/studio, jobs: [{site_id: x}]"
CONFIG = f"systems: {{s: {{{SYSTEM}}}}}\n"
WEB = "tls_server_config: {cert_file: server.pem, key_file: server.key}\n"


def missing(path: Path) -> None:
    assert not path.exists()


def loop(path: Path) -> None:
    path.symlink_to(path)


def device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def listening(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))


KINDS: Mapping[str, Callable[[Path], None]] = {
    "No such file or directory": missing,
    "Is a directory": Path.mkdir,
    "a pipe, not a regular file": os.mkfifo,
    "a socket, not a regular file": listening,
    "a device, not a regular file": device,
    "Too many levels of symbolic links": loop,
}
every_kind = pytest.mark.parametrize(("why", "make"), KINDS.items())


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder with a name that is short enough for sockets."""
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


# Reading.


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=300), st.integers(0, 300))
def test_a_file_comes_back_up_to_the_limit(tmp_path: Path, data: bytes, limit: int) -> None:
    file = tmp_path / "file"
    file.write_bytes(data)
    assert files.read(file, limit) == data[:limit]


@every_kind
def test_what_is_no_regular_file_is_refused_at_once(
    why: str, make: Callable[[Path], None], folder: Path
) -> None:
    make(folder / "file")
    with pytest.raises(OSError, match=why):
        files.read(folder / "file", 10)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("a\0b", "not a valid file name"),
        ("\ud800", "not a valid file name"),
        ("a" * 300, "File name too long"),
    ],
)
def test_what_no_file_can_be_called_is_refused(name: str, why: str, tmp_path: Path) -> None:
    with pytest.raises(OSError, match=why) as caught:
        files.read(tmp_path / name, 10)
    assert caught.value.strerror == why
    assert files.stamp(tmp_path / name) == (None,)


@pytest.mark.parametrize("make", [os.mkfifo, listening, device])
def test_a_file_that_is_replaced_while_it_is_opened_is_not_waited_for(
    make: Callable[[Path], None], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(folder / "file")
    regular = Path(__file__).stat()
    monkeypatch.setattr(files, "status_here", lambda _: regular)
    with pytest.raises(OSError, match=r"not a regular file|No such device"):
        files.read(folder / "file", 10)


def test_a_pipe_is_read_to_its_end_once(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    # Opened to read too, a pipe is open to write at once.
    writer = os.open(pipe, os.O_RDWR)

    def write() -> None:
        os.write(writer, b"one ")
        os.write(writer, b"two")
        os.close(writer)

    threading.Timer(0.05, write).start()
    assert files.read(pipe, 1000, pipe=True) == b"one two"
    with pytest.raises(OSError, match="an empty pipe"):
        files.read(pipe, 1000, pipe=True)


def test_a_pipe_that_does_not_end_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "PIPE_SECONDS", 0.1)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = os.open(pipe, os.O_RDWR)
    os.write(writer, b"half")
    with pytest.raises(OSError, match=r"no end of the file within 0\.1 s"):
        files.read(pipe, 1000, pipe=True)
    os.close(writer)


def test_a_stamp_changes_with_content_rights_and_the_file_behind_a_link(tmp_path: Path) -> None:
    (tmp_path / "one").write_text("one")
    (tmp_path / "two").write_text("two")
    link = tmp_path / "link"
    link.symlink_to("one")
    seen = [files.stamp(link)]
    (tmp_path / "one").write_text("other")
    seen.append(files.stamp(link))
    (tmp_path / "one").chmod(0)
    seen.append(files.stamp(link))
    link.unlink()
    link.symlink_to("two")
    seen.append(files.stamp(link))
    assert None not in seen
    assert len(set(seen)) == len(seen)


# Whatever is read.


def lines_of(call: Callable[[], object]) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        call()
    return str(caught.value).splitlines()


@every_kind
@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("auth.bearer.token", "auth: {type: bearer, token: {file: odd}}"),
        ("tls.ca_file", "tls: {ca_file: odd}"),
        ("tls.crl_file", "tls: {crl_file: odd}"),
        ("tls.cert_file", "tls: {cert_file: odd}"),
        ("tls.key_file", "tls: {key_file: odd}"),
    ],
)
def test_a_file_that_the_config_names(
    why: str, make: Callable[[Path], None], key: str, text: str, folder: Path
) -> None:
    make(folder / "odd")
    (folder / "config.yaml").write_text(f"systems: {{s: {{{SYSTEM}, {text}}}}}\n")
    (line,) = lines_of(lambda: load(folder / "config.yaml"))
    assert line.startswith(f"{folder}/config.yaml:1: systems.s.")
    assert key.rpartition(".")[2] in line
    assert f"cannot read {folder}/odd: {why}" in line


@every_kind
def test_the_file_of_ca_certificates_that_the_environment_names(
    why: str, make: Callable[[Path], None], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(folder / "odd")
    (folder / "config.yaml").write_text(CONFIG)
    monkeypatch.setenv("SSL_CERT_FILE", str(folder / "odd"))
    (line,) = lines_of(lambda: load(folder / "config.yaml"))
    expected = f"systems.s.tls: the environment variable SSL_CERT_FILE: cannot read {folder}/odd: {why}; "
    assert expected in line


@every_kind
@pytest.mark.parametrize("key", ["cert_file", "key_file", "client_ca_file"])
def test_a_file_that_the_web_config_names(
    why: str, make: Callable[[Path], None], key: str, folder: Path
) -> None:
    make(folder / "odd")
    (folder / "web.yaml").write_text(f"tls_server_config: {{{key}: odd}}\n")
    lines = lines_of(lambda: load_web(folder / "web.yaml"))
    assert [line for line in lines if f"{key}: cannot read {folder}/odd: {why}" in line]


@every_kind
def test_the_web_config_itself(why: str, make: Callable[[Path], None], folder: Path) -> None:
    make(folder / "odd")
    assert lines_of(lambda: load_web(folder / "odd")) == [f"{folder}/odd:1: cannot be read: {why}"]


@every_kind
def test_a_client_certificate_whose_end_is_shown(
    why: str, make: Callable[[Path], None], folder: Path
) -> None:
    make(folder / "odd")
    assert not_after(folder / "odd") is None, why


@pytest.mark.parametrize(
    "why", [why for why in KINDS if why not in ("Is a directory", "No such file or directory")]
)
def test_a_file_in_the_folder_of_the_config(why: str, folder: Path) -> None:
    (folder / "a.yaml").write_text(CONFIG)
    KINDS[why](folder / "b.yaml")
    assert lines_of(lambda: load(folder)) == [f"{folder}/b.yaml:1: cannot be read: {why}"]


def test_a_file_of_the_folder_that_goes_before_it_is_read(folder: Path) -> None:
    (folder / "a.yaml").write_text(CONFIG)
    # To a reader it is the same: a name that is listed, and nothing there.
    (folder / "b.yaml").symlink_to("gone")
    assert lines_of(lambda: load(folder)) == [f"{folder}/b.yaml:1: cannot be read: No such file or directory"]


def test_a_name_of_many_pages_is_cut_and_what_is_wrong_is_said(folder: Path) -> None:
    text = f"auth: {{type: bearer, token: {{file: {'a/' * 2500}a}}}}"
    (folder / "config.yaml").write_text(f"systems: {{s: {{{SYSTEM}, {text}}}}}\n")
    (line,) = lines_of(lambda: load(folder / "config.yaml"))
    assert line.endswith("a/a: File name too long")
    assert len(line) < 700


def test_a_certificate_without_end_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "MAX_PEM_BYTES", 10)
    (folder / "odd").write_bytes(b"-" * 11)
    (folder / "config.yaml").write_text(f"systems: {{s: {{{SYSTEM}, tls: {{ca_file: odd}}}}}}\n")
    (line,) = lines_of(lambda: load(folder / "config.yaml"))
    assert f"cannot read {folder}/odd: larger than" in line


# The commands.


def commands(config: Path) -> Iterator[tuple[str, ...]]:
    yield "check", str(config)
    yield "serve", "--config.file", str(config), "--web.listen-address", "127.0.0.1:0"
    yield "probe", "--config.file", str(config), "s", "site_id=x"


@every_kind
def test_every_command_ends_with_one_line_and_exit_code_1(
    why: str, make: Callable[[Path], None], folder: Path
) -> None:
    if make is Path.mkdir:
        why = "the folder contains no"
    elif make is os.mkfifo:
        why = "an empty pipe"
    make(folder / "config.yaml")
    for command in commands(folder / "config.yaml"):
        ended = run(*command)
        (line,) = (ended.stdout + ended.stderr).splitlines()
        assert f"{folder}/config.yaml:1: " in line
        assert why in line
        assert ended.returncode == 1


def test_a_name_of_two_lines_is_printed_in_one() -> None:
    ended = run("check", "a\nb\udcff")
    assert (ended.stdout, ended.returncode) == ("a?b?:1: cannot be read: No such file or directory\n", 1)


def test_a_config_may_come_through_a_pipe() -> None:
    command = [*COMMAND, "check", "/dev/stdin"]
    ended = subprocess.run(command, input=CONFIG, capture_output=True, text=True, timeout=60, check=False)
    assert (ended.stdout, ended.returncode) == ("/dev/stdin: 1 system, 1 job, no errors\n", 0)


@pytest.fixture
def locked(folder: Path) -> Path:
    """A folder that its owner alone may enter, with a config and all that one may name."""
    place = folder / "locked"
    place.mkdir()
    issued = trustme.CA().issue_cert("localhost")
    issued.private_key_pem.write_to_path(place / "server.key")
    issued.cert_chain_pems[0].write_to_path(place / "server.pem")
    (place / "config.yaml").write_text(CONFIG)
    (place / "web.yaml").write_text(WEB)
    (place / "token").write_text("hush")
    for file in place.iterdir():
        file.chmod(0)
    place.chmod(0)
    (folder / "config.yaml").write_text(CONFIG)
    return place


def refused(*arguments: str) -> str:
    """The line that a command ends with where rights are missing."""
    ended = run_unprivileged(*arguments)
    *before, line = (ended.stdout + ended.stderr).splitlines()
    assert all("level=info" in each for each in before)
    assert ended.returncode == 1
    assert "Permission denied" in line
    return line


@pytest.mark.parametrize("rights", [0, 0o755])
def test_a_config_that_may_not_be_read(rights: int, locked: Path) -> None:
    locked.chmod(rights)
    for command in commands(locked / "config.yaml"):
        assert f"{locked}/config.yaml:1: cannot be read: Permission denied" in refused(*command)


@pytest.mark.parametrize(("rights", "name"), [(0, ""), (0o300, ""), (0o400, "/config.yaml")])
def test_a_folder_of_the_config_that_may_not_be_listed_or_entered(
    rights: int, name: str, locked: Path
) -> None:
    locked.chmod(0o700)
    (locked / "web.yaml").unlink()
    locked.chmod(rights)
    for command in commands(locked):
        assert f"{locked}{name}:1: cannot be read: Permission denied" in refused(*command)


@pytest.mark.parametrize("rights", [0, 0o755])
@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("token", "auth: {type: bearer, token: {file: locked/token}}"),
        ("server.pem", "tls: {ca_file: locked/server.pem}"),
    ],
)
def test_what_the_config_names_and_may_not_be_read(rights: int, file: str, text: str, locked: Path) -> None:
    locked.chmod(rights)
    config = locked.parent / "config.yaml"
    config.write_text(f"systems: {{s: {{{SYSTEM}, {text}}}}}\n")
    for command in commands(config):
        assert f"cannot read {locked}/{file}: Permission denied" in refused(*command)


@pytest.mark.parametrize("rights", [0, 0o755])
def test_a_web_config_that_may_not_be_read(rights: int, locked: Path) -> None:
    locked.chmod(rights)
    check, serve, _ = commands(locked.parent / "config.yaml")
    for command in (check, serve):
        line = refused(*command, "--web.config.file", str(locked / "web.yaml"))
        assert f"{locked}/web.yaml:1: cannot be read: Permission denied" in line


def test_a_key_of_the_web_config_that_may_not_be_read(locked: Path) -> None:
    web = locked.parent / "web.yaml"
    web.write_text(WEB.replace(": server", ": locked/server"))
    locked.chmod(0o755)
    (locked / "server.pem").chmod(0o644)
    check, serve, _ = commands(locked.parent / "config.yaml")
    for command in (check, serve):
        line = refused(*command, "--web.config.file", str(web))
        assert f"key_file: cannot read {locked}/server.key: Permission denied" in line


def test_a_socket_where_none_may_be_made(locked: Path) -> None:
    locked.parent.chmod(0o500)
    for folder in (locked, locked.parent):
        address = f"unix:{folder}/socket"
        line = refused(
            "serve", "--config.file", str(locked.parent / "config.yaml"), "--web.listen-address", address
        )
        assert f"cannot listen on {address}: Permission denied" in line


def test_a_watched_config_is_taken_again_once_it_can_be_read(folder: Path, tmp_path: Path) -> None:
    config, kept = folder / "config.yaml", folder / "kept"
    config.write_text(CONFIG)
    with serving(tmp_path / "out", config, "--config.watch") as (exporter, _):
        config.rename(kept)
        os.mkfifo(config)
        assert "an empty pipe" in exporter.says(r"failed to load configuration;(.*)")
        config.unlink()
        kept.rename(config)
        exporter.says(r"failed to load configuration;(?:.|\n)*(configuration loaded)")
