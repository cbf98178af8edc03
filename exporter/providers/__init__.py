"""The systems that jobs run on: one file each, one line each in the table."""

from collections.abc import Mapping
from types import MappingProxyType

from exporter.providers.base import Provider
from exporter.providers.caps import Caps
from exporter.providers.codearts import CodeArts
from exporter.providers.crafter.studio import Crafter
from exporter.providers.itwin import ITwin
from exporter.providers.json.job_api import JsonApi
from exporter.providers.sitecore import Sitecore

PROVIDERS: Mapping[str, type[Provider]] = MappingProxyType(
    {provider.name: provider for provider in (Caps, CodeArts, Crafter, ITwin, Sitecore, JsonApi)}
)
