"""Any other job API: how it is reached; what is in its responses is found out by reading one."""

from exporter.guides.guide import Guide, Question, SignIn, Trouble
from exporter.model.failure import Reason


def _advice(trouble: Trouble) -> str:
    if trouble.expired:
        return "The token has expired."
    if trouble.reason is Reason.UNAUTHORIZED and trouble.auth.type == "none":
        return "The API wants a credential: see docs/guides/credentials.md for the kinds that auth: has."
    if trouble.reason is Reason.UNAUTHORIZED:
        return (
            "Compare the credential and its kind (Authorization: Bearer, another header, user name and "
            "password) with the documentation of the API. Its administrator can issue another credential."
        )
    if trouble.reason is Reason.FORBIDDEN:
        return "The account has no right to read this; an administrator of the API can give it the right."
    if trouble.reason is Reason.NOT_FOUND:
        return (
            "Compare base_url and path with an address that works in a browser or with curl. A run that has "
            "ended may be deleted."
        )
    if trouble.reason is Reason.INVALID_RESPONSE:
        return (
            "The commands probe (a job) and list (the listing) show what each expression of the "
            "configuration finds in the response."
        )
    return ""


GUIDE = Guide(
    title="any other API that returns JSON",
    name="other",
    jobs="jobs",
    system=(
        Question(
            "base_url",
            "Address of the API",
            "Scheme and host, such as https://ci.example.com. The path comes later.",
        ),
    ),
    sign_in={
        "none": SignIn("no credential"),
        "bearer": SignIn(
            "a token: Authorization: Bearer …", (Question("auth.token", "Token", "", secret=True),)
        ),
        "headers": SignIn(
            "a key in a header, such as X-Api-Key: …",
            (
                Question("known.header", "Name of the header", "", "X-Api-Key"),
                Question("auth.headers.{header}", "Key", "", secret=True, flag="api-key"),
            ),
        ),
        "basic": SignIn(
            "user name and password",
            (
                Question("auth.username", "User name"),
                Question("auth.password", "Password", "", secret=True),
            ),
        ),
    },
    listing=(),
    job=(),
    page="docs/guides/json.md",
    advice=_advice,
)
