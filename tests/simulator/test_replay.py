"""Recordings that are replayed: which response a request gets, and what is wrong with a file."""

import os
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml

from exporter import simulator
from exporter.simulator.recordings import Recording
from tests.simulator.conftest import serving

CONFIG = "systems: {x: {provider: caps, base_url: http://replay.invalid/a}}\n"


def written(folder: Path, exchanges: object, config: str = CONFIG) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "exchanges.yaml").write_text(
        exchanges if isinstance(exchanges, str) else yaml.safe_dump(exchanges)
    )
    (folder / "config.yaml").write_text(config)
    return folder


def recording(folder: Path, exchanges: object) -> Recording:
    (found,) = simulator.load_recordings(written(folder, exchanges))
    return found


def exchange(url: str, text: str, times: int = 1, **request: Any) -> dict[str, Any]:
    return {"request": {"url": url, **request}, "response": {"text": text}, "times": times}


def answers(of: Recording, *requested: str | tuple[str, str, bytes]) -> list[str | None]:
    found = []
    for each in requested:
        method, url, body = each if isinstance(each, tuple) else ("GET", each, b"")
        answer = of.answer(method, url, body)
        found.append(None if answer is None else answer.body.decode())
    return found


def test_repeated_requests_get_one_response_after_the_other_and_the_last_one_again(tmp_path: Path) -> None:
    of = recording(
        tmp_path, [exchange("/a", "1"), exchange("/b", "x"), exchange("/a", "2", 2), exchange("/a", "3")]
    )
    assert answers(of, "/a", "/a", "/b", "/a", "/a", "/a", "/b") == ["1", "2", "x", "2", "3", "3", "x"]


def test_a_request_is_found_by_method_path_query_and_body(tmp_path: Path) -> None:
    of = recording(
        tmp_path,
        [
            exchange("/a?x=1&y=2", "query"),
            exchange("/a", "posted", method="POST", json={"id": 1, "b": [None]}),
            exchange("/a", "any body", method="PUT"),
            exchange("/a", "got", method="GET"),
        ],
    )
    assert answers(
        of, "/a?y=2&x=1", ("POST", "/a", b'{"b": [null], "id": 1}'), ("PUT", "/a", b"\xff"), "/a"
    ) == [
        "query",
        "posted",
        "any body",
        "got",
    ]
    assert (
        answers(of, "/a?x=1", "/a/", "/A", ("POST", "/a", b'{"id": 2}'), ("DELETE", "/a", b"")) == [None] * 5
    )


def test_a_prefix_fits_what_no_other_entry_fits_better(tmp_path: Path) -> None:
    of = recording(
        tmp_path,
        [
            exchange("/jobs", "any", prefix=True),
            exchange("/jobs?offset=", "page", prefix=True),
            exchange("/jobs?offset=0", "first"),
        ],
    )
    assert answers(of, "/jobs?offset=0", "/jobs?offset=0", "/jobs?offset=5", "/jobs/1") == [
        "first",
        "first",
        "page",
        "any",
    ]


def test_everything_of_a_response_is_replayed(tmp_path: Path) -> None:
    exchanges = [
        {
            "request": {"url": "/a/json"},
            "response": {
                "status": 203,
                "headers": {
                    "Link": "<http://replay.invalid/a/2>; rel=next",
                    "X-Masked": "***",
                    "date": "Wed, 01 Jan 2020 00:00:00 GMT",
                    "ETag": 'W/"1"',
                },
                "json": {"next": "http://replay.invalid/a/3", "name": "für ✓"},
            },
        },
        {
            "request": {"url": "/a/text"},
            "response": {"text": r"http:\/\/replay.invalid\/ http%3A%2F%2Freplay.invalid"},
        },
        {"request": {"url": "/a/bytes"}, "response": {"headers": {"Content-Type": "x/y"}, "base64": "//4="}},
        {"request": {"url": "/a/none"}, "response": {"status": 204}},
        {"request": {"url": "/a/closed"}, "failure": "timeout"},
    ]
    folder = written(tmp_path, exchanges)
    with serving(lambda _: simulator.create_replay(simulator.load_recordings(folder), single=True)) as base:
        got = requests.get(f"{base}/a/json", timeout=20)
        assert (got.status_code, got.headers["Content-Type"]) == (203, "application/json")
        assert (got.headers["Link"], got.headers["ETag"]) == (f"<{base}/a/2>; rel=next", 'W/"1"')
        assert "X-Masked" not in got.headers
        assert "2020" not in got.headers["Date"]
        assert got.json() == {"next": f"{base}/a/3", "name": "für ✓"}
        escaped = base.replace("/", r"\/"), base.replace(":", "%3A").replace("/", "%2F")
        assert requests.get(f"{base}/a/text", timeout=20).text == f"{escaped[0]}\\/ {escaped[1]}"
        got = requests.get(f"{base}/a/bytes", timeout=20)
        assert (got.headers["Content-Type"], got.content) == ("x/y", b"\xff\xfe")
        got = requests.get(f"{base}/a/none", timeout=20)
        assert (got.status_code, got.content) == (204, b"")
        with pytest.raises(requests.exceptions.ChunkedEncodingError):
            requests.get(f"{base}/a/closed", timeout=20)
        got = requests.post(f"{base}/a/json/", timeout=20)
        assert got.status_code == 404
        assert got.text == f"no response to POST with this path and query is recorded in {tmp_path.name}\n"
        assert requests.get(f"{base}/config.yaml", timeout=20).text == CONFIG.replace(
            "http://replay.invalid", base
        )


def test_each_of_several_recordings_is_below_its_name(tmp_path: Path) -> None:
    written(tmp_path / "one", [exchange("/a/1", "one of http://replay.invalid/a")])
    written(tmp_path / "the other", [exchange("/a/1", "the other")])
    (tmp_path / "notes.txt").write_text("")
    with serving(
        lambda _: simulator.create_replay(simulator.load_recordings(tmp_path), single=False)
    ) as base:
        assert requests.get(f"{base}/one/a/1", timeout=20).text == f"one of {base}/one/a"
        assert requests.get(f"{base}/the%20other/a/1", timeout=20).text == "the other"
        config = yaml.safe_load(requests.get(f"{base}/the%20other/config.yaml", timeout=20).text)
        assert config["systems"]["x"]["base_url"] == f"{base}/the%20other/a"
        got = requests.get(f"{base}/a/1", timeout=20)
        assert got.status_code == 404
        assert got.text.endswith("here; the recordings are at /one, /the%20other\n")


@pytest.mark.parametrize(
    ("exchanges", "error"),
    [
        ("- a: b\n  - [", "exchanges.yaml:2: is not YAML"),
        ("a: &x 1\nb: *x", "exchanges.yaml: aliases and more than 200 levels of nesting are not allowed"),
        ("[" * 201 + "]" * 201, "exchanges.yaml: aliases and more than 200 levels"),
        ("{}", "exchanges.yaml: must be a list of exchanges"),
        ("[1]", "exchanges.yaml: exchange 1: an entry must be a mapping"),
        ("- request: {url: /a}\n  response: {}\n- {}", "exchange 2: request must be a mapping"),
        ("- {request: {url: /a}}", "exchange 1: allowed is either response or failure"),
        ("- {request: {}, response: {}}", "exchange 1: request.url is missing"),
        ("- {request: {url: 1}, response: {}}", "exchange 1: request url: must be text"),
        ("- {request: {url: /a}, response: {}, times: true}", "exchange 1: times: must be a whole number"),
        (
            "- {request: {url: /a, x: 1}, response: {}}",
            "request: unknown key 'x'; allowed: method, url, prefix, ",
        ),
        ("- {request: {url: /a}, response: {status: 101}}", "response.status: allowed are 200 to 599"),
        ("- {request: {url: /a}, response: {json: 1, text: a}}", "allowed is one of json, text, base64"),
        ("- {request: {url: /a}, response: {text: 1}}", "text: must be text"),
        ("- {request: {url: /a}, response: {base64: '*'}}", "exchange 1: base64: must be base64"),
    ],
)
def test_an_error_of_a_file_names_the_file_and_the_entry(exchanges: str, error: str, tmp_path: Path) -> None:
    with pytest.raises(simulator.RecordingError) as caught:
        simulator.load_recordings(written(tmp_path, exchanges))
    assert str(caught.value).startswith(str(tmp_path))
    assert error in str(caught.value)


def test_a_folder_without_a_recording_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(
        simulator.RecordingError, match=r"has no exchanges\.yaml, and no folder in it has one"
    ):
        simulator.load_recordings(tmp_path)
    with pytest.raises(simulator.RecordingError, match="cannot be read"):
        simulator.load_recordings(tmp_path / "missing")
    (tmp_path / "exchanges.yaml").write_bytes(b"\xff")
    with pytest.raises(simulator.RecordingError, match="is not UTF-8 text"):
        simulator.load_recordings(tmp_path)


def test_a_recording_that_is_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "exchanges.yaml")
    with pytest.raises(simulator.RecordingError, match=r"exchanges\.yaml is not a regular file"):
        simulator.load_recordings(tmp_path)
