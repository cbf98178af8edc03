"""Bentley iTwin: what to create and where; see docs/guides/systems/itwin.md for the sources."""

from exporter.guides.guide import Guide, Question, SignIn, Trouble, client_credentials
from exporter.model.failure import Reason

SCOPE = "itwin-platform"


def _advice(trouble: Trouble) -> str:
    if trouble.reason is Reason.AUTH:
        return (
            f"Compare client_id, client_secret and scope ({SCOPE}) with the service application under My "
            "Apps of the developer portal; an owner of the application can create another secret. Web and "
            "native applications get no token in this way."
        )
    if trouble.scopes is not None and SCOPE not in trouble.scopes and trouble.reason is not None:
        return f"The token lacks the scope {SCOPE}: an owner of the service application can add it."
    if trouble.reason in (Reason.UNAUTHORIZED, Reason.FORBIDDEN, Reason.NOT_FOUND, None):
        return (
            "A service application sees only iTwins that it is a member of. An administrator of the iTwin "
            "adds the e-mail address of the application (My Apps, its page) with a role that can view "
            "jobs. Compare also itwin_id and service."
        )
    return ""


GUIDE = Guide(
    title="Bentley iTwin",
    name="twins",
    jobs="jobs",
    system=(
        Question("base_url", "Address of the API", "", "https://api.bentley.com"),
        Question(
            "service",
            "Service whose jobs are read",
            "One system of the configuration is one service.",
            "reality-modeling",
            choices=(
                "contextcapture",
                "realitydataanalysis",
                "realityconversion",
                "reality-modeling",
                "reality-analysis",
                "reality-conversion",
            ),
        ),
    ),
    sign_in={
        "oauth2": SignIn(
            "a service application of the developer portal",
            client_credentials(
                "https://ims.bentley.com/connect/token",
                "developer.bentley.com, My Apps, Register New, type Service; then on the page of the "
                "application.",
                "Shown once, on the same page.",
            ),
            {"scope": SCOPE},
        )
    },
    listing=(
        Question(
            "discover.itwin_id",
            "Id of the iTwin",
            "In the address of the iTwin's page. The application must be a member of it, with its own e-mail "
            "address.",
        ),
    ),
    discover=lambda _: {"newer_than": "7d"},
    job=(Question("job.id", "Id of the job", "The response of the call that created it contains it."),),
    page="docs/guides/systems/itwin.md",
    advice=_advice,
)
