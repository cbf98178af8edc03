"""Container images built and run without a registry and without a daemon.

What costs time is made once and kept in the user's cache folder: a tar file of this machine's own release
with Python, and the wheels that the lock files pin. Delete the folder to begin anew.
"""

import fcntl
import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from tests.command import ROOT

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "remote-job-exporter"
EPOCH = "1700000000"
NOBODY = "65532:65532"

_OFFLINE = re.compile(
    r"connection|resolve|resolution|timed out|network|couldn't download|failed getting", re.IGNORECASE
)
# As a runtime does it: a root that cannot be written to, the config mounted into it, a /proc of its own.
_ENTER = """
mount --bind "$1" "$1"
mount --bind "$2" "$1/etc/remote-job-exporter"
mount -o remount,bind,ro "$1"
mount -t proc proc "$1/proc"
shift 2
exec env -i "$@"
"""
_UNSHARE = ("unshare", "--mount", "--pid", "--fork", "--kill-child")


def run(*command: str | Path, seconds: float = 300) -> str:
    """What it prints; an assertion error with the end of it when it fails."""
    ended = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=seconds, check=False
    )
    assert ended.returncode == 0, f"{command[0]} ended with {ended.returncode}:\n{ended.stdout[-4000:]}"
    return ended.stdout


def or_skip(fetch: Callable[[], object], what: str) -> None:
    """Skips the test where the network is what is missing; any other fault is one."""
    try:
        fetch()
    except AssertionError as error:
        if _OFFLINE.search(str(error)):
            pytest.skip(f"{what} cannot be fetched from here: {str(error).strip().splitlines()[-1]}")
        raise


def may_mount() -> None:
    """Skips the test where this user may not do what a build and a run in a chroot need."""
    if os.geteuid() != 0:
        pytest.skip("images are built in a chroot, which needs root")
    tried = subprocess.run(
        [*_UNSHARE, "mount", "-t", "proc", "proc", "/proc"], check=False, capture_output=True
    )
    if tried.returncode:
        pytest.skip(f"nothing may be mounted here: {tried.stderr.decode().strip()}")


@contextmanager
def _once(name: str) -> Iterator[Path]:
    """A path in the cache, and nobody else who makes it meanwhile."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield CACHE / name


def base() -> Path:
    """A tar file of this machine's own release with Python in it, unpacked but not configured."""
    release = platform.freedesktop_os_release().get("VERSION_CODENAME", "stable")
    with _once(f"python-{release}-{platform.machine()}.tar") as tar:
        if not tar.exists():
            with TemporaryDirectory(dir=CACHE) as folder:
                or_skip(lambda: _unpack(release, Path(folder)), f"the packages of {release}")
                (Path(folder) / "base.tar").rename(tar)
    return tar


def _unpack(release: str, folder: Path) -> None:
    tree = folder / "tree"
    # Configuring every package takes most of debootstrap's time, and Python runs without.
    include = "--include=python3,python3-pip-whl"
    run("debootstrap", "--foreign", "--variant=minbase", include, release, tree)
    for package in tree.glob("var/cache/apt/archives/*.deb"):
        run("dpkg-deb", "--extract", package, tree)
    (pip,) = tree.glob("usr/share/python-wheels/pip-*.whl")
    shutil.unpack_archive(pip, tree / "usr" / "lib" / "python3" / "dist-packages", "zip")
    run("chroot", tree, "python3", "-m", "compileall", "-q", "/usr/lib/python3/dist-packages/pip")
    unread = (f"./usr/share/{name}/*" for name in ("doc", "info", "locale", "man"))
    leave = ("./debootstrap", "./proc/*", "./var/cache/apt/*", "./var/lib/apt/*", *unread)
    run("tar", "-C", tree, *(f"--exclude={path}" for path in leave), "-cf", folder / "base.tar", ".")


def wheels(python: str) -> Path:
    """A folder of what the lock files pin, for that version of Python on Linux."""
    locks = [ROOT / "requirements" / name for name in ("runtime.txt", "build.txt")]
    pinned = hashlib.sha256(b"".join(lock.read_bytes() for lock in locks)).hexdigest()[:16]
    with _once(f"wheels-{python}-{pinned}") as folder:
        if not folder.exists():
            with TemporaryDirectory(dir=CACHE) as fetched:
                for lock in locks:
                    or_skip(partial(_download, python, fetched, "-r", lock), "wheels")
                shutil.copytree(fetched, folder)
    return folder


def _download(python: str, folder: str, *wanted: str | Path) -> None:
    tags = [f"{tag}_{platform.machine()}" for tag in ("manylinux_2_28", "manylinux_2_17", "manylinux2014")]
    run(
        *(sys.executable, "-m", "pip", "download", "--quiet", "--require-hashes", "--only-binary=:all:"),
        *(f"--platform={tag}" for tag in tags),
        *(f"--python-version={python}", "--dest", folder, *wanted),
    )


@dataclass(frozen=True)
class Image:
    """A built image, unpacked as a container would see it."""

    root: Path
    config: dict[str, Any]

    def command(self, config: Path, *command: str) -> tuple[str, ...]:
        """What runs this in the image: its user, its variables, this folder as its configuration."""
        enter = (*_UNSHARE, "sh", "-euc", _ENTER, "sh", str(self.root), str(config), *self.config["Env"])
        chroot = (shutil.which("chroot") or "chroot", f"--userspec={self.config['User']}", "--groups=")
        return (*enter, *chroot, str(self.root), *command)

    @property
    def health(self) -> tuple[str, ...]:
        """The command that tells whether it is well."""
        kind, *command = self.config["Healthcheck"]["Test"]
        assert kind == "CMD", "the image needs no shell"
        return tuple(command)


class Buildah:
    """buildah with a store of its own, that is gone with it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __call__(self, *arguments: str | Path) -> str:
        """Runs one of its commands."""
        places = ("--root", self._folder / "store", "--runroot", self._folder / "run")
        return run("buildah", *places, *arguments).strip()

    def load(self, tar: Path, name: str) -> None:
        """Gives a tree the name that ``FROM`` asks for."""
        container = self("from", "scratch")
        run("tar", "-C", self("mount", container), "-xf", tar)
        self("config", "--env", "PATH=/usr/local/bin:/usr/bin:/bin", container)
        self("commit", "--quiet", "--rm", container, name)

    def load_python_of(self, name: str, reduced: str, libraries: Iterable[str]) -> None:
        """The same for its Python, what that is linked with, and these libraries: no shell, no other files.

        As in the images of the distroless project, but without their time zones, certificates and users.
        """
        root, container = self.unpacked(name).root, self("from", "scratch")
        (python,) = (file for file in root.glob("usr/bin/python3.*") if file.suffix[1:].isdigit())
        linked = [python, *root.glob(f"usr/lib/{python.name}/lib-dynload/*.so")]
        listed = run("chroot", root, "ldd", *(f"/{file.relative_to(root)}" for file in linked))
        kept = {*re.findall(r"/\S+(?= \(0x)", listed), "/usr/bin/python3", f"/usr/lib/{python.name}"}
        kept |= {f"/{file.relative_to(root)}" for one in libraries for file in root.glob(f"lib/*/{one}")}
        tar = self._folder / "python.tar"
        # A library that is a link becomes the file that the link leads to.
        run("tar", "-C", root, "--dereference", "-cf", tar, *(path[1:] for path in kept))
        target = Path(self("mount", container))
        run("tar", "-C", target, "-xf", tar)
        for folder in ("etc", "proc"):
            (target / folder).mkdir(exist_ok=True)
        self("commit", "--quiet", "--rm", container, reduced)

    def build(self, context: Path, tag: str, *options: str | Path) -> None:
        """Builds anew, with nothing taken of earlier builds."""
        self(
            *("build", "--quiet", "--no-cache", "--pull-never", "--isolation", "chroot", "--network", "host"),
            *("--ulimit", "nofile=1024:1024", "--format", "docker", "--timestamp", EPOCH, "--tag", tag),
            *(*options, context),
        )

    def unpacked(self, tag: str) -> Image:
        """The image as a container would see it."""
        told = json.loads(self("inspect", "--type", "image", tag))["Docker"]
        root = Path(self("mount", self("from", "--pull-never", tag)))
        return Image(root, told["config"])

    def end(self) -> None:
        """Takes everything away, mounts first."""
        self("umount", "--all")
        self("rm", "--all")
        shutil.rmtree(self._folder)
