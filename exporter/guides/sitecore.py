"""Sitecore XM Cloud: what to create and where; see docs/guides/systems/sitecore.md for the sources.

The pages of the Deploy app: https://doc.sitecore.com/xmc/en/developers/xm-cloud/managing-xm-cloud-client-credentials.html
"""

from exporter.guides.guide import Guide, Question, SignIn, Trouble, client_credentials
from exporter.model.failure import Reason

ADDRESS = "https://edge-platform.sitecorecloud.io"
AUDIENCE = "https://api.sitecorecloud.io"
SCOPES = ("xmcpub.jobs.a:r", "xmcpub.jobs.t:r", "xmcpub.jobs.t:rl")
_NEW_CLIENT = (
    "An automation client of the environment is needed, not one of the organization nor a deploy or Edge "
    "client. An administrator of the organization creates it: Deploy app, Credentials, Environment, "
    "Create credentials, Automation."
)


def _advice(trouble: Trouble) -> str:
    if trouble.reason is Reason.AUTH:
        return (
            f"Compare client_id, client_secret and audience ({AUDIENCE}, without a slash at the end) with "
            "the client in the Deploy app, Credentials. A secret is shown only once; if it is lost, "
            "create another client."
        )
    if trouble.reason in (Reason.UNAUTHORIZED, Reason.FORBIDDEN):
        missing = trouble.scopes is not None and not trouble.scopes.intersection(SCOPES)
        about = f"The token has none of the scopes {', '.join(SCOPES)}. " if missing else ""
        return f"{about}{_NEW_CLIENT}"
    if trouble.reason is Reason.NOT_FOUND:
        return (
            f"Compare base_url ({ADDRESS}). A job is not found if it is not in the environment of this "
            "client, or if the vendor has deleted it."
        )
    if trouble.reason is None and trouble.scopes is not None and SCOPES[2] in trouble.scopes:
        return f"With the scope {SCOPES[2]}, a client sees only jobs that it has created itself."
    return ""


GUIDE = Guide(
    title="Sitecore XM Cloud",
    name="xmc",
    jobs="publishing jobs",
    system=(
        Question(
            "base_url",
            "Address of the API",
            "The same for all tenants.",
            ADDRESS,
        ),
    ),
    sign_in={
        "oauth2": SignIn(
            "an automation client of the environment",
            client_credentials(
                "https://auth.sitecorecloud.io/oauth/token",
                "Deploy app: Credentials, Environment, Create credentials, Automation. Not a client of the "
                "organization.",
                "Shown only once, at the same time.",
            ),
            {"audience": AUDIENCE},
        )
    },
    listing=(),
    discover=lambda _: {"newer_than": "7d"},
    job=(Question("job.id", "Id of the job", "The response of the call that created it: job_…"),),
    page="docs/guides/systems/sitecore.md",
    advice=_advice,
)
