"""CrafterCMS Studio: what to create and where; see docs/guides/systems/crafter.md for the sources."""

from collections.abc import Mapping
from typing import Any

from exporter.guides.guide import Guide, Question, SignIn, Trouble
from exporter.model.failure import Reason

_ABOUT_TOKENS = (
    "A token comes from the tool Token Management of Studio 4.0 and later, where a user with the "
    "permission manage_access_token creates it. A Studio of 3.x accepts sessions only: auth: {type: "
    "crafter_session}. The management token of the server does not work here."
)

_USER = (
    Question("auth.username", "User name", "A user that can read the sites."),
    Question("auth.password", "Password", "", secret=True),
)


def _advice(trouble: Trouble) -> str:
    kind = trouble.auth.type
    if trouble.reason is Reason.AUTH:
        return (
            "Compare username and password with a login in the browser. Studio 4.0 and later need a token "
            "instead: auth: {type: bearer}."
        )
    if trouble.reason is Reason.UNAUTHORIZED:
        expired = "The token has expired. " if trouble.expired else ""
        return f"{expired}{_ABOUT_TOKENS}" if kind == "bearer" else "Studio 4.0 and later need a token."
    if trouble.reason is Reason.FORBIDDEN:
        return (
            "The user needs the permission publish_status for this site, for 4.x also "
            "get_publishing_queue. An administrator of the site gives it a role that has them: admin, "
            "developer or reviewer."
        )
    if trouble.reason is Reason.NOT_FOUND:
        return (
            "base_url must be the address of Studio as in the browser, up to and with /studio, and site_id "
            "the id of a site that the user can see."
        )
    if trouble.reason is None:
        return "The user is in no site: an administrator of the site adds it to a group of the site."
    return ""


def _discover(answers: Mapping[str, str]) -> Mapping[str, Any]:
    user = answers.get("auth.username")
    return {"sites": True, **({"username": user} if user else {})}


GUIDE = Guide(
    title="CrafterCMS Studio",
    name="site",
    jobs="sites",
    system=(
        Question(
            "base_url",
            "Address of Studio",
            "As in the browser, up to and with /studio, such as http://localhost:8080/studio.",
        ),
    ),
    sign_in={
        "bearer": SignIn(
            "a token, for Studio 4.0 and later",
            (
                Question(
                    "auth.token",
                    "Token",
                    "Studio: Token Management in the menu of the user. It is shown only once, and only to "
                    "users with the permission manage_access_token.",
                    secret=True,
                ),
            ),
        ),
        "crafter_session": SignIn(
            "user name and password, for Studio 3.x",
            _USER,
        ),
        "basic": SignIn(
            "the same, for a 4.x on which HTTP Basic is enabled",
            _USER,
        ),
    },
    listing=(),
    discover=_discover,
    job=(Question("job.site_id", "Id of the site", "In the address of its page: site=ID."),),
    page="docs/guides/systems/crafter.md",
    advice=_advice,
)
