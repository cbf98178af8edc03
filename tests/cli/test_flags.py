"""The command line in process: what flags take and how wrong use ends. Nothing is served here."""

from pathlib import Path

import pytest
from click import ClickException
from click.testing import CliRunner, Result

from exporter.cli.main import cli, load_command
from tests.vendor import caps_config

SERVE = ("serve", "--config.file", "config.yaml")
OFFSET = "REMOTE_JOB_EXPORTER_WEB_TIMEOUT_OFFSET"


@pytest.fixture
def config(tmp_path: Path) -> str:
    """A configuration of a system without a network."""
    file = tmp_path / "config.yaml"
    file.write_text("systems:\n" + caps_config("http://127.0.0.1:1"))
    return str(file)


def ended(*arguments: str, **env: str) -> Result:
    return CliRunner(env=env).invoke(cli, arguments)


def parsed(*arguments: str) -> dict[str, object]:
    """What a command makes of its flags.

    Raises:
        ClickException: they are not allowed.
    """
    name, *rest = arguments
    with load_command(name).make_context(name, rest) as context:
        return dict(context.params)


def refused(*arguments: str) -> str:
    with pytest.raises(ClickException) as caught:
        parsed(*arguments)
    assert caught.value.exit_code == 2
    return caught.value.format_message()


@pytest.mark.parametrize(
    ("written", "seconds"),
    [("0.5", 0.5), ("500ms", 0.5), ("0", 0), ("0s", 0), ("60", 60), ("1m", 60), ("30s500ms", 30.5)],
)
def test_a_time_is_a_number_of_seconds_or_a_duration(
    written: str, seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    for flag in ("--web.timeout-offset", "--web.shutdown-timeout"):
        name = flag.removeprefix("--").replace(".", "_").replace("-", "_")
        assert parsed(*SERVE, flag, written)[name] == seconds
    monkeypatch.setenv(OFFSET, written)
    assert parsed(*SERVE)["web_timeout_offset"] == seconds


@pytest.mark.parametrize("written", ["nan", "inf", "-1", "-1s", "60.5", "61s", "1m1ms", "1h"])
def test_a_time_out_of_range_is_refused(written: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "--web.timeout-offset" in refused(*SERVE, "--web.timeout-offset", written)
    monkeypatch.setenv(OFFSET, written)
    assert "--web.timeout-offset" in refused(*SERVE)


@pytest.mark.parametrize("written", ["", "soon", "1s1m", "5 s", "0.5s", "1,5"])
def test_what_is_no_time_is_refused_with_both_ways_to_write_one(written: str) -> None:
    message = refused(*SERVE, "--web.shutdown-timeout", written)
    assert "--web.shutdown-timeout" in message
    assert "0.5" in message
    assert "500ms" in message


@pytest.mark.parametrize(
    ("written", "level"),
    [("warn", "warning"), ("WARN", "warning"), ("Warning", "warning"), ("INFO", "info"), ("debug", "debug")],
)
@pytest.mark.parametrize("command", [SERVE, ("simulate",)])
def test_a_level_of_the_log_may_be_in_any_case(command: tuple[str, ...], written: str, level: str) -> None:
    assert parsed(*command, "--log.level", written)["log_level"] == level


def test_a_level_that_there_is_not_is_refused_with_those_there_are() -> None:
    message = refused(*SERVE, "--log.level", "warns")
    assert all(level in message for level in ("debug", "info", "warning", "error"))


@pytest.mark.parametrize(
    ("written", "address"),
    [
        ("https://grafana.example", "https://grafana.example"),
        ("http://[::1]:3000/sub/", "http://[::1]:3000/sub"),
    ],
)
def test_the_address_of_grafana_may_have_a_port_and_a_path(written: str, address: str) -> None:
    assert parsed(*SERVE, "--web.grafana-url", written)["web_grafana_url"] == address
    assert parsed(*SERVE)["web_grafana_url"] == ""


@pytest.mark.parametrize(
    "written",
    [
        "grafana.example",
        "javascript:alert(1)",
        "https://",
        "https://u:p@g.example",
        "https://g/?a=b",
        "https://g/ x",
    ],
)
def test_an_address_of_grafana_that_no_page_may_link_to_is_refused(written: str) -> None:
    assert "allowed is http://HOST or https://HOST" in refused(*SERVE, "--web.grafana-url", written)


KEYS = ("project_id=p", "build_job_id=0", "locale=en")


@pytest.mark.parametrize("command", ["check", "serve", "probe", "list"])
def test_a_configuration_that_is_not_named_is_an_error_of_use_that_names_both_ways(command: str) -> None:
    done = ended(command)
    assert done.exit_code == 2
    assert "give it as F or as --config.file F" in done.output


@pytest.mark.parametrize("given", [["F"], ["--config.file", "F"], ["--config.file", "F", "F"]], ids=" ".join)
def test_check_takes_the_configuration_as_argument_and_as_flag(given: list[str], config: str) -> None:
    done = ended("check", *(config if word == "F" else word for word in given))
    assert (done.exit_code, done.output) == (0, f"{config}: 1 system, 1 job, no errors\n")


@pytest.mark.parametrize("command", ["check", "serve"])
def test_two_different_configurations_are_an_error_of_use(command: str, config: str) -> None:
    done = ended(command, "--config.file", config, "other.yaml")
    assert done.exit_code == 2
    assert "F and --config.file name two configurations" in done.output


@pytest.mark.parametrize("command", ["check", "serve"])
def test_the_argument_wins_over_the_environment(command: str, tmp_path: Path) -> None:
    absent = str(tmp_path / "absent")
    done = ended(command, absent, REMOTE_JOB_EXPORTER_CONFIG_FILE="other.yaml")
    assert done.exit_code == 1
    assert f"{absent}:1: cannot be read" in done.output
    assert "other.yaml" not in done.output


@pytest.mark.parametrize("command", ["check", "serve"])
def test_the_environment_is_enough(command: str, tmp_path: Path) -> None:
    absent = str(tmp_path / "absent")
    done = ended(command, REMOTE_JOB_EXPORTER_CONFIG_FILE=absent)
    assert (done.exit_code, done.output.count("\n")) == (1, 1)
    assert f"{absent}:1: cannot be read" in done.output


def test_probe_takes_the_configuration_as_argument_flag_and_from_the_environment(config: str) -> None:
    for done in (
        ended("probe", config, "docs", *KEYS),
        ended("probe", "--config.file", config, "docs", *KEYS),
        ended("probe", "docs", *KEYS, REMOTE_JOB_EXPORTER_CONFIG_FILE=config),
    ):
        assert done.exit_code == 1  # nobody answers there
        assert "connect" in done.output


@pytest.mark.parametrize(
    "words", [["F"], ["F", "id=1"], ["--config.file", "F"], ["--config.file", "F", "id=1"]], ids=" ".join
)
def test_a_probe_without_a_system_is_an_error_of_use(words: list[str], config: str) -> None:
    done = ended("probe", *(config if word == "F" else word for word in words))
    assert done.exit_code == 2
    assert "SYSTEM is missing" in done.output


def test_a_probe_of_two_configurations_says_which_argument_is_which(config: str) -> None:
    done = ended("probe", "--config.file", config, config, "docs", *KEYS)
    assert done.exit_code == 2
    assert "argument 1 after SYSTEM is not KEY=VALUE; with --config.file the first argument is SYSTEM" in (
        done.output
    )
    done = ended("probe", config, "docs", "en")
    assert done.exit_code == 2
    assert "not KEY=VALUE; without --config.file the first argument is F\n" in done.output
