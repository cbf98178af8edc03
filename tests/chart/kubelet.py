"""What the kubelet does with a pod before it starts it: ``from tests.chart.kubelet import mounted``."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from tests.chart.chart import Object
from tests.chart.matrix import exporter, pods

Contents = Mapping[str, Mapping[str, str]]
"""What ConfigMaps and Secrets hold that are not the chart's, by their names."""


def mounted(objects: Iterable[Object], folder: Path, existing: Contents | None = None) -> list[str]:
    """Lays out the projected volumes below a folder; the exporter's arguments, with its paths there."""
    everything = list(objects)
    held = {**_own(everything), **(existing or {})}
    box = exporter(everything)
    (pod,) = (pod for pod in pods(everything) if any(one["name"] == "exporter" for one in pod.containers))
    volumes = {one["name"]: one["projected"] for one in pod.spec["volumes"] if "projected" in one}
    args: list[str] = box["args"]
    for mount in box["volumeMounts"]:
        if mount["name"] in volumes:
            place = folder / mount["mountPath"].lstrip("/")
            _lay_out(place, dict(_files(volumes[mount["name"]], held)))
            args = [arg.replace(f"={mount['mountPath']}", f"={place}") for arg in args]
    return args


def _own(objects: Iterable[Object]) -> dict[str, dict[str, str]]:
    return {
        one["metadata"]["name"]: one.get("data") or one["stringData"]
        for one in objects
        if one["kind"] in {"ConfigMap", "Secret"} and (one.get("data") or one.get("stringData"))
    }


def _files(volume: dict[str, Any], held: Contents) -> Iterator[tuple[str, str]]:
    for source in volume["sources"]:
        (told,) = source.values()
        content = held[told["name"]]
        items = told.get("items") or [{"key": key, "path": key} for key in content]
        yield from ((item["path"], content[item["key"]]) for item in items)


def _lay_out(place: Path, files: Mapping[str, str]) -> None:
    """All behind one link, which is how the whole of a volume changes at once."""
    real = place / "..2030_01_01_00_00_00.1"
    for path, text in files.items():
        (real / path).parent.mkdir(parents=True, exist_ok=True)
        (real / path).write_text(text)
    (place / "..data").symlink_to(real.name)
    for entry in real.iterdir():
        (place / entry.name).symlink_to(f"..data/{entry.name}")
