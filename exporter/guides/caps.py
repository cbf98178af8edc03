"""CAPS: what to create and where; see docs/guides/systems/caps.md for the sources."""

from exporter.guides.guide import Guide, Question, SignIn, Trouble
from exporter.model.failure import Reason


def _advice(trouble: Trouble) -> str:
    if trouble.reason in (Reason.UNAUTHORIZED, Reason.FORBIDDEN):
        return (
            "Authorization must be the token as it is, without a word such as Bearer, and TokenType its kind "
            "(jwt or sas). How tokens are issued is not public: the operator of the service can create one "
            "that may read the project."
        )
    if trouble.reason is Reason.NOT_FOUND:
        return "Compare project_id, build_job_id (DOCSET--promote) and locale with the address of the docset."
    return ""


GUIDE = Guide(
    title="CAPS / OpenPublishing (Microsoft)",
    name="docs",
    jobs="publishes",
    system=(
        Question(
            "base_url",
            "Address of the API",
            "The operator of the service knows it. Hosts in the public pages: caps-api-prod and "
            "caps-api-sandbox under azurewebsites.net.",
            "https://caps-api-prod.azurewebsites.net",
        ),
    ),
    sign_in={
        "headers": SignIn(
            "a token from the operator of the service",
            (
                Question(
                    "auth.headers.Authorization",
                    "Token",
                    "As it is, without a word such as Bearer. The operator of the service issues it.",
                    secret=True,
                    flag="token",
                ),
                Question("auth.headers.TokenType", "Kind of the token", "", "jwt", flag="token-type"),
            ),
        )
    },
    listing=None,
    job=(
        Question("job.project_id", "Id of the project", "In the address of the docset: Projects/ID."),
        Question(
            "job.build_job_id",
            "Id of the build job",
            "The id of the docset, then --promote (publish to live) or --publish (staging build).",
        ),
        Question("job.locale", "Language", "", "en-US"),
    ),
    page="docs/guides/systems/caps.md",
    advice=_advice,
)
