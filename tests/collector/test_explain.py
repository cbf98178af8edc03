"""What ``debug=true`` and the command ``probe`` tell of a read, and what they never tell."""

import asyncio
import base64
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from subprocess import CompletedProcess
from tempfile import TemporaryDirectory
from urllib.parse import quote, urlencode

import pytest
import requests
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from exporter.model.failure import Failure, Reason
from exporter.runtime.secret import masked_url
from exporter.transport import HeaderFields, PreparedRequest
from exporter.upstream.trace import MAX_EXCHANGES, Trace
from tests.command import run, serving, vendor_beside
from tests.test_probe import probe_of, publishing
from tests.vendor import Asked, Told, Vendor, caps, caps_config, exporter, vendor

FILE = "hush-file-token"
ENV = {"HUSH_PASSWORD": "hush-env-password"}
AUTHS = {
    "headers": (
        "{type: headers, headers: {Authorization: hush-header, TokenType: hush-type, Accept: hush-accept}}"
    ),
    "basic": "{type: basic, username: hush-user, password: {env: HUSH_PASSWORD}}",
    "bearer": "{type: bearer, token: {file: token}}",
    "oauth2": "{type: oauth2, token_url: '%s/token', client_id: me, client_secret: hush-secret}",
    "crafter": "{type: crafter_session, username: hush-user, password: hush-password}",
    "aksk": "{type: huawei_aksk, access_key: hush-access, secret_key: hush-secret}",
}
PATH = re.compile(r"/v1/Projects/[^/?#]+/BuildJobs/[^/?#]+/properties\?locale=[^/?#&]+")


def reflecting(asked: Asked) -> Told:
    """A vendor that sends back all it was sent, wherever it can."""
    if asked.path == "/token":
        return Told({"access_token": "hush-issued-token", "expires_in": 3600, "token_type": "Bearer"})
    sent = {name: value for name, value in asked.headers.items() if "hush" in value or name in SECRET}
    whole = " ".join(sent.values())
    headers = {
        "Set-Cookie": f"JSESSIONID=hush-session; note={quote(whole)}; Path=/",
        "Server": f"echo {whole}",
        "Location": f"/login?token={quote(whole)}",
        "X-Echo": whole,
        "Content-Type": "application/json",
        "X-RateLimit-Remaining": "7",
        "X-Request-Id": quote(whole, safe=""),
        "Via": quote(whole, safe="/"),
        "ETag": base64.b64encode(b"hush").decode(),
    }
    status = 302 if "redirect" in asked.path else 401 if "refused" in asked.path else 200
    return Told(caps("Running", job_progress=0.5), status, headers)


SECRET = ("authorization", "cookie", "x-xsrf-token", "x-auth-token", "x-security-token")


def full_of_secrets(folder: Path, url: str) -> Path:
    (folder / "token").write_text(f"{FILE}\n")
    text = "defaults: {min_interval: 0s}\nsystems:\n"
    for name, auth in AUTHS.items():
        more = f"auth: {auth % url if '%s' in auth else auth}\nheaders: {{X-Api-Key: hush-key}}"
        text += caps_config(url, name=name, more=more)
    file = folder / "config.yaml"
    file.write_text(text)
    return file


@dataclass(frozen=True)
class Scene:
    address: str
    config: Path
    vendor: Vendor
    trap: Vendor

    def get(self, query: str) -> tuple[int, str, str]:
        """Status, content type and body of ``/probe`` with a query that no client has mended."""
        connection = HTTPConnection(self.address.removeprefix("http://"), timeout=60)
        try:
            connection.request("GET", f"/probe?{query}")
            answer = connection.getresponse()
            return answer.status, answer.headers["Content-Type"], answer.read().decode()
        finally:
            connection.close()


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    folder = tmp_path_factory.mktemp("probe")
    with vendor_beside(reflecting) as vendor, vendor_beside(lambda _: Told(caps())) as trap:
        config = full_of_secrets(folder, vendor.url)
        with serving(folder / "exporter", config, **ENV) as (_, address):
            yield Scene(address, config, vendor, trap)


def assert_hushed(text: str) -> None:
    basic = base64.b64encode(f"hush-user:{ENV['HUSH_PASSWORD']}".encode()).decode()
    assert basic not in text
    assert basic.rstrip("=") not in text
    assert [line for line in text.splitlines() if "hush" in line.lower()] == []


@pytest.mark.parametrize("job", ["ok", "redirect", "refused"])
@pytest.mark.parametrize("system", AUTHS)
def test_no_secret_is_shown_though_the_vendor_sends_it_back(system: str, job: str, scene: Scene) -> None:
    text = requests.get(scene.address + probe_of(job, system=system, debug="true"), timeout=60).text
    command = run(
        "probe",
        "--config.file",
        str(scene.config),
        system,
        "project_id=p",
        f"build_job_id={job}",
        "locale=en",
        **ENV,
    )
    for shown in (text, command.stdout):
        assert re.search(r"^Job +\w+/p/\w+/en \(caps, slot\)$", shown, re.MULTILINE)
        assert_hushed(shown)
    assert_hushed(command.stderr)
    if system != "crafter":  # whose login needs cookies that this vendor does not give
        assert "***" in text


def test_the_story_of_a_read_has_request_answer_times_fields_and_samples(scene: Scene) -> None:
    answer = requests.get(scene.address + probe_of("tale", system="bearer", debug="true"), timeout=60)
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    text = answer.text
    for line in (
        "Keys    project_id=p build_job_id=tale locale=en",
        f"  GET {scene.vendor.url}/v1/Projects/p/BuildJobs/tale/properties?locale=en",
        "  Accept: application/json",
        "  Authorization: ***",
        "  X-Api-Key: ***",
        "  set-cookie: ***",
        "  content-type: application/json",
        "  x-ratelimit-remaining: 7",
        "  location: /login",
        "  state: Running → running",
        "  progress: 0.5",
        "  items.total: 10",
        'remote_job_state{system="bearer",job_id="p/tale/en",remote_job_state="running"} 1',
        "probe_success 1",
    ):
        assert line in text.splitlines(), line
    assert re.search(r"^  HTTP status 200, \d+ bytes$", text, re.MULTILINE)
    times = r"name [\d.]+ ms, connect [\d.]+ ms, TLS [\d.]+ ms, first byte [\d.]+ ms, total [\d.]+ ms"
    assert re.search(times, text)


def test_the_story_of_a_failure_names_reason_and_detail(scene: Scene) -> None:
    text = requests.get(scene.address + probe_of("refused", system="headers", debug="true"), timeout=60).text
    assert "  HTTP status 401," in text
    assert "Not read (unauthorized: HTTP status 401)" in text
    assert "  state:" not in text
    assert "probe_success 0" in text


async def test_where_pacing_holds_the_last_result_is_told_with_the_rule_and_its_time(tmp_path: Path) -> None:
    async with (
        vendor(lambda _: Told({"id": "job_1", "system": {"status": "Completed"}})) as xmc,
        exporter(publishing(xmc.url), tmp_path) as running,
    ):
        query = "/probe?system=xmc&id=job_1&debug=true"
        first, second = (await running.get(query)).text, (await running.get(query)).text
        assert len(xmc.asked) == 1
        assert "Request 1" in first
        assert "Request 1" not in second
        assert "Not read now (final): the run has ended for good" in second
        told = re.search(r"The last result is of ([\d.]+) \(20", second)
        assert told
        assert f'read_timestamp_seconds{{system="xmc",job_id="job_1"}} {float(told[1])!r}' in second
        assert "  state: Completed → succeeded" in second


async def test_a_listing_that_tells_of_the_job_is_what_the_story_shows(tmp_path: Path) -> None:
    page = {"data": [{"id": "job_1", "system": {"status": "Running"}}]}
    async with (
        vendor(lambda _: Told(page)) as xmc,
        exporter("defaults: {min_interval: 0s}\n" + publishing(xmc.url, "discover: {}"), tmp_path) as running,
    ):
        await running.scrape()
        text = (await running.get("/probe?system=xmc&id=job_1&debug=true")).text
        assert f"  GET {xmc.url}/authoring/publishing/v1/jobs?pageSize=100" in text
        assert "  state: Running → running" in text


async def test_a_read_that_was_under_way_already_is_shared_and_its_result_told(tmp_path: Path) -> None:
    gate = asyncio.Event()
    async with (
        vendor(lambda _: Told(caps("Running"), after=gate.wait)) as docs,
        exporter("systems:\n" + caps_config(docs.url), tmp_path) as running,
        running.asking("/metrics") as page,
        running.asking(probe_of("0", debug="true")) as story,
    ):
        gate.set()
        text = await story()
        await page()
        assert len(docs.asked) == 1
        assert "it shared a read under way" in text
        assert "  state: Running → running" in text


def test_an_answer_that_plays_with_the_terminal_is_made_harmless() -> None:
    odd = {"job_status": "Run\x1b[31m\u202e", "total_count": 1, "failed_count": 0}
    with vendor_beside(lambda _: Told(odd, headers={"Server": "\x9b1m"})) as docs:
        text = probing(docs.url, "docs", "project_id=p", "build_job_id=b", "locale=en").stdout
    assert not any(character in text for character in "\x1b\x9b\u202e")
    assert "→ unknown" in text
    assert "  unknown word: add it to the system, as in states: {failed: ['Run[31m']}" in text


def probing(url: str, *arguments: str) -> CompletedProcess[str]:
    """The command with a config of one system, the job p/0/en."""
    with TemporaryDirectory() as folder:
        file = Path(folder) / "config.yaml"
        file.write_text("systems:\n" + caps_config(url))
        return run("probe", "--config.file", str(file), *arguments)


GOOD = ("docs", "project_id=p", "build_job_id=0", "locale=en")


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (("nope", "id=1"), 2, "system: is not configured; allowed: docs"),
        (("docs", "project_id=p", "build_job_id=0"), 2, "locale: is missing"),
        ((*GOOD, "sesame=1"), 2, "sesame: unknown parameter; allowed: system, debug"),
        ((*GOOD, "locale=de"), 2, "locale: is given more than once"),
        ((*GOOD[:3], "locale=.."), 2, "locale: must not be . or .."),
        ((*GOOD[:3], "locale=\udcff"), 2, "locale: is not UTF-8 text"),
        ((*GOOD, "sesame"), 2, "argument 4 after SYSTEM is not KEY=VALUE"),
        ((), 2, "SYSTEM is missing"),
    ],
)
def test_wrong_use_of_the_command_is_exit_code_2_and_says_what_is_allowed(
    arguments: tuple[str, ...], code: int, told: str
) -> None:
    done = probing("http://127.0.0.1:1", *arguments)
    assert (done.returncode, done.stdout) == (code, "")
    assert told in done.stderr
    assert "Traceback" not in done.stderr


def test_the_command_shows_the_verdict_first_and_samples_on_demand_only() -> None:
    with vendor_beside(lambda _: Told(caps("Running", job_progress=0.5))) as docs:
        text = probing(docs.url, *GOOD).stdout
        with_samples = probing(docs.url, "--samples", *GOOD).stdout
    order = ("STATE ", "▶ running", "Job     docs/p/0/en", "  state: Running →", "Request 1", "Response 1")
    places = [text.index(each) for each in order]
    assert places == sorted(places)
    assert places[0] == 0
    assert "Samples" not in text
    assert not text.endswith("\n\n")
    assert "\nSamples\n\n# HELP remote_job_up" in with_samples
    assert with_samples.splitlines()[-1].startswith("probe_duration_seconds ")


def test_a_failed_read_shows_the_next_step_and_where_its_reason_is_explained() -> None:
    with vendor_beside(lambda _: Told(status=403)) as docs:
        text = probing(docs.url, *GOOD).stdout
    first, _, rest = text.partition("\nJob ")
    assert "⚠ unreadable" in first
    assert "Give the account the right to read it." in " ".join(first.split())
    assert "docs/on-call/reasons.md#forbidden\n" in first
    assert rest.index("Not read (forbidden: HTTP status 403)") < rest.index("Request 1")


@pytest.mark.parametrize(("status", "code"), [(200, 0), (500, 1)])
def test_the_exit_code_of_the_command_tells_whether_the_job_was_read(status: int, code: int) -> None:
    with vendor_beside(lambda _: Told(caps(), status)) as docs:
        done = probing(docs.url, *GOOD)
        assert (done.returncode, done.stderr) == (code, "")
        assert f"HTTP status {status}" in done.stdout
        assert len(docs.asked) == 1


def test_a_config_with_errors_is_exit_code_1(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("systems: {docs: {provider: nope}}")
    done = run("probe", "--config.file", str(file), "docs")
    assert (done.returncode, done.stdout) == (1, "")
    assert f"{file}:1: systems.docs.provider:" in done.stderr


HOSTILE = st.one_of(
    st.text(max_size=40),
    st.sampled_from(
        [
            "..",
            ".",
            "../..",
            "%2e%2e",
            "..%2f..",
            "//{trap}/",
            "http://{trap}/",
            "@{trap}/",
            "a@{trap}",
            "\\\\{trap}\\",
            "/v1/Projects/x",
            "a?b",
            "a#b",
            "a;b",
            "a%00b",
            "a\r\nHost: {trap}\r\n\r\nGET / HTTP/1.1",
            "en&locale=de",
            "{{x}}",
            "*",
            "٣",
            "a/b/../../c",
            "\u2028",
            "\ufeff",
            "x" * 600,
        ]
    ),
)
NAMES = st.sampled_from(
    ["system", "project_id", "build_job_id", "locale", "debug", "base_url", "target", "proxy_url", "auth"]
)
RAW = st.text("abcdefgh0123456789%&=+?/#.:@;_-[]{}\\|^`~!$'()*,\"<>", max_size=120)
FUZZ = settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def checked(scene: Scene, query: str) -> tuple[int, str]:
    """Probes, and holds what came of it against all that must be so for any query."""
    before = len(scene.vendor.asked)
    status, type_, text = scene.get(query)
    assert status in (200, 400)
    assert type_.startswith("text/plain")
    assert_hushed(text)
    asked = [one.path for one in scene.vendor.asked[before:] if one.path != "/token"]
    assert all(PATH.fullmatch(path) for path in asked), asked
    assert len(asked) <= (1 if status == 200 else 0)
    assert {one.headers["host"] for one in scene.vendor.asked} <= {scene.vendor.url.removeprefix("http://")}
    assert scene.trap.asked == []
    return status, text


@given(keys=st.dictionaries(NAMES, HOSTILE, max_size=6))
@FUZZ
def test_no_values_reach_another_host_or_another_kind_of_path(keys: Mapping[str, str], scene: Scene) -> None:
    wanted = {"system": "bearer", "project_id": "p", "build_job_id": "b", "locale": "en"}
    trap = scene.trap.url.removeprefix("http://")
    pairs = {name: value.replace("{trap}", trap) for name, value in {**wanted, **keys}.items()}
    checked(scene, urlencode(pairs))


@given(
    project=HOSTILE,
    build=HOSTILE,
    locale=HOSTILE,
)
@FUZZ
def test_allowed_keys_arrive_as_they_are(project: str, build: str, locale: str, scene: Scene) -> None:
    pairs = {"project_id": project, "build_job_id": build, "locale": locale}
    before = len(scene.vendor.asked)
    status, _ = checked(scene, urlencode({"system": "headers", **pairs}))
    if status == 200 and (asked := scene.vendor.asked[before:]):
        parts = [quote(value, safe="") for value in (project, build, locale)]
        assert asked[-1].path == "/v1/Projects/{}/BuildJobs/{}/properties?locale={}".format(*parts)


@given(query=RAW)
@FUZZ
def test_no_query_however_odd_is_more_than_a_probe_or_a_refusal(query: str, scene: Scene) -> None:
    checked(scene, query)
    checked(scene, f"system=bearer&project_id=p&build_job_id=b&locale={query}")


def prepared(url: str = "http://x/", **headers: str) -> PreparedRequest:
    return PreparedRequest("GET", url, HeaderFields(headers))


def test_of_many_exchanges_the_first_are_kept_and_the_rest_counted() -> None:
    trace = Trace()
    for _ in range(MAX_EXCHANGES + 5):
        trace.request(prepared(), prepared())
        trace.failure(Failure(Reason.CONNECT, "refused"))
    assert (len(trace.exchanges), trace.more) == (MAX_EXCHANGES, 5)
    assert {exchange.failure for exchange in trace.exchanges} == {"connect: refused"}


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://x/a?locale=en", "http://x/a?locale=en"),
        ("http://x/a?api_key=sesame&b=1", "http://x/a?api_key=***&b=1"),
        ("http://x/a?b=%2F&Access-Token=a%26b", "http://x/a?b=%2F&Access-Token=***"),
        ("http://x/token/key", "http://x/token/key"),
        ("http://x/a?%74oken=sesame", "http://x/a?%74oken=***"),
        ("http://x/a?b=1;token=sesame", "http://x/a?b=1;token=***"),
        ("http://x/a?code=sesame&jwt=sesame&session=sesame", "http://x/a?code=***&jwt=***&session=***"),
    ],
)
def test_parameters_that_sound_like_secrets_are_masked(url: str, shown: str) -> None:
    assert masked_url(url) == shown


JSON = """
systems:
  other:
    provider: json
    base_url: {url}
    read:
      path: /api/{{folder}}/jobs/{{id}}
      query: {{api_key: hush-parameter, view: full}}
      headers: {{X-Key: hush-header}}
      state: status
    jobs: [{{folder: a, id: "1"}}]
"""


async def test_a_value_that_is_left_out_is_named_with_the_reason_and_without_the_value(
    tmp_path: Path,
) -> None:
    config = JSON.replace("state: status", "state: status\n      items: n\n      ended_at: end")
    async with (
        vendor(lambda _: Told({"status": "failed", "n": 4, "end": "odd-end"})) as other,
        exporter(config.format(url=other.url), tmp_path) as running,
    ):
        text = (await running.get("/probe?system=other&id=1&folder=a&debug=true")).text
        assert "  items.total: 4" in text.splitlines()
        assert "\nLeft out\n  ended_at: the value is not a time\n" in text
        assert "notes" not in text
        assert "odd-end" not in text


async def test_a_job_of_any_other_api_has_the_keys_that_its_config_names(tmp_path: Path) -> None:
    async with (
        vendor(lambda _: Told({"status": "running"}, headers={"X-Echo": "hush-header"})) as other,
        exporter(JSON.format(url=other.url), tmp_path) as running,
    ):
        text = (await running.get("/probe?system=other&id=7&folder=b/c&debug=true")).text
        assert f"  GET {other.url}/api/b%2Fc/jobs/7?api_key=***&view=full" in text.splitlines()
        assert 'remote_job_state{system="other",job_id="b/c/7",remote_job_state="running"} 1' in text
        assert_hushed(text)
        refused = await running.get("/probe?system=other&folder=..&status=x")
        assert refused.status_code == 400
        assert refused.text.splitlines() == [
            "id: is missing; allowed: folder, id",
            "status: unknown parameter; allowed: system, debug, folder, id",
            "folder: must not be . or .., nor have these between / or \\, which would change the path",
        ]
        targets = (await running.get("/sd")).json()
        assert [group["labels"]["__param_folder"] for group in targets] == ["a"]
        assert len(other.asked) == 1
