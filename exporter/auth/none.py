"""No authentication, for systems that need none."""

from typing import ClassVar, Literal

from requests import PreparedRequest

from exporter import config_types as fields
from exporter.auth.credential import FixedCredential


class NoneKeys(fields.Keys):
    """There are no keys besides ``type``."""

    type: Literal["none"] = "none"


class NoCredential(FixedCredential):
    """Leaves requests unchanged."""

    kind: ClassVar[str] = "none"
    Keys: ClassVar[type[fields.Keys]] = NoneKeys

    def __init__(self, keys: NoneKeys) -> None:
        super().__init__()

    def apply(self, request: PreparedRequest) -> None:
        """Does nothing."""
