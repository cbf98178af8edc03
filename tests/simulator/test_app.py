import ast
from pathlib import Path

import pytest
import requests
import yaml

import exporter.simulator
from exporter.config import load
from exporter.providers import PROVIDERS
from exporter.simulator import config, create_app
from tests.simulator.conftest import Simulated, serving


def test_the_config_is_served_and_names_every_system(simulated: Simulated, tmp_path: Path) -> None:
    response = simulated.get("/config.yaml")
    assert response.status_code == 200
    assert response.text == config(simulated.base_url) == config(simulated.base_url + "/")
    (tmp_path / "config.yaml").write_text(response.text)
    load(tmp_path / "config.yaml")
    systems = yaml.safe_load(response.text)["systems"]
    assert {system["provider"] for system in systems.values()} == set(PROVIDERS) - {"json"}
    for system in systems.values():
        assert system["base_url"].startswith(simulated.base_url + "/")
    names = [job["name"] for system in systems.values() for job in system["jobs"]]
    assert len(names) == len(set(names)) >= 40


def test_the_page_lists_the_systems_on_one_screen(simulated: Simulated) -> None:
    response = simulated.get("/")
    assert response.headers["Content-Type"].startswith("text/plain")
    assert len(response.text.splitlines()) <= 24
    for name, system in simulated.systems.items():
        assert name in response.text
        assert system["base_url"] in response.text


def test_without_a_base_url_it_is_taken_from_the_request() -> None:
    with serving(lambda _: create_app()) as base_url:
        assert requests.get(f"{base_url}/config.yaml", timeout=60).text == config(base_url)


@pytest.mark.parametrize("speed", [0.0, -1.0, float("nan"), float("inf")])
def test_a_speed_that_is_not_positive_is_refused(speed: float) -> None:
    with pytest.raises(ValueError, match="more than 0"):
        create_app(speed=speed)


def test_the_simulator_imports_nothing_else_of_the_exporter() -> None:
    (folder,) = exporter.simulator.__path__
    for file in Path(folder).glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            ours = [name for name in names if name.partition(".")[0] == "exporter"]
            assert all(name.startswith("exporter.simulator") for name in ours), file
