"""No authentication, for systems that need none."""

from typing import ClassVar, Literal

from exporter import config_types as fields
from exporter.auth.credential import FixedCredential
from exporter.transport import Outgoing


class NoneKeys(fields.Keys):
    """There are no keys besides ``type``."""

    type: Literal["none"] = "none"


class NoCredential(FixedCredential):
    """Leaves requests unchanged."""

    kind: ClassVar[str] = "none"
    Keys: ClassVar[type[fields.Keys]] = NoneKeys

    def __init__(self, keys: NoneKeys) -> None:
        super().__init__()

    def apply(self, request: Outgoing) -> None:
        """Does nothing."""
