"""A soak finds what it looks for: each fault is planted once."""

import dataclasses
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.soak.configs import Configs
from tests.soak.pages import Pages
from tests.soak.report import GROWTH, MOST, Report
from tests.weight import Weight

WARM = Weight(threads=5, files=40, memory=80)


def report() -> Report:
    """One of an hour in which all was right."""
    return Report(
        timeout=5,
        seconds=3600,
        warm=WARM,
        end=Weight(threads=6, files=42, memory=81),
        course=[(60.0 * minute, dataclasses.replace(WARM, memory=80 + minute % 5)) for minute in range(50)],
        scrapes=[0.3] * 700,
        prometheus=[0.2] * 700,
        series=7000,
        requests=50_000,
        faults=Counter({f"fault {number}": 999 for number in range(17)}),
        clients=Counter({"/probe": 20_000, "silent clients": 4000}),
        reloads=Counter(post=100, signal=100),
        log=Counter(info=1000, warning=1000),
    )


def test_a_soak_without_a_fault_has_no_verdict() -> None:
    assert list(report().verdicts()) == []
    assert list(report().lines())[-1] == "all is as it should be"


def test_the_report_fits_eighty_columns() -> None:
    bad = report()
    bad.wrong["x" * 200] = 1
    assert max(len(line) for line in [*report().lines(), *bad.lines()]) <= 80


SPOIL: dict[str, tuple[Callable[[Report], object], str]] = {
    "memory at the end": (
        lambda one: setattr(one, "end", dataclasses.replace(WARM, memory=80 + GROWTH + 1)),
        "memory has grown",
    ),
    "memory on the way": (
        lambda one: one.course.extend(
            (4000.0 + n, dataclasses.replace(WARM, memory=80 + n / 10)) for n in range(999)
        ),
        "memory grows",
    ),
    "memory at a time": (
        lambda one: one.course.append((3000.0, dataclasses.replace(WARM, memory=MOST + 1))),
        "memory was at 181 MiB",
    ),
    "threads": (lambda one: setattr(one, "end", dataclasses.replace(WARM, threads=9)), "left behind"),
    "files": (lambda one: setattr(one, "end", dataclasses.replace(WARM, files=60)), "left behind"),
    "a late scrape": (lambda one: one.scrapes.append(5.1), "1 scrapes over 5 s"),
    "a late scrape of Prometheus": (
        lambda one: one.prometheus.append(5.1),
        "1 scrapes of Prometheus over 5 s",
    ),
    "a long log": (lambda one: one.log.update(warning=40_000), "log lines"),
    "anything seen": (lambda one: one.wrong.update(["a lost job"]), "1 x a lost job"),
}


@pytest.mark.parametrize("name", SPOIL)
def test_a_report_names_what_is_wrong(name: str) -> None:
    spoil, verdict = SPOIL[name]
    bad = report()
    spoil(bad)
    (found,) = bad.verdicts()
    assert verdict in found


SYSTEM = {
    "provider": "itwin",
    "auth": {"type": "none"},
    "jobs": [{"id": "a"}, {"id": "b"}],
}
PAGE = """\
# TYPE remote_job_up gauge
remote_job_up{system="twins",job_id="a",generation="4"} 1.0
remote_job_up{system="twins",job_id="b",generation="4"} 0.0
# TYPE remote_job_info gauge
remote_job_info{system="twins",job_id="a",generation="4",job_name="a"} 1.0
remote_job_info{system="twins",job_id="b",generation="4",job_name="b"} 1.0
# TYPE remote_job_watched_since_timestamp_seconds gauge
remote_job_watched_since_timestamp_seconds{system="twins",job_id="a",generation="4"} 1.0
remote_job_watched_since_timestamp_seconds{system="twins",job_id="b",generation="4"} 1.0
# TYPE remote_job_read_timestamp_seconds gauge
remote_job_read_timestamp_seconds{system="twins",job_id="a",generation="4"} 1.0
# TYPE remote_job_status_info gauge
remote_job_status_info{system="twins",job_id="a",generation="4",status="Active"} 1.0
# TYPE remote_job_state gauge
remote_job_state{system="twins",job_id="a",generation="4",remote_job_state="running"} 1.0
remote_job_state{system="twins",job_id="a",generation="4",remote_job_state="failed"} 0.0
# TYPE remote_job_state_code gauge
remote_job_state_code{system="twins",job_id="a",generation="4"} 2.0
# TYPE remote_job_read_error_info gauge
remote_job_read_error_info{system="twins",job_id="b",generation="4",reason="timeout"} 1.0
# TYPE remote_job_exporter_requests_total counter
remote_job_exporter_requests_total{system="twins",code="200"} 7.0
"""


@pytest.fixture
def pages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Pages:
    configs = Configs({}, "http://127.0.0.1:1", tmp_path)
    monkeypatch.setattr(configs, "systems", lambda _: {"twins": SYSTEM})
    return Pages(configs)


def test_a_page_of_the_configured_jobs_is_right(pages: Pages) -> None:
    pages.look(PAGE, oldest=3, newest=4)
    assert pages.wrong == Counter()
    assert (pages.read, pages.unread) == ({("twins", "a")}, {("twins", "b")})


def lines(*parts: str) -> Callable[[str], str]:
    """Leaves out the lines with all of these."""
    return lambda page: "".join(
        line for line in page.splitlines(keepends=True) if not all(part in line for part in parts)
    )


def doubled(part: str, old: str, new: str) -> Callable[[str], str]:
    """Adds a copy of the line with a part, with one thing changed."""
    return lambda page: "".join(
        line + line.replace(old, new) if part in line else line for line in page.splitlines(keepends=True)
    )


FLAWS: dict[str, tuple[Callable[[str], str], str]] = {
    "a lost job": (lines('job_id="b"'), "lost jobs of twins"),
    "a lost series": (lines("status_info"), "twins: read, but no remote_job_status_info"),
    "a lost state": (lines("running"), "twins: 0 states"),
    "a lost code": (lines("state_code{"), "twins: read, but no remote_job_state_code"),
    "a lost reason": (lines("reason="), "twins: not read for []"),
    "a job of yesterday": (
        doubled('up{system="twins",job_id="b"', '"b"', '"c"'),
        "twins: no remote_job_info",
    ),
    "a doubled series": (doubled("requests_total", "x", "x"), "a doubled series"),
    "a job shown twice": (
        doubled('info{system="twins",job_id="a"', 'job_name="a"', 'job_name="z"'),
        "2 series",
    ),
    "two states": (lambda page: page.replace('failed"} 0', 'failed"} 1'), "twins: 2 states"),
    "a value that is not read": (
        doubled("status_info", '"a"', '"b"'),
        "twins: not read, but remote_job_status_info",
    ),
    "an error of the exporter": (
        lambda page: page.replace('"timeout"', '"internal"'),
        "not read for ['internal']",
    ),
    "two configurations": (lambda page: page.replace('4"', '3"', 1), "generations ['3', '4']"),
    "an old configuration": (
        lambda page: page.replace('generation="4"', 'generation="2"'),
        "between 3 and 4",
    ),
    "a secret": (lambda page: page.replace('"Active"', '"demo-caps-token"'), "a secret on a page"),
    "a counter that goes down": (lambda page: page.replace("} 7.0", "} 6.0"), "requests_total went down"),
}


@pytest.mark.parametrize("name", FLAWS)
def test_a_flaw_of_a_page_is_seen(name: str, pages: Pages) -> None:
    flaw, verdict = FLAWS[name]
    pages.look(PAGE, oldest=3, newest=4)
    page = flaw(PAGE)
    assert page != PAGE
    pages.look(page, oldest=3, newest=4)
    assert verdict in " ".join(pages.wrong)
