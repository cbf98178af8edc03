"""The worked example of the documentation: each of its commands prints what the page shows."""

import re
from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tests.command import ROOT, vendor_beside
from tests.vendor import Told

PAGE = (ROOT / "docs/guides/json-example.md").read_text(encoding="utf-8")
API = {
    f"/{name}": text
    for name, text in re.findall(r"^cat > (\S+) <<'END'\n(.*?)^END$", PAGE, re.DOTALL | re.MULTILINE)
}
STEPS = re.split(r"^## \d\. ", PAGE, flags=re.MULTILINE)[1:4]


def block(language: str, text: str) -> str:
    """The first block of a language in a part of the page."""
    found = re.search(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    assert found, text
    return found[1]


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.partition("\n")[0])
def test_each_step_prints_what_the_page_shows(step: str, run: Run, tmp_path: Path) -> None:
    command = block("sh", step).splitlines()[-1].split()[1:]
    shown = block("", step.partition("```sh")[2].partition("```\n")[2])
    expressions = [line for line in shown.splitlines() if "→" in line]
    assert expressions
    with vendor_beside(lambda asked: Told(API[asked.path].encode())) as vendor:
        config = tmp_path / "config.yaml"
        config.write_text(block("yaml", step).replace("http://127.0.0.1:8000", vendor.url))
        said = run(*(str(config) if word == config.name else word for word in command)).stdout
    assert [line for line in expressions if line not in said] == []


def test_check_names_the_expression_of_the_page_that_is_not_complete(run: Run, tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(block("yaml", STEPS[1]).replace("progress: percent", 'progress: "percent / "'))
    (line,) = re.findall(r"^config\.yaml(:\d+: systems\..*)$", PAGE, re.MULTILINE)
    assert f"{config}{line}\n" in run("check", str(config)).stdout
