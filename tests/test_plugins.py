"""Providers and credentials of other distributions: the documented one at work, and each broken one told."""

import re
import subprocess
import sys
import textwrap
import tomllib
from collections.abc import Mapping
from pathlib import Path

import pytest
import requests

from tests.command import ROOT, environment, run, serving, vendor_beside
from tests.vendor import Asked, Told, caps_config, read_samples

PAGE = (ROOT / "docs" / "extend" / "plugins.md").read_text(encoding="utf-8")
PROVIDERS = "remote_job_exporter.providers"
AUTH = "remote_job_exporter.auth"


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)


CODE = "\n\n".join(blocks("python"))


def install(
    folder: Path, code: str, points: Mapping[str, Mapping[str, str]], distribution: str = "forge"
) -> None:
    """What an installer leaves behind: the module, and a folder that tells of it."""
    about = folder / f"{distribution}-1.0.dist-info"
    about.mkdir(parents=True)
    about.joinpath("METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n")
    lines = []
    for group, names in points.items():
        lines += [f"[{group}]", *(f"{name} = {target}" for name, target in names.items())]
    about.joinpath("entry_points.txt").write_text("\n".join(lines) + "\n")
    folder.joinpath(f"{distribution}.py").write_text(code)


def documented() -> Mapping[str, Mapping[str, str]]:
    project = tomllib.loads(blocks("toml")[0])["project"]
    points: Mapping[str, Mapping[str, str]] = project["entry-points"]
    return points


def config(folder: Path, url: str) -> Path:
    file = folder / "config.yaml"
    file.write_text(blocks("yml")[0].replace("https://forge.example", url))
    return file


def test_the_documented_provider_has_at_most_fifty_lines() -> None:
    assert len(blocks("python")[0].splitlines()) <= 50


def test_the_documented_plugin_reads_a_job_and_is_shown(tmp_path: Path) -> None:
    site = tmp_path / "site"
    install(site, CODE, documented())

    def answer(asked: Asked) -> Told:
        known = asked.path == "/builds/17" and asked.headers.get("x-forge-key") == "sesame"
        return Told({"state": "busy", "done": 3, "of": 4}) if known else Told(status=401)

    env = {"PYTHONPATH": str(site), "FORGE_KEY": "sesame"}
    with (
        vendor_beside(answer) as forge,
        serving(tmp_path, config(tmp_path, forge.url), **env) as (exporter, url),
    ):
        samples = read_samples(requests.get(f"{url}/metrics", timeout=60).text)
        assert samples.state("17") == "running"
        assert samples.get_one("remote_job_info", provider="forge", job_id="17") == 1
        probed = read_samples(requests.get(f"{url}/probe?system=works&build=17", timeout=60).text)
        assert probed.get_one("probe_success") == 1
        page = requests.get(f"{url}/", timeout=60).text
        assert "provider forge (forge 1.0)" in page
        assert "auth forge_key (forge 1.0)" in page
        listening = next(line for line in exporter.stderr.splitlines() if "listening" in line)
        assert "provider forge (forge 1.0)" in listening


@pytest.mark.parametrize("command", [("schema",), ("docs", "config")])
def test_schema_and_reference_know_the_plugin(tmp_path: Path, command: tuple[str, ...]) -> None:
    install(tmp_path, CODE, documented())
    shown = run(*command, PYTHONPATH=str(tmp_path))
    assert shown.returncode == 0
    assert "Builds of a forge" in shown.stdout
    assert "the key of the account" in shown.stdout
    assert "Builds of a forge" not in run(*command).stdout


AFTERWARDS = """
import sys
from pathlib import Path
from exporter import config, plugins
first, second = map(Path, sys.argv[1:])
config.load(first)
registry, _ = plugins.load()
print(config.load(second, registry=registry).systems[0].provider.name)
"""


def test_a_plugin_is_known_to_a_config_also_when_another_one_was_read_before(tmp_path: Path) -> None:
    install(tmp_path / "site", CODE, documented())
    first = tmp_path / "first.yaml"
    first.write_text("systems:\n" + caps_config("https://a.example"))
    command = [sys.executable, "-c", AFTERWARDS, str(first), str(config(tmp_path, "https://forge.example"))]
    env = environment({"PYTHONPATH": str(tmp_path / "site"), "FORGE_KEY": "sesame"})
    ended = subprocess.run(
        command, capture_output=True, text=True, timeout=60, check=False, cwd=ROOT, env=env
    )
    assert (ended.stdout, ended.stderr) == ("forge\n", "")


def test_check_tells_errors_in_the_keys_of_a_plugin(tmp_path: Path) -> None:
    install(tmp_path / "site", CODE, documented())
    file = config(tmp_path, "https://forge.example")
    env = {"PYTHONPATH": str(tmp_path / "site"), "FORGE_KEY": "sesame"}
    assert run("check", str(file), **env).returncode == 0
    file.write_text(file.read_text().replace("build:", "bulid:"))
    checked = run("check", str(file), **env)
    assert checked.returncode == 1
    assert "systems.works.jobs[0].build: is missing" in checked.stdout


CHANGED = "class Odd(Forge):\n    "
ODD_KEY = "class Odd(ForgeKey):\n    "
DIGEST = """
from requests.auth import HTTPDigestAuth
class Odd(HTTPDigestAuth):
    kind = "odd"
"""
HOOKING = """
class Odd(ForgeKey):
    kind = "odd"
    def apply(self, request):
        request.register_hook("response", print)
"""
WRAPPING = """
from requests.auth import HTTPDigestAuth
class Odd(ForgeKey):
    kind = "odd"
    def apply(self, request):
        HTTPDigestAuth("user", "password")(request)
"""
UNFINISHED = """
class Odd(Provider):
    name, Options, JobKeys = "odd", ForgeOptions, ForgeJob
"""
UNFINISHED_KEY = """
from exporter.auth.credential import Credential
class Odd(Credential):
    kind, Keys = "odd", ForgeKeyKeys
"""
NAMELESS = """
class Odd(Provider):
    Options, JobKeys = ForgeOptions, ForgeJob
"""
TYPELESS = """
class Odd(ForgeKey):
    kind, Keys = "odd", ForgeJob
"""
TIMED = """
class Timed(Keys):
    timeout: str = ""
class Odd(Forge):
    name, Options = "odd", Timed
"""
UNLISTED = """
from exporter.providers.base import DiscoverKeys
class Odd(Forge):
    name, Discover = "odd", DiscoverKeys
"""

BROKEN = {
    "not_imported": (PROVIDERS, "raise ValueError('sesame')", "cannot be imported: ValueError"),
    "exits": (PROVIDERS, "raise SystemExit(0)", "cannot be imported: SystemExit"),
    "not_there": (PROVIDERS, "", "cannot be imported: AttributeError"),
    "no_class": (PROVIDERS, "Odd = Forge.identify", "is not a subclass of exporter.providers.base.Provider"),
    "no_provider": (PROVIDERS, "class Odd: ...", "is not a subclass of exporter.providers.base.Provider"),
    "no_credential": (AUTH, "class Odd: ...", "is not a subclass of exporter.auth.credential.Credential"),
    "no_name": (PROVIDERS, NAMELESS, "has no name"),
    "other_name": (PROVIDERS, CHANGED + "pass", "its name differs from the name of the entry point"),
    "other_kind": (AUTH, ODD_KEY + "pass", "its kind differs from the name of the entry point"),
    "options": (PROVIDERS, CHANGED + "name, Options = 'odd', dict", "its Options is not a subclass of"),
    "job_keys": (PROVIDERS, CHANGED + "name, JobKeys = 'odd', None", "its JobKeys is not a subclass of"),
    "no_type_of_a_key": (
        PROVIDERS,
        "class Keys(ForgeJob):\n    more: 'Missing'\n" + CHANGED + "name, JobKeys = 'odd', Keys",
        "its JobKeys cannot be used: PydanticUndefinedAnnotation",
    ),
    "discover": (PROVIDERS, CHANGED + "name, Discover = 'odd', ForgeJob", "its Discover is not a subclass"),
    "no_listing": (PROVIDERS, UNLISTED, "has Discover but no method discover"),
    "keys": (
        AUTH,
        ODD_KEY + "kind, Keys = 'odd', int",
        "its Keys is not a subclass of exporter.config_types.Keys",
    ),
    "no_type": (AUTH, TYPELESS, 'Keys has no key type: Literal["odd"]'),
    "taken_keys": (PROVIDERS, TIMED, "its keys timeout are reserved"),
    "unfinished": (PROVIDERS, UNFINISHED, "does not define identify, read"),
    "unfinished_key": (AUTH, UNFINISHED_KEY, "does not define __init__, apply"),
    "digest": (AUTH, DIGEST, "registers response hooks"),
    "hooking": (AUTH, HOOKING, "registers response hooks"),
    "wrapping": (AUTH, WRAPPING, "registers response hooks"),
    "own_call": (
        AUTH,
        ODD_KEY + "kind = 'odd'\n    def __call__(self, request): return request",
        "has its own __call__, but only apply is called",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_plugin_is_one_line_that_names_it(tmp_path: Path, case: str) -> None:
    group, code, reason = BROKEN[case]
    install(tmp_path, f"{CODE}\n{textwrap.dedent(code)}\n", {group: {"odd": "forge:Odd"}})
    ended = run("schema", PYTHONPATH=str(tmp_path))
    assert ended.returncode == 1
    assert ended.stdout == ""
    (line,) = ended.stderr.splitlines()
    assert line.startswith(f"remote-job-exporter: plug-in forge 1.0, entry point odd of {group}: {reason}")
    assert "sesame" not in line


@pytest.mark.parametrize(("group", "name"), [(PROVIDERS, "caps"), (AUTH, "bearer")])
def test_a_name_of_ours_is_taken(tmp_path: Path, group: str, name: str) -> None:
    base, attribute = ("Forge", "name") if group == PROVIDERS else ("ForgeKey", "kind")
    install(
        tmp_path, f"{CODE}\nclass Odd({base}):\n    {attribute} = '{name}'\n", {group: {name: "forge:Odd"}}
    )
    ended = run("schema", PYTHONPATH=str(tmp_path))
    assert ended.returncode == 1
    assert ended.stderr.endswith(f"the {attribute} {name} is already in use\n")


def test_of_two_plugins_with_one_name_the_second_is_refused(tmp_path: Path) -> None:
    install(tmp_path, CODE, {PROVIDERS: {"forge": "forge:Forge"}})
    install(tmp_path, CODE, {PROVIDERS: {"forge": "smithy:Forge"}}, "smithy")
    ended = run("schema", PYTHONPATH=str(tmp_path))
    assert ended.returncode == 1
    (line,) = ended.stderr.splitlines()
    assert "plug-in smithy 1.0, entry point forge" in line
    assert line.endswith("the name forge is already in use")


@pytest.mark.parametrize("command", ["serve", "check", "probe"])
def test_no_command_begins_with_a_broken_plugin(tmp_path: Path, command: str) -> None:
    install(tmp_path, "raise ImportError", {PROVIDERS: {"forge": "forge:Forge"}})
    file = config(tmp_path, "https://forge.example")
    arguments = {
        "serve": ["--config.file", str(file)],
        "check": [str(file)],
        "probe": ["--config.file", str(file), "works", "build=17"],
    }
    ended = run(command, *arguments[command], PYTHONPATH=str(tmp_path))
    assert ended.returncode == 1
    (line,) = ended.stderr.splitlines()
    assert line.endswith("cannot be imported: ImportError")
