"""Everything in the release that points at something points at what is there."""

from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.chart import wiring
from tests.chart.chart import render
from tests.chart.matrix import CASES, NEWEST, Case, case, none, selects, title
from tests.chart.wiring import Place


@pytest.mark.parametrize(
    ("look", "kinds"),
    [
        (wiring.services, {"Service"}),
        (wiring.monitors, {"ServiceMonitor", "PodMonitor"}),
        (wiring.addresses, {"Probe", "ScrapeConfig"}),
        (wiring.references, {"VerticalPodAutoscaler"}),
        (wiring.backends, {"Ingress", "HTTPRoute"}),
    ],
)
def test_what_is_pointed_at_is_there(look: Callable[[Place], Iterator[str]], kinds: set[str]) -> None:
    assert {one["kind"] for found in NEWEST for one in found.of(*kinds)} == kinds
    none(f"{found}: {fault}" for found in CASES for fault in look(Place(found)))


def test_budgets_and_policies_are_about_the_exporters_pods_alone() -> None:
    def faults() -> Iterator[str]:
        for found in CASES:
            for one in found.of("PodDisruptionBudget", "NetworkPolicy"):
                told = one["spec"].get("selector") or one["spec"]["podSelector"]
                if not Place(found).hears(told["matchLabels"]):
                    yield f"{found}: {title(one)}"

    none(faults())


def _ports(rules: list[dict[str, Any]]) -> set[tuple[object, str]]:
    return {(port["port"], port.get("protocol", "TCP")) for rule in rules for port in rule.get("ports", [])}


def _outward(found: Case) -> Iterator[int]:
    """The ports of every address that the exporter will ask."""
    proxy = found.values.get("proxy", {})
    addresses = [proxy.get("http"), proxy.get("https")]
    for system in found.values.get("config", {}).get("systems", {}).values():
        login = system.get("auth", {})
        addresses += [system["base_url"], system.get("proxy_url"), login.get("token_url")]
    for address in filter(None, addresses):
        told = urlsplit(address)
        yield told.port or {"http": 80, "https": 443}[told.scheme]


def test_a_network_policy_lets_scrapes_in_and_names_and_vendors_out() -> None:
    policies = [found for found in CASES if found.of("NetworkPolicy")]
    looked_at = [found for found in policies if not found.of("CiliumNetworkPolicy")]
    assert {port for found in looked_at for port in _outward(found)} >= {443, 8443, 3128, 3129}
    for found in looked_at:
        (policy,) = found.of("NetworkPolicy")
        spec = policy["spec"]
        assert sorted(spec["policyTypes"]) == ["Egress", "Ingress"]
        assert ("http", "TCP") in _ports(spec["ingress"]), found
        assert "http" in Place(found).ports
        assert {(53, "UDP"), (53, "TCP")} <= _ports(spec["egress"]), found
        outward = {(port, "TCP") for port in _outward(found)}
        assert outward <= _ports(spec["egress"]), found


def test_a_network_policy_for_chosen_peers_lets_the_pod_of_helm_test_in_as_well() -> None:
    found = case("10-")
    (policy,) = found.of("NetworkPolicy")
    allowed = [peer["podSelector"]["matchLabels"] for peer in policy["spec"]["ingress"][0]["from"][1:]]
    (tester,) = Place(found).others
    assert [selects(labels, tester.labels) for labels in allowed] == [True]


SYSTEM = {
    "provider": "json",
    "base_url": "https://ci.example.com",
    "read": {"path": "/{id}", "state": "state", "states": {"failed": ["BAD"]}},
    "jobs": [{"id": "1"}],
}
LOGIN = {"client_id": "x", "client_secret": {"env": "SECRET"}}


@pytest.mark.parametrize(
    ("system", "port"),
    [
        ({}, 443),
        ({"base_url": "http://ci.example.com"}, 80),
        ({"base_url": "https://caps.example.com:8443/docs"}, 8443),
        ({"base_url": "http://[2001:db8::1]:8080"}, 8080),
        ({"proxy_url": "http://proxy.example.com:3128"}, 3128),
        ({"auth": {"type": "oauth2", "token_url": "https://login.example.com:9443/token", **LOGIN}}, 9443),
        ({"auth": {"type": "login", "url": "https://login.example.com:9444", "token": "t"}}, 9444),
    ],
)
def test_a_port_in_any_address_of_the_configuration_is_open_outwards(
    system: dict[str, Any], port: int
) -> None:
    policy = {"enabled": True, "egress": {"ports": []}}
    values = {"networkPolicy": policy, "config": {"systems": {"other": {**SYSTEM, **system}}}}
    assert (port, "TCP") in _ports(render(values).one("NetworkPolicy")["spec"]["egress"])


def test_cilium_opens_exactly_the_hosts_of_the_configuration() -> None:
    found = case("12-")
    (policy,), (plain,) = found.of("CiliumNetworkPolicy"), found.of("NetworkPolicy")
    assert plain["spec"]["policyTypes"] == ["Ingress"], "its rule for DNS would hide the names from Cilium"
    assert Place(found).hears(policy["spec"]["endpointSelector"]["matchLabels"])
    dns, *hosts = policy["spec"]["egress"]
    assert dns["toPorts"] == [
        {"ports": [{"port": "53", "protocol": "ANY"}], "rules": {"dns": [{"matchPattern": "*"}]}}
    ]
    opened = {
        (next(iter(peer.values())) if isinstance(peer, dict) else peer, int(port["port"]))
        for rule in hosts
        for peer in rule.get("toFQDNs") or rule.get("toCIDR") or []
        for port in rule["toPorts"][0]["ports"]
    }
    assert opened == {
        ("10.1.2.3/32", 3128),
        ("2001:db8::1/128", 3128),
        ("api.example.com", 443),
        ("login.example.com", 8443),
        ("sso.example.com", 443),
        ("cdn.example.com", 443),
        ("*.example.org", 443),
    }
    # What is inside of the cluster has no name for Cilium, and another port than its Service.
    assert [rule for rule in hosts if "toEntities" in rule] == [{"toEntities": ["cluster", "kube-apiserver"]}]


def test_the_service_account_that_pods_name_is_made_or_was_asked_for() -> None:
    for found in NEWEST:
        made = {one["metadata"]["name"] for one in found.of("ServiceAccount")}
        asked = found.values.get("serviceAccount", {})
        name = Place(found).pod.spec["serviceAccountName"]
        assert made == ({name} if asked.get("create", True) else set()), found
        assert name == (asked.get("name") or "demo-remote-job-exporter"), found
