"""The ways to prove who we are: one file each, one line each in the table."""

from exporter.auth.base import Credential
from exporter.auth.basic import Basic
from exporter.auth.bearer import Bearer
from exporter.auth.headers import Headers
from exporter.auth.none import NoCredential
from exporter.auth.oauth2 import OAuth2

CREDENTIALS: dict[str, type[Credential]] = {
    credential.kind: credential for credential in (NoCredential, Basic, Bearer, Headers, OAuth2)
}
