"""The auth types: one module each, one line each in the table."""

from collections.abc import Mapping
from types import MappingProxyType

from exporter.auth.basic import Basic
from exporter.auth.bearer import Bearer
from exporter.auth.crafter_session import CrafterSession
from exporter.auth.credential import Credential
from exporter.auth.headers import HeadersCredential
from exporter.auth.huawei_aksk import HuaweiAkSk
from exporter.auth.huawei_token import HuaweiToken
from exporter.auth.login import Login
from exporter.auth.none import NoCredential
from exporter.auth.oauth2 import OAuth2

_ALL = (
    NoCredential,
    Basic,
    Bearer,
    HeadersCredential,
    OAuth2,
    Login,
    HuaweiToken,
    HuaweiAkSk,
    CrafterSession,
)
CREDENTIALS: Mapping[str, type[Credential]] = MappingProxyType({each.kind: each for each in _ALL})
