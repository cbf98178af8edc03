"""The log line of a state that no table has."""

import logging
from contextlib import nullcontext
from unittest.mock import Mock

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from exporter.metrics.instrumentation import Instrumentation
from exporter.model.http import Response
from exporter.model.job import Job, Kind, State, Status
from exporter.providers.sitecore import Sitecore, SitecoreDiscover
from exporter.providers.state_words import StateWords, by_word
from exporter.runtime.logging import Logfmt
from exporter.upstream.reading import Upstream
from exporter.upstream.unknown_words import MAX_WORDS, UnknownWords
from tests.clock import FakeClock

UNKNOWN = "unknown state; add its word to states of the system"
TOO_MANY = "too many unknown states; no more are logged"


def messages(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records]


def unknown(word: str) -> Status:
    return Status(State.UNKNOWN, raw=word)


def test_a_word_is_logged_once_with_the_line_to_add(caplog: pytest.LogCaptureFixture) -> None:
    words = UnknownWords("xmc", {})
    for job_id, word in (("1", "Broken"), ("2", "Broken"), ("3", "BROKEN")):
        words.note(job_id, unknown(word))
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    line = Logfmt().format(record).partition(" level=")[2]
    fields = """system=xmc job_id=1 status=Broken example="states: {failed: ['Broken']}\""""
    assert line == f'warning msg="{UNKNOWN}" {fields}'


@pytest.mark.parametrize(
    "status",
    [unknown(""), unknown("\n "), unknown("Idle"), Status(State.FAILED, raw="Broken")],
    ids=["no word", "nothing printable", "a word that means unknown", "a known state"],
)
def test_nothing_is_logged_where_there_is_nothing_to_add(
    status: Status, caplog: pytest.LogCaptureFixture
) -> None:
    UnknownWords("xmc", {"idle"}).note("1", status)
    assert messages(caplog) == []


def test_the_words_of_a_system_are_limited(caplog: pytest.LogCaptureFixture) -> None:
    words = UnknownWords("xmc", {})
    for number in range(10 * MAX_WORDS):
        words.note("1", unknown(f"word {number}"))
    assert messages(caplog) == [*[UNKNOWN] * MAX_WORDS, TOO_MANY]


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(word=st.text(max_size=200) | st.sampled_from(["it's", '"', "a: b", "{x}", "a, b]", "#", "\x1b[1m"]))
def test_the_line_to_add_is_valid_and_gives_the_word_its_state(
    word: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.clear()
    UnknownWords("xmc", {}).note("1", unknown(word))
    for record in caplog.records:
        added = yaml.safe_load(record.__dict__["example"])["states"]
        states = by_word(TypeAdapter(StateWords).validate_python(added))
        assert states == {record.__dict__["status"].casefold(): State.FAILED}
        assert Logfmt().format(record).isprintable()


async def test_words_of_reads_and_of_listings_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    bodies = [
        b'{"id": "1", "system": {"status": "Odd"}}',
        b'{"data": [{"id": "2", "system": {"status": "Broken"}}]}',
    ]

    async def send(*_: object, **__: object) -> Response:
        return Response(200, bodies.pop(0))

    client = Mock(timeout=3.0, clock=FakeClock(), instrumentation=Instrumentation("0").of("xmc"), send=send)
    client.in_use = nullcontext()
    provider = Sitecore(Sitecore.Options())
    upstream = Upstream(provider, client)
    await upstream.read(Job("xmc", "1", Kind.RUN, "sitecore", {"id": "1"}), None)
    await upstream.list_jobs([SitecoreDiscover()])
    assert [record.__dict__["status"] for record in caplog.records] == ["Odd", "Broken"]
