"""The exporter's own paths, over real sockets: methods, formats, bounds, and how long a scrape may take."""

import asyncio
import gzip
import math
from pathlib import Path

import pytest
import requests
from hypothesis import example, given
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics

from exporter.collector.collector import Collector
from exporter.metrics.instrumentation import Instrumentation
from exporter.web.app import DEFAULT_TIMEOUT, LONGEST_TIMEOUT, App, scrape_seconds
from exporter.web.server import Server
from tests.vendor import Exporter, Told, caps, caps_config, exporter, read_samples, vendor
from tests.waiting import never
from tests.web.pages import Page

AS_PROMETHEUS = (
    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)


async def ask(running: Exporter, method: str, path: str, **headers: str) -> requests.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return await asyncio.to_thread(
        requests.request, method, running.url + path, headers=named, timeout=60, allow_redirects=False
    )


def config(url: str, jobs: int = 1) -> str:
    return "systems:\n" + caps_config(url, jobs)


async def test_without_jobs_nothing_is_asked_and_the_exporter_alone_is_shown(tmp_path: Path) -> None:
    async with vendor(lambda _: Told(caps())) as docs, exporter(config(docs.url), tmp_path) as running:
        samples = read_samples((await ask(running, "GET", "/metrics?jobs=false")).text)
        assert docs.asked == []
        names = {name for name, _ in samples}
        assert all(
            name.startswith(("remote_job_exporter_", "remote_job_system_", "process_")) for name in names
        )
        assert "remote_job_exporter_build_info" in names
        whole = await running.scrape()
        assert {name for name, _ in whole} > names
        assert (await ask(running, "GET", "/metrics?jobs=true")).text.count("remote_job_up{") == 1


@pytest.mark.parametrize(
    "query", ["jobs=", "jobs=no", "jobs=FALSE", "jobs=0", "jobs=true%00", "jobs=a&jobs=b"]
)
async def test_any_other_word_for_jobs_is_refused_in_one_line(query: str, tmp_path: Path) -> None:
    async with vendor(lambda _: Told(caps())) as docs, exporter(config(docs.url), tmp_path) as running:
        answer = await ask(running, "GET", f"/metrics?{query}")
        assert (answer.status_code, answer.text) == (400, "jobs: allowed are true and false\n")
        assert docs.asked == []


async def test_a_scrape_with_more_parameters_than_allowed_is_refused(tmp_path: Path) -> None:
    async with vendor(lambda _: Told(caps())) as docs, exporter(config(docs.url), tmp_path) as running:
        answer = await ask(running, "GET", "/metrics?jobs=false" + "&a=b" * 49)
        assert answer.status_code == 200
        answer = await ask(running, "GET", "/metrics?jobs=false" + "&a=b" * 50)
        text = "the query cannot be read: allowed are up to 50 parameters in UTF-8\n"
        assert (answer.status_code, answer.text) == (400, text)


@pytest.mark.parametrize("path", ["/metrics", "/", "/jobs", "/jobs.json", "/-/healthy", "/-/ready"])
async def test_every_page_answers_head_like_get_without_the_page(path: str, tmp_path: Path) -> None:
    async with vendor(lambda _: Told(caps())) as docs, exporter(config(docs.url), tmp_path) as running:
        got = await ask(running, "GET", path)
        head = await ask(running, "HEAD", path)
        assert (got.status_code, head.status_code, head.content) == (200, 200, b"")
        assert head.headers["Content-Type"] == got.headers["Content-Type"]
        assert got.content != b""


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
@pytest.mark.parametrize("path", ["/metrics", "/", "/-/healthy", "/-/ready"])
async def test_other_methods_are_405_and_told_which_are_not(method: str, path: str, tmp_path: Path) -> None:
    async with vendor(lambda _: Told(caps())) as docs, exporter(config(docs.url), tmp_path) as running:
        answer = await ask(running, method, path)
        assert (answer.status_code, answer.text) == (405, "Method Not Allowed\n")
        assert {word.strip() for word in answer.headers["Allow"].split(",")} == {"GET", "HEAD"}
        assert docs.asked == []


@pytest.mark.parametrize(
    "path", ["/nope", "/metrics/", "/metrics/x", "/-/", "/-/healthy/", "//", "/%2e%2e/etc/passwd", "/Metrics"]
)
async def test_other_paths_are_404_and_quote_nothing(path: str, tmp_path: Path) -> None:
    async with vendor(lambda _: Told(caps())) as docs, exporter(config(docs.url), tmp_path) as running:
        answer = await ask(running, "GET", f"{path}?<script>")
        assert (answer.status_code, answer.text) == (404, "Not Found\n")
        assert docs.asked == []


async def test_no_other_spelling_of_a_path_is_answered_in_its_place(tmp_path: Path) -> None:
    signs = (
        "%0a",
        "%0D",
        "%00",
        "%09",
        "%7f",
        "%20",
        "%2f",
        "%2F.",
        "/.",
        "%5c",
        ";x",
        "%3f",
        "%C2%85",
        "%E2%80%A8",
    )
    paths = ["/metrics", "/probe", "/sd", "/-/healthy", "/-/ready", "/-/reload"]
    spellings = [
        *(path + sign for path in ["/", *paths] for sign in signs if path + sign != "//."),
        *("/" + path for path in paths),
        *(path.replace("/", "%2F") for path in paths),
        *("/" + path.replace("/", "%2f") for path in paths),
        *(f"/%0a{path}" for path in paths),
        *(f"/.{path}" for path in paths),
        *(path.removeprefix("/") for path in paths),
        *("http://x" + path for path in paths),
        *(path.replace("/", "\\") for path in paths),
    ]
    async with vendor(lambda _: Told(caps())) as docs, exporter(config(docs.url), tmp_path) as running:
        port = int(running.url.rpartition(":")[2])
        for spelling in spellings:
            method = "POST" if "reload" in spelling else "GET"
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(f"{method} {spelling} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
            status = (await reader.read()).split()[1]
            writer.close()
            assert status in (b"400", b"404"), spelling
        assert docs.asked == []


async def test_health_and_readiness_never_ask_a_vendor(tmp_path: Path) -> None:
    async with vendor(lambda _: Told(status=500)) as docs, exporter(config(docs.url), tmp_path) as running:
        await running.scrape()
        asked = len(docs.asked)
        for _ in range(3):
            assert (await ask(running, "GET", "/-/healthy")).text == "healthy\n"
            assert (await ask(running, "GET", "/-/ready")).text == "ready\n"
        assert len(docs.asked) == asked


async def test_while_stopping_it_is_healthy_but_not_ready() -> None:
    async def reload() -> None: ...

    instrumentation = Instrumentation("1")
    app = App(Collector(instrumentation), instrumentation, timeout_offset=0.5, reload=reload)
    app.ready = False
    server = Server(app.asgi, ("127.0.0.1:0",))
    await server.start()
    try:
        ready = await asyncio.to_thread(requests.get, f"{server.addresses[0]}/-/ready", timeout=60)
        healthy = await asyncio.to_thread(requests.get, f"{server.addresses[0]}/-/healthy", timeout=60)
    finally:
        await server.stop(1)
    assert (ready.status_code, ready.text) == (503, "stopping\n")
    assert healthy.status_code == 200


async def test_scrapes_are_never_refused_however_many_wait(tmp_path: Path) -> None:
    gate = asyncio.Event()
    async with (
        vendor(lambda _: Told(caps(), after=gate.wait)) as docs,
        exporter(config(docs.url), tmp_path) as running,
    ):
        paths = ("", "?jobs=false", "?jobs=true", "?unknown=1")
        scrapes = [asyncio.create_task(_get(running.url, paths[number % 4])) for number in range(100)]
        await docs.has_been_asked(1)
        assert (await _get(running.url, path="/-/healthy")).startswith(b"HTTP/1.1 200")
        gate.set()
        pages = await asyncio.gather(*scrapes)
        assert all(page.startswith(b"HTTP/1.1 200") for page in pages)
        assert len(docs.asked) == 1


async def _get(url: str, query: str = "", path: str = "/metrics") -> bytes:
    """The raw answer; no thread is held, so that many can wait at once."""
    host, _, port = url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(f"GET {path}{query} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    try:
        return await reader.read()
    finally:
        writer.close()


async def test_large_pages_are_packed_for_who_wants_it_and_are_the_same_page(tmp_path: Path) -> None:
    async with vendor(lambda _: Told(caps())) as docs, exporter(config(docs.url, 50), tmp_path) as running:
        plain = await ask(running, "GET", "/metrics", Accept_Encoding="identity")
        assert "Content-Encoding" not in plain.headers
        packed = await asyncio.to_thread(
            requests.get,
            f"{running.url}/metrics",
            headers={"Accept-Encoding": "gzip"},
            stream=True,
            timeout=60,
        )
        raw = packed.raw.read()
        assert packed.headers["Content-Encoding"] == "gzip"
        assert "Accept-Encoding" in packed.headers["Vary"]
        assert len(raw) < len(plain.content) / 5
        jobs = [line for line in plain.text.splitlines() if line.startswith("remote_job_state{")]
        assert len(jobs) == 500
        lines = gzip.decompress(raw).decode().splitlines()
        assert [line for line in lines if line.startswith("remote_job_state{")] == jobs


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        (None, "text/plain; version=0.0.4; charset=utf-8"),
        ("*/*", "text/plain; version=0.0.4; charset=utf-8"),
        ("application/openmetrics-text", "application/openmetrics-text; version=1.0.0; charset=utf-8"),
        (
            "application/openmetrics-text;version=1.0.0;q=0.1,text/plain;q=0.9",
            "text/plain; version=0.0.4; charset=utf-8",
        ),
        (
            AS_PROMETHEUS,
            "application/openmetrics-text; version=1.0.0; charset=utf-8",
        ),
    ],
)
async def test_the_format_is_the_one_asked_for(accept: str | None, content_type: str, tmp_path: Path) -> None:
    async with vendor(lambda _: Told(caps())) as docs, exporter(config(docs.url), tmp_path) as running:
        answer = await ask(running, "GET", "/metrics", **({"Accept": accept} if accept else {}))
        assert answer.headers["Content-Type"] == content_type
        assert "Accept" in answer.headers["Vary"]
        if content_type.startswith("application"):
            assert answer.text.endswith("# EOF\n")
            assert "remote_job_state" in {family.name for family in parse_openmetrics(answer.text)}
        else:
            assert "# EOF" not in answer.text


async def test_the_landing_page_names_systems_jobs_and_trouble(tmp_path: Path) -> None:
    async with vendor(lambda _: Told(status=401)) as docs, exporter(config(docs.url, 3), tmp_path) as running:
        before = await ask(running, "GET", "/")
        assert "docs0 of 3not read yet" in "".join(Page(before.text).text.split("\n"))
        assert docs.asked == []
        await running.scrape()
        after = (await ask(running, "GET", "/")).text
        assert "The vendor does not accept the credential." in after
        assert 'href="jobs/docs/p/0/en">See one job' in after
        assert before.headers["Content-Type"].startswith("text/html")
        for path in ("metrics", "-/healthy", "-/ready"):
            assert f'href="{path}"' in before.text


async def test_the_scrape_ends_before_prometheus_stops_waiting(tmp_path: Path) -> None:
    async with (
        vendor(lambda _: Told(after=never)) as docs,
        exporter(config(docs.url), tmp_path, offset=2) as running,
    ):
        header = {"X-Prometheus-Scrape-Timeout-Seconds": "3"}
        url = f"{running.url}/metrics"
        answer = await asyncio.to_thread(requests.get, url, headers=header, timeout=3)
        assert read_samples(answer.text).reason("p/0/en") == "deadline"


OFFSETS = st.floats(0, 60)


@given(st.floats(min_value=0.001, max_value=LONGEST_TIMEOUT), OFFSETS)
def test_a_scrape_takes_what_prometheus_waits_less_the_offset(timeout: float, offset: float) -> None:
    seconds = scrape_seconds(repr(timeout), offset)
    assert 0 < seconds <= timeout
    assert seconds == pytest.approx(timeout - offset) or seconds == timeout / 2
    assert seconds >= timeout / 2


@given(
    st.text()
    | st.floats().map(repr)
    | st.integers().map(str)
    | st.sampled_from(
        ["nan", "inf", "-inf", "1e999", "-0", "0", "1_0", "٣", " 5 ", "0x10", "5s", "5,5", "301"]
    ),
    OFFSETS,
)
@example("", 0.5)
@example("-1", 0.5)
@example("1e308", 60)
@example("5e-324", 0)
def test_no_header_however_absurd_makes_a_scrape_endless_or_empty(header: str, offset: float) -> None:
    seconds = scrape_seconds(header, offset)
    assert math.isfinite(seconds)
    assert 0 < seconds <= LONGEST_TIMEOUT


@pytest.mark.parametrize("header", ["", "soon", "0", "-3", "5e-324", "nan", "inf", "301", "1e9"])
def test_no_header_or_an_absurd_one_means_ten_seconds(header: str) -> None:
    assert scrape_seconds(header, 0.5) == DEFAULT_TIMEOUT - 0.5
