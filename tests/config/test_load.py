import time
from collections.abc import Iterator, Mapping
from math import inf
from pathlib import Path
from typing import Any

import pytest

from exporter.auth import CREDENTIALS
from exporter.config import Config, ConfigError, Reach, SystemConfig, load
from exporter.config.read import unread
from exporter.model.job import Expect, Job, Kind, State
from exporter.providers import PROVIDERS
from exporter.providers.crafter.studio import Crafter
from exporter.transport import ConnectionSettings
from tests.config.conftest import GOOD, Load
from tests.vendor import with_provider

HOUR = 3600.0
DAY = 24 * HOUR


@pytest.fixture(scope="module")
def systems() -> Mapping[str, SystemConfig]:
    return {system.name: system for system in load(GOOD).systems}


def test_systems_come_in_the_order_of_the_file(systems: Mapping[str, SystemConfig]) -> None:
    assert list(systems) == [
        "docs",
        "builds",
        "site",
        "twins",
        "xmc",
        "builds-signed",
        "builds-by-password",
        "site-by-login",
        "behind-a-gateway",
        "other",
    ]


def test_every_credential_can_be_configured(systems: Mapping[str, SystemConfig]) -> None:
    assert {system.reach.auth.type for system in systems.values()} == set(CREDENTIALS)


def test_a_job_has_what_its_provider_makes_of_its_keys(systems: Mapping[str, SystemConfig]) -> None:
    first, second = systems["docs"].jobs
    assert first == Job(
        system="docs",
        id="5deff363-2bde-473e-8479-ea9ce1c4a6bc/da180f8a-6d2e-4c09-88e5-da8372be2936--promote/en-US",
        kind=Kind.SLOT,
        provider="caps",
        keys={
            "project_id": "5deff363-2bde-473e-8479-ea9ce1c4a6bc",
            "build_job_id": "da180f8a-6d2e-4c09-88e5-da8372be2936--promote",
            "locale": "en-US",
        },
        name="Docs live",
        labels={"squad": "english", "tier": "1"},
        expect=Expect(start_within=600.0, success_within=DAY),
        link="https://caps.example.com/ui/5deff363-2bde-473e-8479-ea9ce1c4a6bc"
        "?job=da180f8a-6d2e-4c09-88e5-da8372be2936--promote#/en-US",
    )
    assert list(first.keys) == ["project_id", "build_job_id", "locale"]
    assert (second.id, second.name, second.labels) == ("p/b/de-DE", "", {"squad": "docs", "tier": "1"})


def test_numbers_among_the_keys_become_text(systems: Mapping[str, SystemConfig]) -> None:
    latest, fixed = systems["builds"].jobs
    assert (latest.keys["build_no"], latest.kind) == ("latest", Kind.SLOT)
    assert (fixed.keys["build_no"], fixed.kind) == ("7", Kind.RUN)
    assert fixed.id == "48c66c6002964721be537cdc6ce0297b/7"


def test_the_nearest_expectation_wins_key_by_key(systems: Mapping[str, SystemConfig]) -> None:
    _, second = systems["docs"].jobs
    assert second.expect == Expect(start_within=600.0, run_within=2 * HOUR, success_within=7 * DAY)


def test_the_words_for_states_are_added_to_those_of_the_provider(systems: Mapping[str, SystemConfig]) -> None:
    site = systems["site"]
    assert site.reach.words == {
        "broken": State.FAILED,
        "brøken off": State.FAILED,
        "ready": State.UNKNOWN,
    }
    assert site.provider.words == {**site.provider.states, **site.reach.words}
    assert systems["docs"].provider.words == systems["docs"].provider.states


def test_success_is_expected_of_slots_only(systems: Mapping[str, SystemConfig]) -> None:
    latest, fixed = systems["builds"].jobs
    assert latest.expect.success_within == 7 * DAY
    assert fixed.expect.success_within is None


def test_without_a_word_the_expectations_are_those_of_the_contract(config: Load) -> None:
    (system,) = config(
        "systems: {s: {provider: crafter, base_url: http://a.example, jobs: [{site_id: x}]}}"
    ).systems
    assert system.jobs[0].expect == Expect(start_within=1800, progress_within=1800, run_within=12 * HOUR)


def test_without_a_word_the_settings_are_those_of_the_contract(config: Load) -> None:
    (system,) = config(
        "systems: {s: {provider: crafter, base_url: http://a.example, jobs: [{site_id: x}]}}"
    ).systems
    assert system == SystemConfig(
        name="s",
        reach=Reach(
            provider=PROVIDERS["crafter"],
            options=PROVIDERS["crafter"].Options(),
            words={},
            base_url="http://a.example",
            credential=CREDENTIALS["none"],
            auth=CREDENTIALS["none"].Keys.model_validate({"type": "none"}),
            connection=ConnectionSettings(system.reach.connection.tls, None),
            headers={},
            timeout=8.0,
            concurrency=16,
            conditional=True,
        ),
        provider=system.provider,
        labels={},
        min_interval=10.0,
        final_interval=600.0,
        state_series="all",
        max_jobs=2000,
        link="",
        expect={
            "start_within": 1800.0,
            "progress_within": 1800.0,
            "run_within": 43200.0,
            "success_within": inf,
        },
        discover=(),
        jobs=system.jobs,
    )
    assert system.reach.connection.tls.min_version == "TLS12"
    assert not system.reach.connection.tls.insecure_skip_verify


def test_a_system_takes_the_defaults_and_may_say_otherwise(systems: Mapping[str, SystemConfig]) -> None:
    def settings(system: SystemConfig) -> tuple[object, ...]:
        return (
            system.reach.timeout,
            system.reach.concurrency,
            system.min_interval,
            system.final_interval,
            system.state_series,
        )

    assert settings(systems["docs"]) == (9.0, 8, 0.0, 5400.0, "current")
    assert settings(systems["builds"]) == (60.0, 256, 10.0, 600.0, "all")


def test_what_a_system_says_of_its_wire_arrives(systems: Mapping[str, SystemConfig]) -> None:
    assert systems["docs"].reach.base_url == "https://caps.example.com"
    assert systems["site"].reach.headers == {"Host": "studio.example.com", "X-Trace": "exporter"}
    assert systems["site"].reach.connection.proxy_url == "http://proxy.example.com:3128"
    assert systems["site"].reach.options.api == "v2"
    assert systems["twins"].reach.options.service == "realitydataanalysis"
    assert systems["xmc"].reach.connection.tls.min_version == "TLS13"
    assert systems["xmc"].reach.connection.tls.server_name == "edge.example.com"


def test_a_provider_and_a_credential_can_be_made_of_every_system(systems: Mapping[str, SystemConfig]) -> None:
    for system in systems.values():
        assert type(system.provider.options) is system.provider.Options
        system.reach.credential(system.reach.auth)


SITE = "provider: crafter, base_url: 'http://a.example', jobs: [{site_id: x}], "


@pytest.mark.parametrize(
    ("keys", "reached_alike"),
    [
        ("auth: {type: bearer, token: sesame}", True),
        ("labels: {squad: docs}, auth: {type: bearer, token: sesame}", True),
        ("min_interval: 1s, max_jobs: 1, auth: {type: bearer, token: sesame}", True),
        ("auth: {type: bearer, token: other}", False),
        ("auth: {type: none}", False),
        ("timeout: 1s, auth: {type: bearer, token: sesame}", False),
        ("concurrency: 1, auth: {type: bearer, token: sesame}", False),
        ("headers: {X-Trace: a}, auth: {type: bearer, token: sesame}", False),
        ("proxy_url: 'http://b.example', auth: {type: bearer, token: sesame}", False),
        ("tls: {insecure_skip_verify: true}, auth: {type: bearer, token: sesame}", False),
        ("api: v2, auth: {type: bearer, token: sesame}", False),
    ],
)
def test_two_configs_of_a_system_tell_whether_it_is_reached_the_same_way(
    config: Load, keys: str, *, reached_alike: bool
) -> None:
    first = f"{SITE}auth: {{type: bearer, token: sesame}}"
    (one,) = config(f"systems: {{s: {{{first}}}}}").systems
    (other,) = config(f"systems: {{s: {{{SITE}{keys}}}}}").systems
    assert (one.reach == other.reach) is reached_alike
    assert (one == other) is (SITE + keys == first)


def test_a_provider_is_made_once_for_each_system(tmp_path: Path) -> None:
    made = []

    class Counted(Crafter):
        """Counts its instances."""

        def __init__(self, options: Any) -> None:
            super().__init__(options)
            made.append(self)

    (tmp_path / "config.yaml").write_text(f"systems: {{s: {{{SITE}}}, t: {{{SITE}}}}}")
    systems = load(tmp_path / "config.yaml", registry=with_provider(Counted)).systems
    assert [system.job({"site_id": "y"}, "").id for system in systems] == ["y", "y"]
    assert made == [system.provider for system in systems]


def test_a_secret_file_is_looked_for_beside_the_config(
    systems: Mapping[str, SystemConfig], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert systems["docs"].reach.auth.headers["Authorization"].reveal() == "sesame"
    monkeypatch.chdir(GOOD.parent)
    assert load(Path(GOOD.name)).systems[0].reach.auth.headers["Authorization"].reveal() == "sesame"
    monkeypatch.chdir(tmp_path)
    assert load(GOOD).systems[0].reach.auth.headers["Authorization"].reveal() == "sesame"


def test_a_tls_file_is_looked_for_beside_the_config(config: Load, tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("no certificate")
    with pytest.raises(ConfigError, match=r"systems.s.tls: ca_file: .* is not a PEM file"):
        config(
            "systems: {s: {provider: crafter, base_url: http://a.example, tls: {ca_file: ca.pem}, "
            "jobs: [{site_id: x}]}}"
        )


def test_a_secret_comes_from_the_environment(config: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REMOTE_JOB_TEST_TOKEN", "sesame")
    (system,) = config(
        "systems: {s: {provider: crafter, base_url: http://a.example, jobs: [{site_id: x}],"
        " auth: {type: bearer, token: {env: REMOTE_JOB_TEST_TOKEN}}}}"
    ).systems
    assert system.reach.auth.token.reveal() == "sesame"


def test_no_secret_shows_in_what_was_loaded() -> None:
    assert "sesame" not in repr(load(GOOD))


def test_a_file_that_is_not_there_is_a_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path / "none.yaml")
    assert str(caught.value) == f"{tmp_path}/none.yaml:1: cannot be read: No such file or directory"


def test_an_error_can_be_told_to_machines(config: Load, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        config("defaults: {timeout: 0s}\nsystems: {}\n")
    assert [error.as_dict() for error in caught.value.errors] == [
        {
            "file": f"{tmp_path}/config.yaml",
            "line": 1,
            "path": "defaults.timeout",
            "text": "must be more than 0s",
        },
        {
            "file": f"{tmp_path}/config.yaml",
            "line": 2,
            "path": "systems",
            "text": "must have at least 1 entry",
        },
    ]


def test_a_message_stays_one_line_whatever_a_file_is_called(config: Load) -> None:
    with pytest.raises(ConfigError) as caught:
        config(
            "systems: {s: {provider: crafter, base_url: http://a.example, jobs: [{site_id: x}],"
            ' auth: {type: bearer, token: {file: "/a\\nb\\e[31m"}}}}'
        )
    (line,) = str(caught.value).splitlines()
    assert line.isprintable()


def test_of_thousands_of_errors_the_first_thousand_are_told(config: Load) -> None:
    with pytest.raises(ConfigError) as caught:
        config(
            "systems:\n  s:\n    provider: crafter\n    base_url: http://a.example\n    jobs:\n"
            + "    - {}\n" * 3000
        )
    assert len(caught.value.errors) == 1001
    assert caught.value.errors[-1].text == "more errors from here on are not shown"


# A folder.


def folder(tmp_path: Path, **files: str) -> Path:
    for name, text in files.items():
        (tmp_path / f"{name}.yaml").write_text(text)
    return tmp_path


def system(name: str) -> str:
    return f"systems:\n  {name}: {{provider: crafter, base_url: http://a.example, jobs: [{{site_id: x}}]}}\n"


def test_the_files_of_a_folder_are_one_config_in_order_of_name(tmp_path: Path) -> None:
    path = folder(tmp_path, b=system("one"), a=system("two"), z="defaults: {timeout: 1s}\n", c="# later\n")
    (tmp_path / "aa.yml").write_text(system("three"))
    (tmp_path / "notes.txt").write_text("no yaml: [")
    (tmp_path / ".hidden.yaml").write_text("no yaml: [")
    (tmp_path / "dir.yaml").mkdir()
    found: Config = load(path)
    assert [(each.name, each.reach.timeout) for each in found.systems] == [
        ("two", 1.0),
        ("three", 1.0),
        ("one", 1.0),
    ]


def test_what_a_folder_holds_and_is_not_read_can_be_listed(tmp_path: Path) -> None:
    # As Kubernetes mounts it: links to a folder behind a hidden link.
    (tmp_path / "..data").mkdir()
    for name in ("a.yaml", "b.yml", "c.YAML", "d.yaml.bak", "e"):
        (tmp_path / "..data" / name).write_text("")
        (tmp_path / name).symlink_to(f"..data/{name}")
    (tmp_path / ".hidden.txt").write_text("")
    (tmp_path / "credentials").mkdir()
    (tmp_path / "f").symlink_to("gone")
    assert [entry.name for entry in unread(tmp_path)] == ["c.YAML", "credentials", "d.yaml.bak", "e", "f"]
    assert unread(tmp_path / "e") == []
    assert unread(tmp_path / "missing") == []


def test_a_system_or_defaults_in_two_files_is_a_error(tmp_path: Path) -> None:
    defaults = "defaults: {timeout: 1s}\n"
    path = folder(tmp_path, a=defaults + system("one"), b=system("one") + system("x")[9:] + defaults)
    with pytest.raises(ConfigError) as caught:
        load(path)
    assert str(caught.value).splitlines() == [
        f"{path}/b.yaml:2: systems.one: is already defined in {path}/a.yaml:3",
        f"{path}/b.yaml:4: defaults: is already defined in {path}/a.yaml:1",
    ]


def test_errors_of_all_files_are_told_at_once(tmp_path: Path) -> None:
    path = folder(tmp_path, a="systems: [", b="default: {}", c=system("é"))
    with pytest.raises(ConfigError) as caught:
        load(path)
    assert [(error.file.name, error.line) for error in caught.value.errors] == [
        ("a.yaml", 1),
        ("b.yaml", 1),
        ("c.yaml", 2),
    ]


def test_a_folder_without_systems_is_a_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="the folder contains no"):
        load(tmp_path)
    with pytest.raises(ConfigError, match=r"a\.yaml:1: systems: is missing"):
        load(folder(tmp_path, a="defaults: {timeout: 1s}", b=""))


def test_a_folder_that_cannot_be_listed_is_a_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(_: Path) -> Iterator[Path]:
        raise PermissionError(13, "Permission denied")

    # Taking the right away would not stop root, whom tests may run as.
    monkeypatch.setattr(Path, "iterdir", refused)
    with pytest.raises(ConfigError, match="cannot be read: Permission denied"):
        load(tmp_path)


@pytest.mark.slow
def test_ten_thousand_jobs_load_in_seconds(config: Load) -> None:
    jobs = "".join(
        f"    - {{project_id: p{index}, build_job_id: b, locale: en-us, name: Docs, labels: {{squad: a}}}}\n"
        for index in range(10_000)
    )
    text = "systems:\n  docs:\n    provider: caps\n    base_url: http://a.example\n    jobs:\n" + jobs
    began = time.process_time()
    (found,) = config(text).systems
    assert len(found.jobs) == 10_000
    # Measured: 0.6 s.
    assert time.process_time() - began < 5


@pytest.mark.parametrize("host", [False, True])
def test_the_authorities_of_the_environment_are_looked_at_with_the_other_files_of_the_host(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, host: bool
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "absent.pem"))
    file = tmp_path / "config.yaml"
    keys = "provider: caps, base_url: https://a.example, jobs: [{project_id: p, build_job_id: b, locale: en}]"
    file.write_text(f"systems: {{s: {{{keys}}}}}\n")
    if not host:
        load(file, host=False)
        return
    with pytest.raises(ConfigError, match="the environment variable SSL_CERT_FILE: cannot read"):
        load(file)


def test_null_in_a_body_stays_null_without_an_error(config: Load) -> None:
    text = """
systems:
  other:
    provider: json
    base_url: https://ci.example.com
    read: {path: "/jobs/{id}", state: state}
    discover:
      - {method: POST, path: /jobs, body: {after: null, ids: [~, [null]]}, items: "@", keys: {id: id}}
"""
    (system,) = config(text).systems
    (discover,) = system.discover
    assert discover.model_dump()["body"] == {"after": None, "ids": [None, [None]]}


def test_a_listing_that_only_names_jobs_has_null_as_its_state(config: Load) -> None:
    text = """
systems:
  other:
    provider: json
    base_url: https://ci.example.com
    read: {path: "/jobs/{id}", state: state}
    discover: [{path: /jobs, items: "@", keys: {id: id}, state: null}]
"""
    (system,) = config(text).systems
    (discover,) = system.discover
    assert "state" in discover.model_fields_set
