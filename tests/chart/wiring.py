"""Who finds whom among rendered objects: the names, labels and ports by which they point at each other."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from tests.chart.chart import Object
from tests.chart.matrix import Case, Pod, exporter, pods, selects, title


@dataclass(frozen=True)
class Place:
    """The objects of one case."""

    case: Case

    @property
    def workload(self) -> Object:
        (found,) = self.case.of("Deployment", "StatefulSet")
        return found

    @property
    def pod(self) -> Pod:
        (found,) = pods([self.workload])
        return found

    @property
    def others(self) -> list[Pod]:
        """Pods that must not be taken for the exporter."""
        return list(pods(self.case.of("Pod")))

    @property
    def ports(self) -> dict[str, int]:
        """Of the exporter's container, by name."""
        return {port["name"]: port["containerPort"] for port in exporter([self.workload])["ports"]}

    @property
    def scheme(self) -> str:
        """What the exporter speaks, as far as its web config tells."""
        web = self.case.values.get("webConfig", {})
        return "https" if web.get("tls") or "tls_server_config" in web.get("config", {}) else "http"

    def hears(self, selector: dict[str, str]) -> bool:
        """Whether this selects the exporter's pods and no other."""
        return selects(selector, self.pod.labels) and not any(
            selects(selector, other.labels) for other in self.others
        )

    def answers(self, address: str) -> bool:
        """Whether a host and port, as seen from anywhere in the cluster, is the exporter's."""
        host, _, port = address.partition(":")
        namespace = self.workload["metadata"]["namespace"]
        for service in self.case.of("Service"):
            spec, name = service["spec"], f"{service['metadata']['name']}.{namespace}.svc"
            if spec.get("clusterIP") == "None":
                own = [f"{self.workload['metadata']['name']}-{index}" for index in range(self.replicas)]
                if host in {f"{pod}.{name}" for pod in own} and int(port) in self.ports.values():
                    return bool(self.workload["spec"].get("serviceName") == service["metadata"]["name"])
            elif host == name:
                return int(port) in {one["port"] for one in spec["ports"]}
        return False

    @property
    def replicas(self) -> int:
        return int(self.workload["spec"].get("replicas", 1))


def services(place: Place) -> Iterator[str]:
    for service in place.case.of("Service"):
        spec = service["spec"]
        if not place.hears(spec["selector"]):
            yield f"{title(service)} does not select the exporter's pods alone"
        if odd := {port["targetPort"] for port in spec["ports"]} - place.ports.keys():
            yield f"{title(service)} aims at {odd}"


def monitors(place: Place) -> Iterator[str]:
    for one in place.case.of("ServiceMonitor", "PodMonitor"):
        spec = one["spec"]
        (endpoint,) = spec.get("endpoints") or spec["podMetricsEndpoints"]
        found = list(_monitored(place, one["kind"], spec["selector"]["matchLabels"]))
        if len(found) != 1:
            yield f"{title(one)} selects {len(found)} of its kind"
        elif endpoint["port"] not in found[0]:
            yield f"{title(one)} scrapes port {endpoint['port']} of {found[0]}"
        if spec["namespaceSelector"] != {"matchNames": [place.workload["metadata"]["namespace"]]}:
            yield f"{title(one)} looks into other namespaces"
        if endpoint["scheme"] != place.scheme:
            yield f"{title(one)} speaks {endpoint['scheme']}"


def _monitored(place: Place, kind: str, selector: dict[str, str]) -> Iterator[set[str]]:
    """The names of the ports of whatever a monitor selects."""
    if kind == "ServiceMonitor":
        for service in place.case.of("Service"):
            if selects(selector, service["metadata"]["labels"]):
                yield {port["name"] for port in service["spec"]["ports"]}
    elif place.hears(selector):
        yield set(place.ports)


def addresses(place: Place) -> Iterator[str]:
    for one in place.case.of("Probe"):
        prober = one["spec"]["prober"]
        if not place.answers(prober["url"]) or prober["scheme"] != place.scheme or prober["path"] != "/probe":
            yield f"{title(one)} asks {prober}"
    for one in place.case.of("ScrapeConfig"):
        if one["spec"]["scheme"].lower() != place.scheme:
            yield f"{title(one)} speaks {one['spec']['scheme']}"
        urls = [urlsplit(told["url"]) for told in one["spec"]["httpSDConfigs"]]
        shards = place.replicas if place.case.values.get("sharding", {}).get("enabled") else 1
        if len(set(urls)) != shards:
            yield f"{title(one)} asks {len(set(urls))} of {shards}"
        for url in urls:
            if (url.scheme, url.path) != (place.scheme, "/sd") or not place.answers(url.netloc):
                yield f"{title(one)} asks {url.geturl()}"


def references(place: Place) -> Iterator[str]:
    """Objects that name another one of the release."""
    there = {(one["kind"], one["metadata"]["name"]): one for one in place.case.objects}
    for one in place.case.objects:
        for kind, name in _named(one):
            if (kind, name) not in there:
                yield f"{title(one)} names {kind} {name}, which is not there"
    for one in place.case.of("GrafanaDashboard"):
        told = one["spec"]["configMapRef"]
        source = there["ConfigMap", told["name"]]
        if (
            told["key"] not in source["data"]
            or one["metadata"]["namespace"] != source["metadata"]["namespace"]
        ):
            yield f"{title(one)} does not find {told}"


def _named(one: Object) -> Iterator[tuple[str, str]]:
    spec = one.get("spec", {})
    match one["kind"]:
        case "VerticalPodAutoscaler":
            yield spec["targetRef"]["kind"], spec["targetRef"]["name"]
        case "StatefulSet":
            yield "Service", spec["serviceName"]
        case "GrafanaDashboard":
            yield "ConfigMap", spec["configMapRef"]["name"]
        case "Ingress":
            for rule in spec["rules"]:
                yield from (("Service", path["backend"]["service"]["name"]) for path in rule["http"]["paths"])
        case "HTTPRoute":
            for rule in spec["rules"]:
                yield from (("Service", backend["name"]) for backend in rule.get("backendRefs", []))


def backends(place: Place) -> Iterator[str]:
    """Ports that routes lead to."""
    ports = [port for one in place.case.of("Service") for port in one["spec"]["ports"]]
    for one in place.case.of("Ingress", "HTTPRoute"):
        for told in _backend_ports(one["spec"]):
            if told not in {*(port["name"] for port in ports), *(port["port"] for port in ports)}:
                yield f"{title(one)} leads to port {told}"


def _backend_ports(spec: dict[str, Any]) -> Iterator[str | int]:
    for rule in spec["rules"]:
        for path in rule.get("http", {}).get("paths", []):
            yield from path["backend"]["service"]["port"].values()
        yield from (backend["port"] for backend in rule.get("backendRefs", []))
