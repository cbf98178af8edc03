"""The Dockerfile by its text: what hadolint says of it, what it does not look at, and the health command."""

import json
import re
import socket
import subprocess
import sys
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

import pytest

from tests.command import COMMAND, ROOT, running
from tests.vendor import caps_config
from tests.web.secured import TLS, VERIFY, Place, users

LABELS = {
    *("base.name", "created", "description", "documentation", "licenses", "revision"),
    *("source", "title", "url", "vendor", "version"),
}


@dataclass(frozen=True)
class Step:
    """One instruction of a Dockerfile."""

    word: str
    text: str


def steps() -> list[Step]:
    """All instructions, each on one line."""
    lines = (ROOT / "Dockerfile").read_text().splitlines(keepends=True)
    text = "".join(line for line in lines if not line.startswith("#")).replace("\\\n", " ")
    return [Step(*line.split(maxsplit=1)) for line in text.splitlines() if line.strip()]


def final_stage() -> list[Step]:
    """What the image is made of, from its last ``FROM`` on."""
    everything = steps()
    last = max(number for number, step in enumerate(everything) if step.word == "FROM")
    return everything[last:]


def only(word: str) -> str:
    """The text of an instruction that the final stage has once."""
    (text,) = [step.text for step in final_stage() if step.word == word]
    return text


def test_hadolint_finds_nothing() -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    found = subprocess.run(
        [hadolint, "--config", ROOT / ".hadolint.yaml", ROOT / "Dockerfile"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (found.stdout, found.returncode) == ("", 0)


def test_the_user_is_a_number_that_kubernetes_can_check() -> None:
    user, group = only("USER").split(":")
    assert int(user) > 0 < int(group)


def test_every_label_of_the_oci_is_there() -> None:
    assert set(re.findall(r"org\.opencontainers\.image\.([\w.]+)=", only("LABEL"))) == LABELS


def test_base_images_can_be_replaced_and_none_is_whatever_is_newest() -> None:
    given = dict(step.text.split("=", 1) for step in steps() if step.word == "ARG" and "IMAGE=" in step.text)
    used = [step.text.split()[0] for step in steps() if step.word == "FROM"]
    assert [name for name in used if name != "dependencies"] == [f"${{{name}}}" for name in given]
    assert all(re.fullmatch(r"[\w./-]+:(?!latest$)[\w.-]+", image) for image in given.values())


def test_nothing_is_fetched_but_what_has_a_hash() -> None:
    assert not [step for step in steps() if step.word == "ADD" or "http://" in step.text]
    runs = [part for step in steps() if step.word == "RUN" for part in step.text.split("&&")]
    installs = [part for part in runs if re.search(r"\binstall\b", part)]
    assert len(installs) == 3, "dependencies, what builds, and the wheel"
    assert [part for part in installs if "--require-hashes" not in part] == [
        part for part in installs if "--no-deps" in part
    ]


def test_what_is_installed_is_a_layer_that_only_its_own_pins_change() -> None:
    """A pin of a tool must not make every node fetch the dependencies again."""
    stage = steps()
    while stage.pop(0).text != "${BUILD_IMAGE} AS dependencies":
        pass
    stage = list(takewhile(lambda step: step.word != "FROM", stage))
    assert [step.word for step in stage] == ["ENV", "ENV", "WORKDIR", "COPY", "RUN"]
    assert stage[3].text.split() == ["requirements/runtime.txt", "requirements/"]
    copies = [step.text.split()[0] for step in final_stage() if step.word == "COPY"]
    assert copies == ["--from=dependencies", "--from=build"]


def test_the_final_stage_runs_nothing_so_it_needs_no_shell() -> None:
    assert "RUN" not in {step.word for step in final_stage()}
    for word in ("ENTRYPOINT", "CMD"):
        assert json.loads(only(word))
    assert json.loads(only("HEALTHCHECK").partition("CMD ")[2])


def test_the_build_is_sent_nothing_but_what_is_named() -> None:
    rules = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line[:1] not in {"", "#"}]
    assert rules[0] == "**"
    named = [rule[1:].removesuffix("/**") for rule in rules if rule.startswith("!")]
    assert all((ROOT / name).exists() for name in named)
    copied = {path for step in steps() if step.word == "COPY" for path in step.text.split()[:-1]}
    assert {*named} == {path for path in copied if (ROOT / path).exists()}


def health(port: int) -> int:
    """How the health command of the image ends for a server at this port."""
    _python, *arguments = json.loads(only("HEALTHCHECK").partition("CMD ")[2])
    arguments = [argument.replace("10072", str(port)).replace("4)", "2)") for argument in arguments]
    return subprocess.run([sys.executable, *arguments], capture_output=True, check=False).returncode


@pytest.mark.parametrize("guard", ["a certificate", "certificates of clients", "passwords"])
def test_an_exporter_is_healthy_whatever_guards_it(tmp_path: Path, guard: str) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("systems:\n" + caps_config("http://127.0.0.1:1"))
    guards = {"a certificate": TLS, "certificates of clients": TLS + VERIFY, "passwords": users("prometheus")}
    web = Place(tmp_path).write(guards[guard])
    serve = (*COMMAND, "serve", "--config.file", str(config), "--web.listen-address", "127.0.0.1:0")
    with running(tmp_path / "exporter", *serve, "--web.config.file", str(web)) as exporter:
        port = int(exporter.says(r"listening.*https?://127\.0\.0\.1:(\d+)"))
        assert health(port) == 0
    assert health(port) == 1


def test_an_exporter_that_answers_nothing_is_ill() -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        assert health(mute.getsockname()[1]) == 1
