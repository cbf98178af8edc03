"""Writes an SBOM of an installation to stdout, CycloneDX 1.6 as JSON: ``python -m tests.supply.sbom``.

It lists what the lock file pins, as installed here, and the libraries inside the wheel of pycurl.
"""

import datetime as dt
import os
import sys
import time
import uuid
from collections.abc import Mapping

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL

from tests.release import ROOT, version
from tests.supply.components import LIBRARIES, bundled, locked
from tests.supply.components import Component as Part


def bom(epoch: float) -> Bom:
    """The SBOM of what is installed, of a Unix time; the same parts and time give the same SBOM."""
    exporter = Part("remote-job-exporter", version(ROOT), "Apache-2.0")
    packages = {one.name: _component(one, "pypi") for one in locked("runtime.txt")}
    libraries = {one.name: _library(one) for one in bundled()}
    found = Bom(components=[*packages.values(), *libraries.values()])
    found.metadata.component = _component(exporter, "pypi", ComponentType.APPLICATION)
    found.metadata.timestamp = dt.datetime.fromtimestamp(epoch, dt.UTC)
    names = " ".join(str(one.bom_ref) for one in found.components)
    found.serial_number = uuid.uuid5(
        uuid.NAMESPACE_URL, f"{found.metadata.component.bom_ref} {names} {epoch}"
    )
    needed = {need for one in locked("runtime.txt") for need in one.needs}
    found.register_dependency(
        found.metadata.component, [one for name, one in packages.items() if name not in needed]
    )
    for one in locked("runtime.txt"):
        inside = libraries.values() if one.name == "pycurl" else ()
        found.register_dependency(packages[one.name], [*(packages[name] for name in one.needs), *inside])
    return found


def _component(part: Part, kind: str, of: ComponentType = ComponentType.LIBRARY) -> Component:
    purl = PackageURL(kind, None, part.name, part.version or None)
    return Component(
        name=part.name,
        version=part.version or None,
        type=of,
        purl=purl,
        bom_ref=str(purl),
        licenses=[LicenseFactory().make_from_string(part.licence)],
    )


def _library(part: Part) -> Component:
    component = _component(part, "generic")
    vendor = next(one.vendor for one in LIBRARIES if one.name == part.name)
    if vendor and part.version:
        component.cpe = f"cpe:2.3:a:{vendor}:{part.name}:{part.version}:*:*:*:*:*:*:*"
    return component


def render(epoch: float) -> str:
    """The SBOM as JSON.

    Raises:
        ValueError: it is not valid by the schema of CycloneDX.
    """
    text = str(JsonV1Dot6(bom(epoch)).output_as_string(indent=2))
    if error := JsonStrictValidator(SchemaVersion.V1_6).validate_str(text):
        raise ValueError(f"the SBOM is not valid: {error.data.message}")
    return text + "\n"


def time_of(environment: Mapping[str, str]) -> float:
    """The time of the commit that is released, or now."""
    return float(environment.get("SOURCE_DATE_EPOCH") or time.time())


if __name__ == "__main__":
    sys.stdout.write(render(time_of(os.environ)))
