"""What a new vendor costs: the files in tests/data/sixth and an entry in the registry, nothing else."""

import json
import re
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import requests

from exporter.simulator import app
from tests.command import run, serving, vendor_beside
from tests.data.sixth import simulator
from tests.data.sixth.provider import Sixth
from tests.generate import listings, pacing, probes, systems
from tests.simulator.conftest import serving as simulating
from tests.systems import DATA, GONE, Case, cases, masked, state_of, states_on_page
from tests.test_plugins import PROVIDERS, install
from tests.vendor import read_samples

FOLDER = DATA / "sixth"
PAGE = FOLDER / "page.md"


@pytest.fixture
def env(tmp_path: Path) -> Mapping[str, str]:
    """The environment of a command whose registry has the sixth provider."""
    site = tmp_path / "site"
    install(site, "", {PROVIDERS: {"sixth": "tests.data.sixth.provider:Sixth"}}, "sixth")
    return {"PYTHONPATH": str(site)}


@pytest.fixture
def example(tmp_path: Path) -> Path:
    """The configuration on the vendor's page."""
    file = tmp_path / "example.yaml"
    file.write_text(PAGE.read_text().partition("```yaml\n")[2].partition("```")[0])
    return file


def test_its_configuration_is_checked(env: Mapping[str, str], example: Path) -> None:
    assert run("check", str(example), **env).returncode == 0
    example.write_text(example.read_text().replace("team: web", "taem: web"))
    checked = run("check", str(example), **env)
    assert checked.returncode == 1
    assert "systems.forge.team: is missing" in checked.stdout
    assert "systems.forge.taem: unknown key; did you mean team?" in checked.stdout


def test_schema_and_reference_have_its_keys(env: Mapping[str, str]) -> None:
    schema = json.loads(run("schema", **env).stdout)
    assert schema["$defs"]["SixthDiscover"]["description"] == "The builds of the team."
    reference = run("docs", "config", **env).stdout
    assert "### `sixth`" in reference
    assert re.search(r"^\| `team` \|.*\| name of the team \|$", reference, re.MULTILINE)
    assert re.search(r"^\| `build` \|.*\| id of the build \|$", reference, re.MULTILINE)


@pytest.mark.parametrize("case", list(cases(FOLDER)), ids=str)
def test_the_page_shows_exactly_what_is_promised(case: Case, env: Mapping[str, str], tmp_path: Path) -> None:
    with vendor_beside(lambda asked: case.responses.get(asked.path, GONE)) as vendor:
        config, began = tmp_path / "config.yaml", time.time()
        config.write_text(case.config(vendor.url))
        with serving(tmp_path / "exporter", config, **env) as (_, address):
            page = requests.get(f"{address}/metrics", timeout=60).text
    assert masked(page, began, time.time()) == case.expected.read_text().splitlines()


@pytest.fixture
def exporter(env: Mapping[str, str], tmp_path: Path) -> Iterator[str]:
    """The address of an exporter that reads the simulated vendor."""
    vendors = (*app.VENDORS, simulator)
    with simulating(lambda base_url: app.create_app(base_url=base_url, vendors=vendors)) as base_url:
        page = requests.get(base_url, timeout=60).text
        assert f"{base_url}/sixth" in page
        assert simulator.NOTE in page
        config = tmp_path / "config.yaml"
        config.write_text(requests.get(f"{base_url}/config.yaml", timeout=60).text)
        with serving(tmp_path / "exporter", config, **env) as (_, address):
            yield address


def test_its_simulated_jobs_are_scraped_probed_and_discovered(exporter: str) -> None:
    samples = read_samples(requests.get(f"{exporter}/metrics", timeout=60).text)
    assert samples.state("17") == "running"
    assert samples.state("18") == "queued"
    assert samples.get_one("remote_job_info", provider="sixth", job_id="17", job_name="Nightly") == 1
    assert samples.get_one("remote_job_system_up", system="forge") == 1
    probe = requests.get(f"{exporter}/probe", {"system": "forge", "build": "17"}, timeout=60)
    assert read_samples(probe.text).get_one("probe_success") == 1
    targets = requests.get(f"{exporter}/sd", timeout=60).json()
    assert {"forge/17", "forge/18"} <= {target["labels"]["instance"] for target in targets}


def test_its_page_tells_every_word_and_what_it_becomes() -> None:
    told = states_on_page(PAGE)
    assert {word: state_of(FOLDER, Sixth, word).value for word in told} == told
    assert set(told) == set(Sixth.states)


def test_the_generated_tables_have_it(tmp_path: Path) -> None:
    registry = {"sixth": Sixth}
    (tmp_path / "sixth.md").write_text(PAGE.read_text())
    assert "| [A sixth system](sixth.md) | `sixth` |" in systems(registry, tmp_path)
    assert "| `sixth` | One request. | 20, then every 60 s; the first again after a change |" in pacing(
        registry
    )
    assert "| `sixth` | `newer_than` | The builds of the team. | One request for" in listings(registry)
    assert "SYSTEM build=…` |" in probes(registry)
