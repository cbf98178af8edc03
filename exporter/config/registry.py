"""The providers and credentials that a configuration may name."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from exporter.auth import CREDENTIALS
from exporter.auth.credential import Credential
from exporter.config.models import Models
from exporter.providers import PROVIDERS
from exporter.providers.base import Provider


@dataclass(frozen=True, eq=False)
class Registry:
    """Providers by the value of ``provider:``, credentials by that of ``auth.type``. It never changes."""

    providers: Mapping[str, type[Provider]]
    credentials: Mapping[str, type[Credential]]

    @cached_property
    def models(self) -> Models:
        """The models of a file, made at the first use since that takes about 50 ms."""
        return Models(self.providers, self.credentials)


BUILT_IN = Registry(PROVIDERS, CREDENTIALS)
"""The registry without plug-ins."""
