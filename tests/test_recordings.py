"""Every recording in ``tests/data`` is replayed, and a whole exporter shows of it what it must.

Beside its two files (see ``exporter/simulator/recordings.py``) a recording has ``expected.yaml``:

- ``scrapes`` (1), ``every`` (10) seconds; ``now``: the time of the first one, if that matters.
- ``shows``: sample lines, each with as many labels as make it the only one; ``absent``: names of series,
  with labels or without. Both of the last scrape.
- ``after``: the same after other scrapes, by their numbers, such as ``2`` or ``2-6``.
- ``requests``: how often each URL was requested, of those that matter.
"""

import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from exporter import simulator
from exporter.cli.simulate import serving
from tests.clock import FakeClock
from tests.vendor import Samples, exporter

DATA = Path(__file__).parent / "data"
RECORDINGS = sorted(file.parent for file in DATA.rglob("exchanges.yaml"))
KEYS = {"scrapes", "every", "now", "shows", "absent", "after", "requests"}
_SERIES = re.compile(r"(\w+)(?:\{(.*)\})?(?: (\S+))?")
_LABEL = re.compile(r'(\w+)="([^"]*)"')


@pytest.mark.parametrize("folder", RECORDINGS, ids=lambda folder: folder.name)
async def test_a_recording_is_replayed_to_what_it_must_show(folder: Path, tmp_path: Path) -> None:
    expected = yaml.safe_load((folder / "expected.yaml").read_text(encoding="utf-8"))
    assert expected.keys() <= KEYS
    (recording,) = simulator.load_recordings(folder)
    clock = FakeClock()
    if now := expected.get("now"):
        clock.epoch = datetime.fromisoformat(str(now)).timestamp()
    replayed = simulator.create_replay([recording], single=True)
    async with (
        serving(replayed, "127.0.0.1:0") as base,
        exporter(simulator.config_of(recording, base), tmp_path, clock=clock) as running,
    ):
        last = expected.get("scrapes", 1)
        for number in range(1, last + 1):
            samples = await running.scrape()
            for wanted in wanted_after(number, expected):
                check(samples, wanted, f"scrape {number} of {last}")
            clock.turn(expected.get("every", 10))
    for url, times in expected.get("requests", {}).items():
        assert sum(each.used for each in recording.exchanges if each.url == url) == times, url


def wanted_after(number: int, expected: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    if number == expected.get("scrapes", 1):
        yield expected
    for when, wanted in expected.get("after", {}).items():
        first, _, last = str(when).partition("-")
        if int(first) <= number <= int(last or first):
            yield wanted


def check(samples: Samples, wanted: Mapping[str, Any], when: str) -> None:
    for line in wanted.get("shows", ()):
        name, labels, value = series(line)
        assert value is not None, f"{line} has no value"
        found = samples.all(name, **labels)
        near = samples.all(name, **{key: labels[key] for key in labels if key == "job_id"})
        assert [each for _, each in found] == [pytest.approx(float(value), rel=1e-12)], (when, line, near)
    for line in wanted.get("absent", ()):
        name, labels, _ = series(line)
        assert samples.all(name, **labels) == [], (when, line)


def series(line: str) -> tuple[str, dict[str, str], str | None]:
    match = _SERIES.fullmatch(line)
    assert match is not None, line
    return match[1], dict(_LABEL.findall(match[2] or "")), match[3]
