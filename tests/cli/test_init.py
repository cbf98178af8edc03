"""``init``: what it asks, tries, shows and writes; with flags alone, and as a person answers."""

import json
import signal
import stat
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from exporter import simulator
from exporter.cli import init
from exporter.cli.draft import Draft
from exporter.cli.main import cli, load_command
from exporter.cli.trial import Trial
from exporter.collector.online import Online
from exporter.guides import GUIDES
from exporter.simulator import caps, crafter, itwin, sitecore
from tests.cli.conftest import Run
from tests.command import vendor_beside
from tests.vendor import Asked, Told

JOBS = [
    {"id": "a", "title": "Import", "status": "BUSY", "percent": 40},
    {"id": "b", "title": "Prices", "status": "OK", "percent": 100},
]
SHOP = "hush-hush-token"


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def api() -> Iterator[str]:
    """The address of a home-made API, which sends back the credential that it gets."""

    def respond(asked: Asked) -> Told:
        sent = asked.headers.get("authorization", asked.headers.get("Authorization", ""))
        if asked.path.startswith("/jobs?") or asked.path == "/jobs":
            return Told({"jobs": [{**job, "by": sent} for job in JOBS], "total": len(JOBS)})
        if asked.path == "/jobs/a":
            return Told(JOBS[0])
        return Told(
            [1, 2] if asked.path == "/odd" else {"error": "no such path"},
            200 if asked.path == "/odd" else 404,
        )

    with vendor_beside(respond) as vendor:
        yield vendor.url


Answer = Callable[..., Result]


@pytest.fixture
def answer(monkeypatch: pytest.MonkeyPatch) -> Answer:
    """Runs the command with a person who answers these lines, then presses Ctrl-D."""
    monkeypatch.setattr(init, "is_terminal", lambda: True)

    def answer(*lines: str, flags: tuple[str, ...] = ()) -> Result:
        return CliRunner().invoke(cli, ["init", *flags], input="".join(f"{line}\n" for line in lines))

    return answer


def written(file: str = "config.yaml") -> dict[str, Any]:
    [system] = yaml.safe_load(Path(file).read_text())["systems"].values()
    return dict(system)


def files() -> list[str]:
    return sorted(str(path) for path in Path().rglob("*") if path.is_file())


def base(simulated: str, path: str) -> tuple[str, ...]:
    return "--base-url", f"{simulated}/{path}"


@pytest.mark.parametrize(
    ("system", "path", "flags"),
    [
        ("crafter", "crafter/studio", ("--token.env", "SECRET")),
        (
            "crafter",
            "crafter-v1/studio",
            ("--auth", "crafter_session", "--username", "demo", "--password.env", "SECRET"),
        ),
        ("itwin", "itwin", ("--client-id", "demo-twin-reader", "--client-secret.env", "SECRET")),
        ("sitecore", "sitecore", ("--client-id", sitecore.CLIENT_ID, "--client-secret.env", "SECRET")),
    ],
)
def test_flags_alone_write_a_configuration_that_check_accepts(
    system: str, path: str, flags: tuple[str, ...], simulated: str, run: Run
) -> None:
    from_simulator = {
        "itwin": ("--token-url", f"{simulated}/ims/connect/token", "--itwin-id", itwin.ITWIN),
        "sitecore": ("--token-url", f"{simulated}/sitecore-auth/oauth/token"),
    }
    secret = {
        "crafter": "demo-crafter-password" if "v1" in path else crafter.TOKEN,
        "itwin": "demo-twin-secret",
        "sitecore": sitecore.CLIENT_SECRET,
    }[system]
    more = from_simulator.get(system, ())
    done = run("init", "--system", system, *base(simulated, path), *flags, *more, SECRET=secret)
    assert done.returncode == 0, done
    assert "jobs found" in done.stdout
    assert " serve config.yaml" in done.stdout
    checked = run("check", "--online", "config.yaml", SECRET=secret)
    assert (checked.returncode, "warning" in checked.stdout) == (0, False)
    assert secret not in Path("config.yaml").read_text() + done.stdout


def test_the_configuration_names_its_schema_and_has_comments(run: Run) -> None:
    flags = (
        "--system",
        "json",
        "--base-url",
        "https://api.example.com",
        "--path",
        "/jobs",
        "--items",
        "jobs",
    )
    assert run("init", "--offline", *flags).returncode == 0
    first, *lines = Path("config.yaml").read_text().splitlines()
    name = first.removeprefix("# yaml-language-server: $schema=")
    assert json.loads(Path(name).read_text()) == json.loads(run("schema").stdout)
    assert sum(line.lstrip().startswith("#") for line in lines) > 5


@pytest.mark.parametrize(
    ("flags", "missing"),
    [
        ((), "--system is missing: Which system?"),
        (("--system", "codearts"), "--base-url is missing"),
        (("--system", "crafter"), "--base-url is missing: Address of Studio. As in the browser"),
        (
            ("--system", "crafter", "--base-url", "http://127.0.0.1:1/studio", "--offline"),
            "--token.env or --token.file",
        ),
        (("--system", "json", "--base-url", "http://127.0.0.1:1", "--offline"), "--path is missing"),
    ],
)
def test_without_a_terminal_a_missing_value_is_an_error_that_names_its_flag(
    flags: tuple[str, ...], missing: str, run: Run
) -> None:
    done = run("init", *flags)
    assert done.returncode == 2
    assert missing in done.stderr
    assert files() == []


def test_the_first_lines_say_what_is_written_and_how_to_answer(answer: Answer) -> None:
    first, second, *_ = answer(flags=("own.yaml",)).output.splitlines()
    assert first == "This writes own.yaml. Enter accepts the value in brackets."
    assert "Ctrl-C ends it" in second


def test_yes_asks_nothing_at_a_terminal_either(answer: Answer) -> None:
    done = answer(flags=("--yes",))
    assert (done.exit_code, files()) == (2, [])


def test_every_question_has_a_flag() -> None:
    flags = {flag for parameter in load_command("init").params for flag in parameter.opts}
    for guide in GUIDES.values():
        signing = [question for sign_in in guide.sign_in.values() for question in sign_in.questions]
        for question in (*guide.system, *signing, *(guide.job if guide.listing is None else guide.listing)):
            named = {f"--{question.option}.env", f"--{question.option}.file"}
            assert (named if question.secret else {f"--{question.option}"}) <= flags


def test_what_does_not_work_is_not_written(simulated: str, run: Run) -> None:
    flags = ("--system", "crafter", *base(simulated, "crafter/studio"), "--token.env", "SECRET")
    done = run("init", *flags, SECRET="wrong")
    assert done.returncode == 1
    assert "Token Management" in " ".join(done.stdout.split())
    assert files() == []


def test_an_address_without_a_server_is_found_before_anything_else_is_asked(run: Run) -> None:
    done = run("init", "--system", "crafter", "--base-url", "http://127.0.0.1:1/studio")
    assert done.returncode == 1
    assert "(127.0.0.1:1, libcurl error 7)" in done.stderr


def test_a_file_that_exists_is_kept_unless_a_flag_says_otherwise(run: Run) -> None:
    flags = (
        "--system",
        "json",
        "--base-url",
        "https://a.example.com",
        "--path",
        "/jobs",
        "--items",
        "jobs",
        "--offline",
    )
    Path("config.yaml").write_text("mine")
    done = run("init", *flags)
    assert (done.returncode, Path("config.yaml").read_text()) == (1, "mine")
    assert "--overwrite" in done.stderr
    assert run("init", *flags, "--overwrite").returncode == 0
    assert written()["provider"] == "json"


def test_a_person_is_asked_before_a_file_is_overwritten(answer: Answer) -> None:
    Path("config.yaml").write_text("mine")
    done = answer("n")
    assert (done.exit_code, Path("config.yaml").read_text()) == (1, "mine")


def test_a_pasted_secret_goes_to_a_file_that_only_its_owner_can_read(answer: Answer, simulated: str) -> None:
    done = answer("3", "web", f"{simulated}/crafter/studio", "", crafter.TOKEN, "corporate, 3")
    assert done.exit_code == 0, done.output
    secret = Path("secrets/web-token")
    assert secret.read_text() == crafter.TOKEN
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    assert stat.S_IMODE(secret.parent.stat().st_mode) == 0o700
    assert crafter.TOKEN not in done.output
    printed = done.output.replace(f"{simulated}/crafter/studio", "")
    assert max(map(len, printed.splitlines())) <= 80
    assert written()["auth"] == {"type": "bearer", "token": {"file": "secrets/web-token"}}
    assert [job["site_id"] for job in written()["jobs"]] == ["corporate", "careers"]
    assert "discover" not in written()


def test_a_wrong_answer_can_be_given_again(answer: Answer, simulated: str) -> None:
    where = f"{simulated}/crafter/studio"
    first = ("3", "no name!", "site", "http://127.0.0.1:1/studio", where, "", "wrong", "credential")
    done = answer(*first, "", crafter.TOKEN, "all")
    assert done.exit_code == 0, done.output
    assert written()["base_url"] == where
    assert written()["discover"] == {"sites": True}
    assert "This is not allowed: not a name for a system" in done.output
    assert "(127.0.0.1:1, libcurl error 7)" in done.output


def test_an_address_that_is_not_allowed_is_asked_for_again_before_the_credential(
    answer: Answer, simulated: str
) -> None:
    done = answer("3", "", "studio.example.com", f"{simulated}/crafter", f"{simulated}/crafter/studio")
    assert "Address of Studio [studio.example.com]" not in done.output
    assert "does not end in /studio" in done.output
    assert done.output.count("Which credential?") == 1


def test_another_address_does_not_need_the_credential_again(answer: Answer, simulated: str) -> None:
    lines = ("3", "", f"{simulated}/elsewhere/studio", "", crafter.TOKEN, "address")
    done = answer(*lines, f"{simulated}/crafter/studio", "all")
    assert done.exit_code == 0, done.output
    assert Path("secrets/site-token").read_text() == crafter.TOKEN
    assert written()["base_url"] == f"{simulated}/crafter/studio"


def test_a_secret_that_is_pasted_at_another_question_is_not_repeated(answer: Answer, api: str) -> None:
    done = answer("6", "", api, SHOP)
    assert "Allowed: a number from 1 to 4" in done.output
    assert SHOP not in done.output.replace(f"[1]: {SHOP}", "")  # as the terminal shows what is typed


def test_what_does_not_work_is_written_only_if_that_is_wanted(answer: Answer, simulated: str) -> None:
    done = answer("3", "", f"{simulated}/crafter/studio", "", "wrong", "write")
    assert done.exit_code == 0, done.output
    assert Path("secrets/site-token").read_text() == "wrong"


def test_another_path_does_not_need_the_credential_again(answer: Answer, api: str) -> None:
    lines = ("6", "", api, "2", SHOP, "/odd", "", "/none", "jobs", "/jobs")
    done = answer(*lines, "", "", "", "", "", "", "all")
    assert done.exit_code == 0, done.output
    assert "contains no list of objects" in done.output
    assert "Compare base_url and path with an address that works" in " ".join(done.output.split())
    assert Path("secrets/other-token").read_text() == SHOP
    assert written()["discover"]["path"] == "/jobs"


def test_what_only_fails_at_the_moment_is_written_by_default(answer: Answer) -> None:
    with vendor_beside(lambda _: Told({}, 503)) as vendor:
        done = answer("3", "", f"{vendor.url}/studio", "", "a-token", "")
    assert done.exit_code == 0, done.output
    assert "server_error" in done.output
    assert written()["discover"] == {"sites": True}


def test_what_the_configuration_refuses_cannot_be_written(answer: Answer, simulated: str) -> None:
    done = answer("2", "", f"{simulated}/codearts", "", "access-key", "secret-key", "8d2a", "write")
    assert "project_id: must be 32 letters and digits" in done.output
    assert (done.exit_code, files()) == (1, [])


def test_a_password_in_an_address_is_refused_and_not_shown(run: Run) -> None:
    done = run("init", "--system", "json", "--base-url", "http://me:hush-hush@127.0.0.1:1")
    assert done.returncode == 1
    assert "must not contain a user name or password" in done.stderr
    assert "hush-hush" not in done.stderr + done.stdout


@pytest.mark.parametrize("answers", range(6))
def test_ctrl_c_leaves_nothing(answers: int, answer: Answer, simulated: str) -> None:
    lines = ("3", "", f"{simulated}/crafter/studio", "", crafter.TOKEN)[:answers]
    done = answer(*lines)
    assert done.exit_code == 1
    assert "Nothing was written." in done.output
    assert [*Path().iterdir()] == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_the_end_of_the_terminal_leaves_no_pasted_secret(
    number: signal.Signals, answer: Answer, simulated: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trials = tmp_path / "trials"
    trials.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(trials))
    read = Trial.read

    def ended(self: Trial, draft: Draft) -> Online:
        assert [*trials.rglob("*-token")]
        signal.raise_signal(number)
        return read(self, draft)

    monkeypatch.setattr(Trial, "read", ended)
    done = answer("3", "", f"{simulated}/crafter/studio", "", crafter.TOKEN, "all")
    assert (done.exit_code, files()) == (1, [])
    assert [*trials.iterdir()] == []


@pytest.mark.parametrize("at", range(3))
def test_an_interrupt_while_files_are_written_leaves_nothing(
    at: int, answer: Answer, simulated: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = iter(range(10))
    replace = Path.replace

    def interrupted(self: Path, target: Path) -> Path:
        if next(calls) == at:
            raise KeyboardInterrupt
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", interrupted)
    done = answer("3", "", f"{simulated}/crafter/studio", "", crafter.TOKEN, "all")
    assert (done.exit_code, files()) == (1, [])


def test_a_home_made_api_is_found_out_from_its_list(answer: Answer, api: str, run: Run) -> None:
    done = answer("6", "", api, "2", SHOP, "/jobs?limit=9", "", "", "", "", "", "", "all")
    assert done.exit_code == 0, done.output
    assert SHOP not in done.output
    assert written()["read"] == {
        "path": "/jobs/{id}",
        "state": "status",
        "progress": "percent / `100`",
        "name": "title",
        "states": {"running": ["BUSY"], "succeeded": ["OK"]},
    }
    assert written()["discover"] == {
        "path": "/jobs",
        "query": {"limit": "9"},
        "items": "jobs",
        "keys": {"id": "id"},
        "state": "status",
    }
    checked = run("check", "--online", "config.yaml")
    assert (checked.returncode, "warning" in checked.stdout) == (0, False)


def test_the_header_of_a_key_can_have_any_name(answer: Answer, api: str) -> None:
    lines = ("6", "", api, "headers", "X Token", "k", "headers", "Authorization", SHOP)
    done = answer(*lines, f"{api}/jobs", "", "", "", "", "", "", "all")
    assert done.exit_code == 0, done.output
    assert written()["auth"] == {
        "type": "headers",
        "headers": {"Authorization": {"file": "secrets/other-api-key"}},
    }
    assert written()["discover"]["path"] == "/jobs"


def test_a_home_made_api_needs_few_flags(api: str, run: Run) -> None:
    done = run("init", "--system", "json", "--base-url", api, "--path", "/jobs", "--states", "failed=OK")
    assert done.returncode == 0, done
    assert written()["read"]["states"] == {"failed": ["OK"], "running": ["BUSY"]}


def test_a_query_keeps_repeated_and_empty_parameters(run: Run) -> None:
    flags = ("--path", "/jobs?type=a&type=b&all=&limit=9", "--items", "jobs")
    done = run("init", "--offline", "--system", "json", "--base-url", "https://a.example.com", *flags)
    assert done.returncode == 0, done
    assert written()["discover"]["query"] == {"type": ["a", "b"], "all": "", "limit": "9"}


def test_one_job_of_a_home_made_api_can_be_watched(api: str, run: Run) -> None:
    done = run("init", "--system", "json", "--base-url", api, "--path", "/jobs/{id}", "--id", "a")
    assert done.returncode == 0, done
    assert written()["jobs"] == [{"id": "a"}]
    assert written()["read"]["states"] == {"running": ["BUSY"]}


@pytest.mark.parametrize(
    ("path", "said"), [("/odd", "contains no list of objects"), ("/none", "HTTP status 404")]
)
def test_a_path_without_jobs_is_an_error(path: str, said: str, api: str, run: Run) -> None:
    done = run("init", "--system", "json", "--base-url", api, "--path", path)
    assert (done.returncode, files()) == (1, [])
    assert said in done.stderr


def test_a_word_for_an_unknown_state_is_refused(api: str, run: Run) -> None:
    done = run("init", "--system", "json", "--base-url", api, "--path", "/jobs", "--states", "great=OK")
    assert done.returncode == 2
    assert "--states great=OK" in done.stderr


def test_only_found_jobs_can_be_chosen(api: str, run: Run) -> None:
    done = run("init", "--system", "json", "--base-url", api, "--path", "/jobs", "--watch", "a,zzz")
    assert (done.returncode, files()) == (1, [])
    assert "--watch: zzz is not among the 2 jobs" in done.stderr


def test_every_line_fits_a_narrow_terminal(answer: Answer, simulated: str) -> None:
    for number in range(1, 7):
        done = answer(str(number), "", "", "", "", "", flags=("--base-url", simulated))
        assert max(map(len, done.output.splitlines())) <= 80, done.output


def test_a_secret_can_stay_in_a_variable_or_a_file(
    answer: Answer, api: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("API_TOKEN", SHOP)
    monkeypatch.delenv("NO_TOKEN", raising=False)
    found = ("/jobs", "", "", "", "", "", "", "all")
    done = answer("6", "", api, "2", "", "env", "NO_TOKEN", "env", "API_TOKEN", *found)
    assert done.exit_code == 0, done.output
    assert "The environment variable NO_TOKEN is not set." in done.output
    assert written()["auth"]["token"] == {"env": "API_TOKEN"}
    assert "serve needs these variables too: API_TOKEN." in done.output

    Path("token").write_text(SHOP)
    done = answer("6", "", api, "2", "", "file", "none", "file", "token", *found, flags=("--overwrite",))
    assert done.exit_code == 0, done.output
    assert written()["auth"]["token"] == {"file": str(tmp_path / "token")}
    assert SHOP not in done.output


def test_a_word_for_no_state_is_asked_for_again(answer: Answer, api: str) -> None:
    done = answer("6", "", api, "1", "/jobs", "", "", "", "-", "great", "failed", "", "a")
    assert done.exit_code == 0, done.output
    assert written()["read"]["states"] == {"failed": ["BUSY"], "succeeded": ["OK"]}
    assert "progress" not in written()["read"]
    assert written()["jobs"] == [{"id": "a", "name": "Import"}]


def test_a_job_that_was_not_found_cannot_be_chosen(answer: Answer, simulated: str) -> None:
    done = answer("3", "", f"{simulated}/crafter/studio", "", crafter.TOKEN, "nowhere", "corporate")
    assert done.exit_code == 0, done.output
    assert "nowhere is not among the" in done.output
    assert written()["jobs"] == [{"site_id": "corporate", "name": "Corporate site"}]


def test_a_system_without_a_listing_is_asked_for_its_job(simulated: str, run: Run) -> None:
    [job] = yaml.safe_load(simulator.config(simulated))["systems"]["docs"]["jobs"][:1]
    keys = ("--project-id", job["project_id"], "--build-job-id", job["build_job_id"])
    flags = ("--system", "caps", "--base-url", f"{simulated}/caps", "--token.env", "SECRET", *keys)
    done = run("init", *flags, SECRET=caps.TOKEN)
    assert done.returncode == 0, done
    assert written()["jobs"] == [{name: job[name] for name in ("project_id", "build_job_id", "locale")}]
    assert written()["auth"]["headers"] == {"Authorization": {"env": "SECRET"}, "TokenType": "jwt"}


def test_offline_jobs_can_be_named_without_a_listing(run: Run) -> None:
    flags = ("--base-url", "https://studio.example.com/studio", "--token.env", "SECRET", "--watch", "a,b")
    done = run("init", "--system", "crafter", "--offline", *flags, SECRET="x" * 9)
    assert done.returncode == 0, done
    assert written()["jobs"] == [{"site_id": "a"}, {"site_id": "b"}]
    assert run("check", "config.yaml", SECRET="x" * 9).returncode == 0


def test_a_value_that_the_configuration_refuses_is_an_error(run: Run) -> None:
    flags = ("--client-id", "x", "--client-secret.env", "SECRET", "--itwin-id", "mine")
    done = run("init", "--system", "itwin", "--offline", *flags, SECRET="x" * 9)
    assert (done.returncode, files()) == (1, [])
    assert "systems.twins.discover.itwin_id" in done.stderr


def test_a_folder_that_cannot_be_written_is_named(run: Run) -> None:
    Path("taken").write_text("")
    flags = ("--system", "json", "--base-url", "https://a.example.com", "--path", "/jobs", "--items", "jobs")
    done = run("init", "--offline", *flags, "taken/config.yaml")
    assert (done.returncode, files()) == (1, ["taken"])
    assert "taken cannot be written" in done.stderr
