"""What an installation of the exporter consists of: its dependencies, and the libraries in their wheels."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import Distribution, distribution
from pathlib import Path

import pycurl
from packaging.requirements import Requirement

REQUIREMENTS = Path(__file__).resolve().parents[2] / "requirements"

_SPDX = {
    "apache software license": "Apache-2.0",
    "apache": "Apache-2.0",
    "bsd 2-clause license": "BSD-2-Clause",
    "gpl-3.0": "GPL-3.0-only",
    "mit license": "MIT",
    "mozilla public license 2.0 (mpl 2.0)": "MPL-2.0",
    "apache 2.0": "Apache-2.0",
}
"""The expression of SPDX for what distributions write that do not use it."""
_UNNAMED = {
    "axe-playwright-python": "MIT AND MPL-2.0",
    "jinja2": "BSD-3-Clause",
    "promql-parser": "Apache-2.0",
}
"""Licences of the repositories of distributions whose metadata has none, with what their wheels contain."""


@dataclass(frozen=True)
class Component:
    """A part of an installation.

    Args:
        licence: an expression of SPDX.
        needs: names of the components that it uses.
    """

    name: str
    version: str
    licence: str
    needs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Library:
    """A library in C that the wheels of pycurl contain.

    Args:
        name: as in SBOMs.
        shown: its name in the version that libcurl prints, if that has one.
        files: how its files in the wheel begin, without ``lib``.
        vendor: of its CPE name.
    """

    name: str
    licence: str
    shown: str = ""
    files: tuple[str, ...] = ()
    vendor: str = ""


LIBRARIES = (
    Library("libcurl", "curl", "libcurl", ("curl",), "haxx"),
    Library("openssl", "Apache-2.0", "OpenSSL", ("ssl", "crypto"), "openssl"),
    # Of the machine where it is not in the wheel.
    Library("zlib", "Zlib", "zlib", ("z",), "zlib"),
    Library("brotli", "MIT", "brotli", ("brotlicommon", "brotlidec"), "google"),
    Library("zstd", "BSD-3-Clause OR GPL-2.0-only", "zstd", ("zstd",), "facebook"),
    Library("nghttp2", "MIT", "nghttp2", ("nghttp2",), "nghttp2"),
    Library("nghttp3", "MIT", "nghttp3", ("nghttp3",)),
    Library("ngtcp2", "MIT", "ngtcp2", ("ngtcp2", "ngtcp2_crypto_ossl", "ngtcp2_crypto_quictls")),
    Library("sfparse", "MIT", "", ("sfparse",)),
    Library("libpsl", "MIT", "libpsl", ("psl",)),
    Library("libidn2", "LGPL-3.0-or-later OR GPL-2.0-or-later", "libidn2", ("idn2",), "gnu"),
    Library("libunistring", "LGPL-3.0-or-later OR GPL-2.0-or-later", "", ("unistring",), "gnu"),
    Library("libssh2", "BSD-3-Clause", "libssh2", ("ssh2",), "libssh2"),
    Library("krb5", "MIT", "mit-krb5", ("krb5", "k5crypto", "krb5support", "gssapi_krb5", "com_err"), "mit"),
)


def pins(lock: str) -> dict[str, str]:
    """The version of each distribution that a lock file pins."""
    lines = (REQUIREMENTS / lock).read_text(encoding="utf-8").splitlines()
    pinned = [line.rstrip(" \\") for line in lines if "==" in line]
    return {Requirement(line).name: line.partition("==")[2] for line in pinned}


def locked(lock: str) -> list[Component]:
    """The distributions of a lock file, as they are installed."""
    names = {_canonical(name) for name in pins(lock)}
    found = [(name, distribution(name)) for name in sorted(names)]
    return [
        Component(name, one.version, licence(one), tuple(sorted({*_needed(one)} & names)))
        for name, one in found
    ]


def licence(installed: Distribution) -> str:
    """The expression of SPDX that a distribution declares, if need be in older words.

    Raises:
        ValueError: it declares none that is known.
    """
    metadata = installed.metadata
    name = _canonical(metadata["Name"])
    if expression := metadata["License-Expression"] or _UNNAMED.get(name):
        return str(expression)
    classifiers = [one.rpartition(" :: ")[2] for one in metadata.get_all("Classifier") or ()]
    for words in (metadata["License"] or "", *classifiers):
        if spdx := _SPDX.get(words.lower()):
            return spdx
        if re.fullmatch(r"[A-Za-z]+-\d[\w.-]*|MIT( OR [\w.-]+)?", words):
            return str(words)
    raise ValueError(f"the licence of {name} is not known; add its words to {__name__}")


def bundled() -> list[Component]:
    """The libraries of the installed pycurl; the version is empty where nothing says it.

    Raises:
        ValueError: there is one that `LIBRARIES` lacks.
    """
    shown = dict(re.findall(r"([\w-]+)/(\S+)", pycurl.version))
    files = set(files_of_libraries())
    unknown = shown.keys() - {one.shown for one in LIBRARIES} - {"PycURL"}
    unknown |= files - {name for one in LIBRARIES for name in one.files}
    if unknown:
        raise ValueError(f"pycurl contains {sorted(unknown)}; add them to {__name__}")
    return [
        Component(one.name, shown.get(one.shown, ""), one.licence)
        for one in LIBRARIES
        if one.shown in shown or files & {*one.files}
    ]


def files_of_libraries() -> Iterator[str]:
    """The names of the shared libraries in the wheel of pycurl, without ``lib`` and what follows the name."""
    for file in distribution("pycurl").files or ():
        if match := re.match(
            r"(?:pycurl\.libs|.*\.dylibs)/lib([A-Za-z]\w*?\d*)(?:-[0-9a-f]{8})?\.", str(file)
        ):
            yield match[1]


def _needed(installed: Distribution) -> Iterator[str]:
    for line in installed.requires or ():
        needed = Requirement(line)
        if needed.marker is None or needed.marker.evaluate({"extra": ""}):
            yield _canonical(needed.name)


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
