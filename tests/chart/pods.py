"""What is looked at in a pod."""

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from tests.chart.matrix import Pod

SAFE_VOLUMES = {
    *("configMap", "csi", "downwardAPI", "emptyDir"),
    *("ephemeral", "persistentVolumeClaim", "projected", "secret"),
}


def unrestricted(pod: Pod) -> Iterator[str]:
    """What the Pod Security Standard "restricted" refuses."""
    spec = pod.spec
    yield from (f"{pod.title}: {key}" for key in ("hostNetwork", "hostPID", "hostIPC") if spec.get(key))
    for volume in spec.get("volumes", []):
        if odd := volume.keys() - {"name"} - SAFE_VOLUMES:
            yield f"{pod.title}: volume {volume['name']} is {odd}"
    around = spec.get("securityContext", {})
    for box in pod.containers:
        yield from (f"{pod.title}: {box['name']}: {fault}" for fault in _unrestricted_box(box, around))


def _unrestricted_box(box: dict[str, Any], around: dict[str, Any]) -> Iterator[str]:
    own = {**around, **box.get("securityContext", {})}
    able = own.get("capabilities", {})
    if own.get("privileged"):
        yield "privileged"
    if own.get("allowPrivilegeEscalation") is not False:
        yield "allowPrivilegeEscalation is not false"
    if "ALL" not in able.get("drop", []) or set(able.get("add", [])) - {"NET_BIND_SERVICE"}:
        yield "capabilities are not dropped"
    if own.get("runAsNonRoot") is not True or own.get("runAsUser") == 0:
        yield "may run as root"
    if own.get("seccompProfile", {}).get("type") not in {"RuntimeDefault", "Localhost"}:
        yield "no seccomp profile"
    if own.get("procMount", "Default") != "Default":
        yield "procMount"
    yield from ("hostPort" for port in box.get("ports", []) if port.get("hostPort"))


def doubled(pod: Pod) -> Iterator[str]:
    """Names that stand twice in a list: Helm 4 applies on the server, which refuses them."""
    spec = pod.spec
    yield from _twice(f"{pod.title}: container", (box["name"] for box in pod.containers))
    yield from _twice(f"{pod.title}: volume", (one["name"] for one in spec.get("volumes", [])))
    yield from _twice(f"{pod.title}: secret", (one["name"] for one in spec.get("imagePullSecrets", [])))
    for box in pod.containers:
        place = f"{pod.title}: {box['name']}:"
        ports = box.get("ports", [])
        yield from _twice(f"{place} env", (one["name"] for one in box.get("env", [])))
        yield from _twice(f"{place} port", (one["name"] for one in ports))
        yield from _twice(f"{place} port", ((one["containerPort"], one.get("protocol")) for one in ports))
        yield from _twice(f"{place} mount", (one["mountPath"] for one in box.get("volumeMounts", [])))
    for volume in spec.get("volumes", []):
        yield from _twice(f"{pod.title}: {volume['name']}:", paths(volume))


def _twice(what: str, names: Iterable[object]) -> Iterator[str]:
    yield from (f"{what} {name} stands {count} times" for name, count in Counter(names).items() if count > 1)


def paths(volume: dict[str, Any]) -> list[str]:
    """The files that a projected volume is told to have, as far as it is told by name."""
    sources = volume.get("projected", {}).get("sources", [])
    return [item["path"] for source in sources for told in source.values() for item in told.get("items", [])]


def unmounted(pod: Pod) -> Iterator[str]:
    """Mounts of volumes that do not exist, and volumes that nobody mounts."""
    there = {volume["name"] for volume in pod.spec.get("volumes", [])}
    used = {mount["name"] for box in pod.containers for mount in box.get("volumeMounts", [])}
    if there != used:
        yield f"{pod.title}: volumes {sorted(there)}, mounted {sorted(used)}"
