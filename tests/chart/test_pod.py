"""What the pod is told is what the real exporter understands."""

import ssl
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml

from exporter import config
from exporter.cli.main import load_command
from exporter.model.shard import ordinal
from exporter.web import config as web_config
from tests.chart.chart import render
from tests.chart.kubelet import Contents, mounted
from tests.chart.matrix import CASES, NEWEST, Case, case, exporter, none, pods
from tests.command import COMMAND, Running, running
from tests.vendor import caps_config
from tests.web.secured import Place

NOBODY = "http://127.0.0.1:9"
JOBS = "systems:\n" + caps_config(NOBODY)
PRIVATE = "systems:\n" + caps_config(NOBODY, name="private")
EXISTING: Contents = {
    "remote-jobs": {
        "jobs.yml": JOBS,
        "jobs.yaml": "systems:\n" + caps_config(NOBODY, name="more"),
        "config": PRIVATE,
    },
    "remote-jobs-private": {"private.yaml": PRIVATE},
    "caps": {"token": "t"},
    "builds": {"builds": "b"},
    "huawei": {"access-key": "a", "secret-key": "s"},
    "demo-remote-job-exporter-credentials": {"itwin": "i", "xmc": "x", "crafter": "c"},
}


PLAIN: dict[str, Any] = {"existingConfigMap": {"name": "remote-jobs", "key": "jobs.yml"}}


def contents(folder: Path) -> Contents:
    """Of what the ci files name, with certificates."""
    folder.mkdir()
    place = Place(folder)
    names = {"tls.crt": "server.pem", "tls.key": "server.key", "ca-bundle.crt": "clients.pem"}
    pair = {key: (place.folder / name).read_text() for key, name in names.items()}
    own = {"web.yml": "tls_server_config: {cert_file: server.crt, key_file: server.key}\n"}
    return {**EXISTING, "exporter-tls": pair, "web": own}


def parsed(args: list[str]) -> dict[str, Any]:
    """The arguments as the command reads them."""
    command, *rest = args
    with load_command(command).make_context(command, rest) as context:
        return dict(context.params)


def flags(values: Mapping[str, Any]) -> dict[str, Any]:
    return parsed(exporter(render(values))["args"])


@pytest.mark.parametrize("found", NEWEST, ids=lambda found: found.file.stem)
def test_the_exporter_takes_its_arguments_and_what_is_mounted(found: Case, tmp_path: Path) -> None:
    args = mounted(found.objects, tmp_path / "root", contents(tmp_path / "made"))
    told = parsed(args)
    if args[0] == "serve":
        assert config.load(told["config_file"]).systems
        for path in _files(found.values.get("config", {})):
            assert (told["config_file"] / path).read_text() != "", path
        # A web config that is not in the values names what is not either.
        if told["web_config_file"] and "existingSecret" not in found.values["webConfig"]:
            web_config.load(told["web_config_file"])
    else:
        assert not found.values.keys() & {"config", "existingConfigMap", "existingSecret"}


def _files(told: Any) -> Iterator[str]:
    """Every `{file: …}`, wherever it stands."""
    if isinstance(told, dict) and isinstance(told.get("file"), str):
        yield told["file"]
    for below in told.values() if isinstance(told, dict) else told if isinstance(told, list) else ():
        yield from _files(below)


ODD = [
    "0123",
    "yes",
    "1e3",
    "~",
    "{{ .Values.kind }}",
    "a: b # c",
    "two\nlines\n",
    " space",
    "ünï",
    "1:30",
    '"',
    "'",
]


def test_a_configuration_arrives_as_it_was_written_however_odd_its_texts(tmp_path: Path) -> None:
    jobs = [
        {"project_id": "p", "build_job_id": str(number), "locale": "en", "name": text}
        for number, text in enumerate(ODD)
    ]
    systems = {"docs": {"provider": "caps", "base_url": NOBODY, "jobs": jobs}}
    rendered = render({"config": {"systems": systems}})
    told = parsed(mounted(rendered, tmp_path))
    (file,) = told["config_file"].glob("*.yaml")
    assert yaml.safe_load(file.read_text()) == {"systems": systems}
    assert case("02-").values["config"] == yaml.safe_load(
        case("02-").of("ConfigMap")[0]["data"]["inline.yaml"]
    )


def test_no_file_of_the_configuration_is_lost_by_its_name(tmp_path: Path) -> None:
    text = "systems:\n" + caps_config(NOBODY, name="NAME")
    held = {name: {"inline.yaml": text.replace("NAME", name)} for name in ("map", "secret")}
    sources = {
        "config": yaml.safe_load(JOBS),
        "existingConfigMap": {"name": "map", "key": "inline.yaml"},
        "existingSecret": {"name": "secret", "key": "inline.yaml"},
    }
    told = parsed(mounted(render(sources), tmp_path, held))
    assert {one.name for one in config.load(told["config_file"]).systems} == {"docs", "map", "secret"}


def test_the_web_configuration_is_not_replaced_by_a_key_of_the_tls_secret(tmp_path: Path) -> None:
    held = contents(tmp_path / "made")
    pair = {**held["exporter-tls"], "web-config.yaml": "basic_auth_users: {}"}
    args = mounted(case("08-").objects, tmp_path / "root", {**held, "exporter-tls": pair})
    assert web_config.load(parsed(args)["web_config_file"]).basic_auth_users


def test_credentials_can_be_read_by_the_group_and_by_nobody_else() -> None:
    looked_at = [pod for found in NEWEST for pod in pods(found.own)]
    volumes = [
        one["projected"] for pod in looked_at for one in pod.spec.get("volumes", []) if "projected" in one
    ]
    assert len(volumes) > 5
    assert {oct(volume["defaultMode"]) for volume in volumes} == {"0o440"}
    assert all("fsGroup" in pod.spec["securityContext"] for pod in looked_at)


def test_nothing_in_the_release_may_speak_to_the_api_server() -> None:
    kinds = {one["kind"] for found in CASES for one in found.objects}
    assert not kinds & {"Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding"}
    for found in NEWEST:
        asked = found.values.get("automountServiceAccountToken", False)
        for pod in pods(found.objects):
            assert pod.spec["automountServiceAccountToken"] is (asked and not pod.title.startswith("Pod"))
            # Those of a Service called remote-job-exporter would be read as the exporter's own settings.
            assert pod.spec["enableServiceLinks"] is False
        for account in found.of("ServiceAccount"):
            assert account["automountServiceAccountToken"] is False


def test_shards_are_numbered_by_the_names_of_the_pods() -> None:
    found = case("04-")
    (workload,) = found.of("StatefulSet")
    told = parsed(exporter(found.objects)["args"])
    count = workload["spec"]["replicas"]
    assert (told["shard_index"], told["shard_count"], count) == ("auto", 3, 3)
    names = [f"{workload['metadata']['name']}-{index}" for index in range(count)]
    assert [ordinal(name) for name in names] == [0, 1, 2]
    (headless,) = [one for one in found.of("Service") if one["spec"].get("clusterIP") == "None"]
    assert workload["spec"]["serviceName"] == headless["metadata"]["name"]


def test_without_shards_each_pod_watches_everything_and_knows_how_many_do() -> None:
    for found in NEWEST:
        told = parsed(exporter(found.objects)["args"])
        replicas = found.values.get("replicas", 1)
        expected = (3, 1) if found.values.get("sharding") else (1, replicas)
        if told.get("config_file"):
            assert (told["shard_count"], told["replica_count"]) == expected, found
    assert flags({**PLAIN, "replicas": 0})["replica_count"] == 1


def _template(mode: str, **values: Any) -> Any:
    told = {"config": yaml.safe_load(JOBS), "configReload": {"mode": mode}, **values}
    return render(told).one("Deployment")["spec"]["template"]


@pytest.mark.parametrize(
    ("mode", "rolls", "watches"), [("checksum", True, True), ("watch", False, True), ("none", False, False)]
)
def test_a_changed_configuration_rolls_the_pods_by_checksum_and_is_read_again_unless_by_none(
    mode: str, *, rolls: bool, watches: bool
) -> None:
    before = _template(mode)
    slower = {"defaults": {"min_interval": "20s"}, **yaml.safe_load(JOBS)}
    assert (_template(mode, config=slower) != before) is rolls
    assert exporter_args(before)["config_watch"] is watches


HASH = "$2y$10$.SeNfShJSsv2ZXnDYmx2Ie4ooOda.RZN/OXF.bYP6eCQaAVDztAKq"


@pytest.mark.parametrize("mode", ["checksum", "watch", "none"])
def test_users_that_are_removed_while_tls_stays_roll_the_pods(mode: str) -> None:
    """Else the exporter keeps them, answers 401, and looks down."""
    probes = {
        f"{name}Probe": {"tcpSocket": {"port": "http"}} for name in ("startup", "liveness", "readiness")
    }

    def template(config: dict[str, Any], **tls: str) -> Any:
        return _template(mode, webConfig={"config": config, "tls": tls}, **probes)

    users = {"basic_auth_users": {"prometheus": HASH}}
    both = template(users, secretName="tls")
    assert both != template({}, secretName="tls")
    assert both["metadata"] != template(users)["metadata"]
    changed = template({"basic_auth_users": {"prometheus": HASH.replace("SeN", "SeM")}}, secretName="tls")
    assert (both != changed) is (mode == "checksum")


def test_the_mode_that_lets_an_upgrade_fail_is_the_default() -> None:
    values = {"config": yaml.safe_load(JOBS)}
    assert render(values).texts == render({**values, "configReload": {"mode": "checksum"}}).texts


def exporter_args(template: Any) -> dict[str, Any]:
    return parsed(template["spec"]["containers"][0]["args"])


def test_the_pod_has_longer_to_end_than_its_scrapes() -> None:
    def faults() -> Iterator[str]:
        for found in CASES:
            for pod in pods(found.of("Deployment", "StatefulSet")):
                told = parsed(exporter(found.objects)["args"])
                if pod.spec["terminationGracePeriodSeconds"] <= told.get("web_shutdown_timeout", 15):
                    yield str(found)

    none(faults())


def test_settings_arrive_as_flags() -> None:
    told = flags({**case("02-").values, "web": {"timeoutOffset": 0.25, "shutdownTimeout": 20}})
    assert (told["web_timeout_offset"], told["web_shutdown_timeout"]) == (0.25, 20)
    assert (told["log_level"], told["log_format"]) == ("debug", "json")
    assert told["web_listen_address"] == (":10072",)


MUTUAL = {
    "existingConfigMap": {"name": "remote-jobs"},
    "webConfig": {
        "tls": {"secretName": "exporter-tls"},
        "config": {"tls_server_config": {"client_auth_type": "RequireAndVerifyClientCert"}},
    },
}


def test_where_clients_need_a_certificate_probes_only_connect_and_nothing_is_tested() -> None:
    rendered = render(MUTUAL)
    box = exporter(rendered)
    for name in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert box[name]["tcpSocket"] == {"port": "http"}
        assert "httpGet" not in box[name]
    assert rendered.all("Pod") == []


@contextmanager
def started(values: Mapping[str, Any], folder: Path) -> Iterator[tuple[Running, str]]:
    """The pod's own command with its own arguments, on a free port of this machine."""
    args = mounted(render(values), folder / "root", contents(folder / "made"))
    scheme = "https" if "webConfig" in values else "http"
    here = [arg.replace("=:10072", "=127.0.0.1:0") for arg in args]
    if args[0] == "demo":
        here.append("--listen-address=127.0.0.1:0")
    with running(folder / "log", *COMMAND, *here) as process:
        pattern = (
            r"(http://127\.0\.0\.1:\d+)/metrics" if args[0] == "demo" else rf"listening.*({scheme}://[\d.:]+)"
        )
        yield process, process.says(pattern)


def status(url: str) -> int:
    """What a probe gets: the kubelet asks whoever answers, and verifies nothing."""
    anybody = ssl.create_default_context()
    anybody.check_hostname, anybody.verify_mode = False, ssl.CERT_NONE
    with urllib.request.urlopen(url, timeout=60, context=anybody) as answer:  # noqa: S310  # loopback only
        return int(answer.status)


def helm_test(
    values: Mapping[str, Any], url: str, path: str | None = None
) -> subprocess.CompletedProcess[str]:
    """What the pod of ``helm test`` runs, sent to another address."""
    (pod,) = [
        one for one in render(values).all("Pod") if one["metadata"]["annotations"]["helm.sh/hook"] == "test"
    ]
    kept = pod["metadata"]["annotations"]["helm.sh/hook-delete-policy"] == "before-hook-creation"
    assert kept, "Helm 3 reads the log after it has deleted a pod that succeeded"
    (box,) = pod["spec"]["containers"]
    python, flag = box["command"]
    script, target, expected = box["args"]
    assert (python, flag) == ("python3", "-c")
    told = target.replace(f"{target.partition('//')[0]}//demo-remote-job-exporter.mon.svc:10072", url)
    assert told.startswith(f"{url}/"), target
    command = [sys.executable, flag, script, path or told, expected]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize(
    "values",
    [{**PLAIN, "replicas": 2}, {**PLAIN, "webConfig": case("08-").values["webConfig"]}, {}],
    ids=["http", "https", "demo"],
)
def test_the_pod_starts_passes_its_probes_and_helm_test(values: dict[str, Any], tmp_path: Path) -> None:
    with started(values, tmp_path) as (process, url):
        box = exporter(render(values))
        for name in ("startupProbe", "livenessProbe", "readinessProbe"):
            told = box[name]["httpGet"]
            assert (told["scheme"].lower(), told["port"]) == (url.partition(":")[0], "http")
            assert status(f"{url}{told['path']}") == 200
        done = helm_test(values, url)
        assert done.returncode == 0, done.stdout + done.stderr + process.stderr
        if "webConfig" not in values:
            assert "remote_job" in done.stdout
            wrong = helm_test(values, url, f"{url}/-/ready")
            assert wrong.returncode == 1, "an answer without metrics is no success"
        if "replicas" in values:
            assert "remote_job_exporter_replicas 2.0\n" in requests.get(f"{url}/metrics", timeout=60).text


def test_targets_of_a_scrape_config_are_asked_where_they_were_found(tmp_path: Path) -> None:
    """Each shard's jobs are probed at that shard."""
    hosts = [told["url"].split("/")[2] for told in case("04-").of("ScrapeConfig")[0]["spec"]["httpSDConfigs"]]
    assert len(set(hosts)) == 3
    with started(PLAIN, tmp_path) as (_, url):
        for host in hosts:
            groups = requests.get(f"{url}/sd", headers={"Host": host}, timeout=60).json()
            assert {target for group in groups for target in group["targets"]} == {host}


def test_the_port_of_the_container_is_the_one_that_is_listened_on() -> None:
    for found in NEWEST:
        box = exporter(found.objects)
        address = parsed(box["args"])["web_listen_address"]
        listens = address if isinstance(address, str) else ",".join(address)
        assert [listens] == [f":{port['containerPort']}" for port in box["ports"]], found
