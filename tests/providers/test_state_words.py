"""The key ``states:`` of a system: words that a user adds to those that a provider knows."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from exporter.model.job import RESULTS, State
from exporter.providers import PROVIDERS
from exporter.providers.base import Provider
from exporter.providers.itwin import ITwin
from exporter.providers.json.job_api import JsonApi, JsonOptions
from exporter.providers.sitecore import Sitecore
from exporter.providers.state_words import StateWords, by_word
from exporter.providers.values import text
from tests.data.sixth.provider import Sixth
from tests.providers.conftest import discover, drive, response_of
from tests.systems import DATA, VENDORS, status_of

KINDS: dict[str, type[Provider]] = {
    **{name: PROVIDERS[name] for name in VENDORS},
    "sixth": Sixth,
}
NAMES = list(KINDS)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("state", State)
def test_a_word_of_the_configuration_has_its_state_in_any_case(name: str, state: State) -> None:
    assert status_of(DATA / name, KINDS[name], "Broken", {}).state is State.UNKNOWN
    for word in ("Broken", "BROKEN"):
        status = status_of(DATA / name, KINDS[name], word, {"broken": state})
        assert (status.state, status.raw) == (state, word)


@pytest.mark.parametrize("name", NAMES)
def test_a_word_of_the_configuration_overrides_a_known_word(name: str) -> None:
    kind = KINDS[name]
    word = next(word for word, state in kind.states.items() if state is State.SUCCEEDED)
    assert status_of(DATA / name, kind, word, {}).state is State.SUCCEEDED
    assert status_of(DATA / name, kind, word, {word: State.RUNNING}).state is State.RUNNING
    assert status_of(DATA / name, kind, word, {}).state is State.SUCCEEDED


@pytest.mark.parametrize("name", ["codearts", "itwin", "sitecore"])
@pytest.mark.parametrize("state", State)
def test_a_run_is_final_in_a_state_in_which_a_run_ends(name: str, state: State) -> None:
    assert status_of(DATA / name, KINDS[name], "Broken", {"broken": state}).final is (state in RESULTS)


def test_a_job_that_is_failing_has_not_ended_whatever_its_word_means() -> None:
    words = {"terminatingonfailure": State.CANCELED}
    status = status_of(DATA / "itwin", ITwin, "TerminatingOnFailure", words)
    assert (status.state, status.final) == (State.CANCELED, False)


@pytest.mark.parametrize(
    ("state", "complete"), [(State.RUNNING, False), (State.CANCELING, False), (State.FAILED, True)]
)
def test_the_progress_of_a_listed_job_is_read_while_its_word_means_active(
    state: State, *, complete: bool
) -> None:
    provider = ITwin(ITwin.Options.model_validate({"service": "reality-modeling"}))
    provider.add_words({"grinding": state})
    page = response_of({"jobs": [{"id": "a", "state": "Grinding"}]})
    itwin = {"itwin_id": "cc3d35cc-416a-4262-9714-b359da70b419"}
    (found,) = discover(provider, itwin, page, now=1e9).found
    assert found.status is not None
    assert (found.status.state, found.complete) == (state, complete)


def test_words_of_the_configuration_are_counted_under_their_state() -> None:
    provider = Sitecore(Sitecore.Options.model_validate({"summary": True}))
    provider.add_words({"broken": State.FAILED})
    counting = provider.summary()
    assert counting is not None
    next(counting)
    with pytest.raises(StopIteration) as stop:
        counting.send(response_of({"counts": {"Failed": 2, "Broken": 3, "Odd": 1}}))
    assert stop.value.value == {State.FAILED: 5, State.UNKNOWN: 1}


def jsonapi(read: dict[str, object]) -> JsonApi:
    return JsonApi(JsonOptions.model_validate({"read": {"path": "/{id}", "state": "s", **read}}))


@pytest.mark.parametrize(
    ("read", "word", "state"),
    [
        ({"states": {"failed": ["Bad"]}}, "bad", State.FAILED),
        ({"states": {"failed": ["Bad"]}}, "Broken", State.CANCELED),
        ({"states": {"failed": ["Bad", "Broken"]}}, "Broken", State.CANCELED),
        ({"states": {"failed": ["Bad"]}}, "succeeded", State.UNKNOWN),
        ({}, "succeeded", State.SUCCEEDED),
        ({}, "Broken", State.CANCELED),
    ],
)
def test_words_of_a_json_system_come_before_those_of_its_read(
    read: dict[str, object], word: str, state: State
) -> None:
    provider = jsonapi(read)
    provider.add_words({"broken": State.CANCELED})
    status = drive(provider, {"id": "1"}, response_of({"s": word})).status
    assert (status.state, status.final) == (state, state in RESULTS)


def test_a_json_run_is_final_in_the_states_of_its_read() -> None:
    provider = jsonapi({"states": {"failed": ["Bad"]}, "final": ["succeeded"]})
    provider.add_words({"broken": State.FAILED, "good": State.SUCCEEDED})
    finals = [
        drive(provider, {"id": "1"}, response_of({"s": word})).status.final for word in ("Broken", "Good")
    ]
    assert finals == [False, True]


@given(word=st.text(string.printable + "ßİµ…\u200b", max_size=200).filter(text))
def test_the_word_that_is_shown_is_the_word_to_add(word: str) -> None:
    """Whatever a response has: what `remote_job_status_info` shows, written under ``states``, is known."""
    provider = Sitecore(Sitecore.Options())
    response = response_of({"id": "i", "system": {"status": word}})
    shown = drive(provider, {"id": "i"}, response).status.raw
    provider.add_words(by_word(TypeAdapter(StateWords).validate_python({"stopped": [shown]})))
    assert drive(provider, {"id": "i"}, response).status.state is State.STOPPED
