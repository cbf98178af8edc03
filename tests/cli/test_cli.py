"""The command as users start it: a process of its own, its flags, what it prints and how it ends."""

import asyncio
import json
import re
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
import yaml
from click import Group, Option
from click.testing import CliRunner
from jsonschema import Draft202012Validator
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics

from exporter import __version__
from exporter.cli.main import COMMANDS, cli, load_command
from exporter.config import ConfigError, load
from tests.cli.conftest import Run
from tests.command import COMMAND, ROOT, run_anew, running, serving, simulating, until, vendor_beside
from tests.vendor import Told, caps, caps_config, read_samples

CONFIGS = Path(__file__).parents[1] / "config"
GOOD = CONFIGS / "good" / "all.yaml"
BAD = CONFIGS / "bad" / "many_at_once.yaml"
FREE = "127.0.0.1:0"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A config of one job whose system nobody answers for."""
    file = tmp_path / "config.yaml"
    file.write_text("systems:\n" + caps_config("http://127.0.0.1:1"))
    return file


@pytest.fixture
def taken() -> Iterator[str]:
    """An address that somebody else listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


def get(url: str, **headers: str) -> requests.Response:
    return requests.get(url, headers=headers, timeout=20)


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ((), 2),
        (("check", str(GOOD)), 0),
        (("check", str(BAD)), 1),
        (("serve", str(BAD)), 1),
        (("serve", "--nope"), 2),
        (("probe", str(BAD), "docs"), 1),
        (("schema",), 0),
        (("docs", "metrics"), 0),
    ],
    ids=lambda value: " ".join(Path(each).name for each in value) if isinstance(value, tuple) else "",
)
def test_a_process_of_its_own_does_what_other_tests_run_in_theirs(
    arguments: tuple[str, ...], code: int, run: Run
) -> None:
    anew, here = run_anew(*arguments), run(*arguments)
    assert anew.returncode == code
    assert (anew.returncode, anew.stdout, anew.stderr) == (here.returncode, here.stdout, here.stderr)
    assert anew.stdout or anew.stderr


def test_serve_shows_all_systems_of_the_simulator(tmp_path: Path) -> None:
    with simulating(tmp_path / "simulator", "--seed", "3") as simulator:
        file = tmp_path / "simulated.yaml"
        file.write_text(get(f"{simulator}/config.yaml").text)
        systems = yaml.safe_load(file.read_text())["systems"]
        jobs = {name: len(system["jobs"]) for name, system in systems.items()}
        with serving(tmp_path / "exporter", file) as (exporter, address):
            page = get(f"{address}/metrics").text
            families = list(
                openmetrics(get(f"{address}/metrics", Accept="application/openmetrics-text").text)
            )
            assert exporter.end() == 0
    samples = read_samples(page)
    infos = [labels for labels, _ in samples.all("remote_job_info")]
    providers = {system["provider"] for system in systems.values()}
    assert {labels["provider"] for labels in infos} == providers
    # Beside those that the config names there may be those that were discovered.
    assert all(sum(labels["system"] == name for labels in infos) >= named for name, named in jobs.items())
    readable = [labels["system"] for labels, value in samples.all("remote_job_up") if value == 1]
    assert {labels["provider"] for labels in infos if labels["system"] in readable} == providers
    ups = [value for _, value in samples.all("remote_job_system_up")]
    assert ups == [1] * len(jobs)
    shown = {labels["job_id"] for labels, value in samples.all("remote_job_state") if value}
    assert len(shown) > 0.7 * len(infos)
    assert {"remote_job", "remote_job_state", "remote_job_exporter_build"} <= {
        family.name for family in families
    }


def test_serve_is_ready_soon_and_says_where(config: Path, tmp_path: Path) -> None:
    began = time.monotonic()
    with serving(tmp_path / "exporter", config) as (exporter, address):
        assert get(f"{address}/-/ready").status_code == 200
        assert time.monotonic() - began < 20
        assert exporter.end() == 0
    first, *_ = (line for line in exporter.stderr.splitlines() if "listening" in line)
    assert f"version={__version__}" in first
    assert exporter.stdout == ""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_scrape_under_way_finishes_before_the_end(number: signal.Signals, tmp_path: Path) -> None:
    asked, gate = threading.Event(), threading.Event()

    async def held() -> None:
        asked.set()
        await asyncio.to_thread(gate.wait, 20)

    config = tmp_path / "config.yaml"
    pages: list[str] = []
    with vendor_beside(lambda _: Told(caps(), after=held)) as docs:
        config.write_text("systems:\n" + caps_config(docs.url))
        with serving(tmp_path / "exporter", config) as (exporter, address):
            scraper = threading.Thread(target=lambda: pages.append(get(f"{address}/metrics").text))
            scraper.start()
            assert asked.wait(20)
            exporter.process.send_signal(number)
            until(lambda: "stopping" in exporter.stderr, "word of stopping")
            assert exporter.process.poll() is None
            gate.set()
            scraper.join(20)
            assert exporter.process.wait(20) == 0
    assert read_samples(pages[0]).state("p/0/en") == "succeeded"


def test_a_scrape_that_takes_longer_than_the_shutdown_timeout_is_left(tmp_path: Path) -> None:
    asked = threading.Event()

    async def never() -> None:
        asked.set()
        await asyncio.sleep(60)

    config = tmp_path / "config.yaml"
    with vendor_beside(lambda _: Told(caps(), after=never)) as docs:
        config.write_text("systems:\n" + caps_config(docs.url))
        flags = ("--web.shutdown-timeout", "0.2")
        with serving(tmp_path / "exporter", config, *flags) as (exporter, address):
            failed: list[Exception] = []

            def scrape() -> None:
                try:
                    get(f"{address}/metrics")
                except requests.ConnectionError as error:
                    failed.append(error)

            scraper = threading.Thread(target=scrape)
            scraper.start()
            assert asked.wait(20)
            began = time.monotonic()
            assert exporter.end() == 0
            assert time.monotonic() - began < 5
            scraper.join(20)
    assert len(failed) == 1


@pytest.mark.parametrize(
    "flags",
    [
        ("serve", "--config.file", str(GOOD), "--web.listen-address"),
        ("simulate", "--listen-address"),
        ("demo", "--web.listen-address", FREE, "--listen-address"),
        ("demo", "--listen-address", FREE, "--web.listen-address"),
    ],
    ids=" ".join,
)
def test_an_address_in_use_is_one_line_and_exit_code_1(flags: tuple[str, ...], taken: str, run: Run) -> None:
    ended = run(*flags, taken, REMOTE_JOB_EXPORTER_LOG_LEVEL="warning")
    assert ended.returncode == 1
    assert ended.stdout == ""
    (line,) = ended.stderr.splitlines()
    assert line.startswith(f"remote-job-exporter: cannot listen on {taken}: ")
    assert "in use" in line


def errors(file: Path) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(file)
    return [str(error) for error in caught.value.errors]


def test_serve_tells_every_error_of_the_config_on_its_own_line(run: Run) -> None:
    ended = run("serve", "--config.file", str(BAD))
    expected = errors(BAD)
    assert len(expected) > 5
    assert ended.returncode == 1
    assert ended.stdout == ""
    assert ended.stderr.splitlines() == [f"remote-job-exporter: {line}" for line in expected]


def test_check_tells_every_error_with_its_place(run: Run) -> None:
    ended = run("check", str(BAD))
    assert ended.returncode == 1
    assert ended.stdout.splitlines() == errors(BAD)
    assert ended.stderr == ""


def test_check_tells_programs_the_same_errors(run: Run) -> None:
    ended = run("check", str(BAD), "--format", "json")
    told = json.loads(ended.stdout)["errors"]
    assert ended.returncode == 1
    lines = [f"{one['file']}:{one['line']}: {one['path']}: {one['text']}" for one in told]
    assert lines == run("check", str(BAD)).stdout.splitlines()


def test_check_is_content_with_a_good_config(run: Run) -> None:
    named = yaml.safe_load(GOOD.read_text())["systems"].values()
    systems, jobs = len(named), sum(len(system["jobs"]) for system in named)
    ended = run("check", str(GOOD))
    assert (ended.returncode, ended.stdout) == (0, f"{GOOD}: {systems} systems, {jobs} jobs, no errors\n")
    ended = run("check", str(GOOD), "--format", "json")
    assert ended.returncode == 0
    assert json.loads(ended.stdout) == {"errors": [], "warnings": [], "systems": systems, "jobs": jobs}


def test_check_counts_one_system_and_one_job_in_the_singular(config: Path, run: Run) -> None:
    assert run("check", str(config)).stdout == f"{config}: 1 system, 1 job, no errors\n"


def test_check_of_a_file_that_is_not_there_is_an_error_of_one_line(tmp_path: Path, run: Run) -> None:
    ended = run("check", str(tmp_path / "absent.yaml"))
    assert ended.returncode == 1
    assert ended.stdout.count("\n") == 1
    assert ended.stdout.startswith(str(tmp_path / "absent.yaml"))


@pytest.mark.parametrize(
    ("flags", "about"),
    [
        (("nope",), "nope"),
        (("serve",), "--config.file"),
        (("serve", "--nope"), "--nope"),
        (("serve", "--config.file", str(GOOD), "--web.timeout-offset", "-1"), "--web.timeout-offset"),
        (("serve", "--config.file", str(GOOD), "--web.timeout-offset", "nan"), "--web.timeout-offset"),
        (("serve", "--config.file", str(GOOD), "--log.level", "loud"), "--log.level"),
        (("check",), "F"),
        (("check", str(GOOD), "--format", "xml"), "--format"),
        (("simulate", "--speed", "0"), "--speed"),
        (("simulate", "--speed", "nan"), "--speed"),
        (("demo", "--seed", "x"), "--seed"),
        (("docs", "nope"), "nope"),
        (("schema", "more"), "more"),
        (("check", ""), "must not be empty"),
    ],
    ids=lambda value: " ".join(value[-2:]) if isinstance(value, tuple) else "",
)
def test_an_error_of_use_is_one_line_and_exit_code_2(flags: tuple[str, ...], about: str, run: Run) -> None:
    ended = run(*flags)
    assert ended.returncode == 2
    assert ended.stdout == ""
    (line,) = ended.stderr.splitlines()
    assert line.startswith("remote-job-exporter")
    assert about in line
    assert line.endswith("--help)")


def test_without_a_command_the_help_is_shown(run: Run) -> None:
    ended = run()
    assert ended.returncode == 2
    assert all(name in ended.stderr for name in COMMANDS)


def test_the_help_of_every_command_tells_its_exit_codes(run: Run) -> None:
    assert isinstance(cli, Group)
    assert {"serve", "check", "simulate", "demo", "schema", "docs"} <= set(COMMANDS)
    for name in COMMANDS:
        ended = run(name, "--help")
        assert ended.returncode == 0
        assert "Exit codes: 0 " in ended.stdout
        assert "2 wrong arguments" in " ".join(ended.stdout.split())
    assert "Exit codes: 0 " in run("--help").stdout


def test_the_list_of_commands_describes_each_whole_in_80_columns() -> None:
    listed = CliRunner().invoke(cli, ["--help"], terminal_width=80).output.partition("Commands:\n")[2]
    for name in COMMANDS:
        first, *_ = (load_command(name).help or "").splitlines()
        assert f"  {name.ljust(max(map(len, COMMANDS)))}  {first}\n" in listed


def test_the_version_is_told(run: Run) -> None:
    ended = run("--version")
    assert (ended.returncode, ended.stdout) == (0, f"remote-job-exporter, version {__version__}\n")


LOADED = """
import atexit, sys
before = set(sys.modules)
from exporter.cli.main import main
atexit.register(lambda: print(*set(sys.modules) - before, file=sys.stderr))
main()
"""


@pytest.mark.parametrize("flag", ["--version", "--help"])
def test_version_and_help_import_click_and_nothing_else_that_is_installed(flag: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", LOADED, flag], capture_output=True, text=True, timeout=60, check=True
    )
    loaded = {name for name in ended.stderr.split() if name.split(".")[0] not in sys.stdlib_module_names}
    assert {name for name in loaded if name.split(".")[0] != "click"} == {
        "exporter",
        "exporter.cli",
        "exporter.cli.main",
    }


def test_every_flag_of_serve_can_come_from_the_environment(config: Path, tmp_path: Path) -> None:
    env = {
        "REMOTE_JOB_EXPORTER_CONFIG_FILE": str(config),
        "REMOTE_JOB_EXPORTER_WEB_LISTEN_ADDRESS": f"{FREE} {FREE}",
        "REMOTE_JOB_EXPORTER_WEB_TIMEOUT_OFFSET": "0.1",
        "REMOTE_JOB_EXPORTER_LOG_FORMAT": "json",
    }
    with running(tmp_path / "exporter", *COMMAND, "serve", **env) as exporter:
        line = until(
            lambda: next((line for line in exporter.stderr.splitlines() if "listening" in line), None),
            "start",
        )
        addresses = json.loads(line)["addresses"].split()
        assert len(set(addresses)) == 2
        assert [get(f"{address}/-/healthy").status_code for address in addresses] == [200, 200]
    for flag in (option.envvar for option in load_command("serve").params if isinstance(option, Option)):
        assert str(flag).startswith("REMOTE_JOB_EXPORTER_")


def test_a_flag_goes_before_the_environment(run: Run) -> None:
    env = {"REMOTE_JOB_EXPORTER_CONFIG_FILE": str(GOOD), "REMOTE_JOB_EXPORTER_LOG_LEVEL": "loud"}
    assert "--log.level" in run("serve", **env).stderr
    ended = run("serve", "--config.file", str(BAD), "--log.level", "info", **env)
    assert ended.returncode == 1
    assert str(BAD) in ended.stderr


def test_the_schema_is_one_that_good_configs_fit_and_bad_ones_do_not(run: Run) -> None:
    ended = run("schema")
    assert ended.returncode == 0
    schema = json.loads(ended.stdout)
    Draft202012Validator.check_schema(schema)
    validator = Draft202012Validator(schema)
    goods = sorted((CONFIGS / "good").glob("*.yaml"))
    assert goods
    for file in goods:
        validator.validate(yaml.safe_load(file.read_text()))
    for name in ("unknown_provider", "unknown_key_of_system", "concurrency_zero", "jobs_empty", "url_scheme"):
        assert not validator.is_valid(yaml.safe_load((CONFIGS / "bad" / f"{name}.yaml").read_text()))


@pytest.mark.parametrize(
    ("table", "row"),
    [
        ("metrics", "| `remote_job_state` | stateset | `remote_job_state` |"),
        ("config", "| `concurrency` | 1 to 256 | `16` |"),
        ("cli", "| `--log.format logfmt|json` | `REMOTE_JOB_EXPORTER_LOG_FORMAT` | `logfmt` |"),
    ],
)
def test_docs_are_tables_in_markdown(table: str, row: str, run: Run) -> None:
    ended = run("docs", table)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.startswith("# ")
    assert row in ended.stdout.replace("\\|", "|")


def test_the_demo_shows_its_jobs_and_where_to_look(tmp_path: Path) -> None:
    flags = ("--web.listen-address", FREE, "--listen-address", FREE, "--speed", "20")
    with running(tmp_path, *COMMAND, "demo", *flags) as demo:
        until(lambda: "ends the demo" in demo.stdout, "the demo's last line")
        told = demo.stdout
        words = told.split()
        metrics = next(word for word in words if word.endswith("/metrics"))
        config = yaml.safe_load(get(next(word for word in words if word.endswith("/config.yaml"))).text)
        samples = read_samples(get(metrics).text)
        landing = get(metrics.removesuffix("metrics"))
        (live,) = re.findall(r"^Live: +(.+)$", told, re.MULTILINE)
        watched = subprocess.run(
            [*shlex.split(live), "--once"],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            cwd=ROOT,
        )
        assert demo.end(signal.SIGINT) == 0
    assert (watched.stderr, "Newsroom" in watched.stdout) == ("", True)
    # Some of the simulated systems are down or rate limited now and then, and some use unknown words.
    expected = ('level=warning msg="jobs cannot be read"', 'level=warning msg="unknown state; ')
    assert all(any(text in line for text in expected) for line in demo.stderr.splitlines())
    assert "example=\"states: {failed: ['Quarantined']}\"" in demo.stderr
    page = metrics.removesuffix("metrics") + "jobs"
    assert told.startswith(
        f"Open {page} to see these jobs in a browser.\nremote-job-exporter {__version__} reads "
    )
    assert "\x1b" not in told
    providers = {system["provider"] for system in config["systems"].values()}
    assert {labels["provider"] for labels, _ in samples.all("remote_job_info")} == providers
    jobs = [job for system in config["systems"].values() for job in system["jobs"]]
    assert len(samples.all("remote_job_up")) >= len(jobs)
    below = told.partition("STATE ")[2].splitlines()
    table = [line for line in below if config["systems"].keys() & line.split()]
    assert len(table) >= len(jobs)
    assert landing.status_code == 200
    assert all(f">{name}</a>" in landing.text for name in config["systems"])


def test_logs_are_logfmt_lines(config: Path, tmp_path: Path) -> None:
    with serving(tmp_path / "exporter", config) as (exporter, address):
        get(f"{address}/metrics")
        until(lambda: "cannot be read" in exporter.stderr, "a log line")
        exporter.end()
    assert all(line.startswith("time=") and " level=" in line for line in exporter.stderr.splitlines())
    (line,) = (line for line in exporter.stderr.splitlines() if "cannot be read" in line)
    start = 'level=warning msg="jobs cannot be read" system=docs reason=connect jobs=1 host=127.0.0.1:1 '
    assert f" {start}job_id=p/0/en " in line


def test_logs_are_json_objects_where_that_is_wanted(config: Path, tmp_path: Path) -> None:
    flags = ("--log.format", "json", "--log.level", "warning")
    env = {"REMOTE_JOB_EXPORTER_WEB_LISTEN_ADDRESS": f"unix:{tmp_path}/socket"}
    with running(
        tmp_path / "exporter", *COMMAND, "serve", "--config.file", str(config), *flags, **env
    ) as exporter:
        until((tmp_path / "socket").exists, "the socket")
        with socket.socket(socket.AF_UNIX) as scraper:
            scraper.settimeout(20)
            scraper.connect(f"{tmp_path}/socket")
            scraper.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
            assert scraper.recv(1 << 16).startswith(b"HTTP/1.1 200")
        assert exporter.end() == 0
    (line,) = map(json.loads, exporter.stderr.splitlines())
    assert {key: line[key] for key in ("level", "msg", "system", "job_id", "reason")} == {
        "level": "warning",
        "msg": "jobs cannot be read",
        "system": "docs",
        "job_id": "p/0/en",
        "reason": "connect",
    }
