"""No proof at all: for systems that anybody may ask."""

from typing import ClassVar, Literal

from requests import PreparedRequest

from exporter import config_types as fields
from exporter.auth.credential import FixedCredential


class NoneKeys(fields.Keys):
    """Nothing to tell."""

    type: Literal["none"] = "none"


class NoCredential(FixedCredential):
    """Leaves requests as they are."""

    kind: ClassVar[str] = "none"
    Keys: ClassVar[type[fields.Keys]] = NoneKeys

    def __init__(self, keys: NoneKeys) -> None:
        super().__init__()

    def apply(self, request: PreparedRequest) -> None:
        """Does nothing."""
