"""The command line in process: what flags take and how wrong use ends. Nothing is served here."""

import pytest
from click import ClickException

from exporter.cli import cli

SERVE = ("serve", "--config.file", "config.yaml")
OFFSET = "REMOTE_JOB_EXPORTER_WEB_TIMEOUT_OFFSET"


def parsed(*arguments: str) -> dict[str, object]:
    """What a command makes of its flags.

    Raises:
        ClickException: they are not allowed.
    """
    name, *rest = arguments
    with cli.commands[name].make_context(name, rest) as context:
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
