"""Huawei CodeArts Build: what to create and where; see docs/guides/systems/codearts.md for the sources."""

import re
from collections.abc import Mapping

from exporter.guides.guide import Guide, Question, SignIn, Trouble
from exporter.model.failure import Reason

_REGION = re.compile(r"https://(?:cloudbuild-ext|iam)\.([a-z0-9-]+)\.myhuaweicloud\.com", re.ASCII)


def _region(url: str) -> str:
    """The region in an address of Huawei Cloud; empty if it has none."""
    found = _REGION.match(url)
    return found[1] if found else ""


def _advice(trouble: Trouble) -> str:
    auth, region = trouble.auth, _region(trouble.base_url)
    if trouble.reason is Reason.DNS:
        return "base_url must be https://cloudbuild-ext.REGION.myhuaweicloud.com with an existing region."
    if trouble.reason in (Reason.AUTH, Reason.UNAUTHORIZED):
        return " ".join(filter(None, (_other_region(auth, region), _about_credential(auth.type))))
    if trouble.reason in (Reason.FORBIDDEN, Reason.NOT_FOUND, None):
        return (
            "The IAM user must be a member of the CodeArts project with the right to view its build "
            "tasks; an administrator of the project can add it. Ids are valid in one region only: "
            f"base_url has {region or 'none'}."
        )
    return ""


def _other_region(auth: object, region: str) -> str:
    # A project of a region has the name of the region, or that and a suffix: cn-north-4_shop.
    project = getattr(auth, "project", "").partition("_")[0]
    iam = _region(getattr(auth, "token_url", ""))
    for key, other in (("project", project), ("token_url", iam)):
        if region and other and other != region:
            return f"The region of base_url is {region}, that of {key} is {other}; they must be the same."
    return ""


def _about_credential(kind: str) -> str:
    if kind == "huawei_token":
        return (
            "IAM issues tokens to IAM users, not to a HUAWEI ID. Compare username, password, domain (the "
            "name of the account) and project (the region); an administrator of the account manages IAM "
            "users."
        )
    return (
        "Compare access key and secret key: the IAM user creates them under My Credentials, Access Keys. The "
        "clock of this machine must be right to 15 minutes. A proxy must not change the request."
    )


def _iam(answers: Mapping[str, str]) -> str:
    region = _region(answers.get("base_url", ""))
    return f"https://iam.{region}.myhuaweicloud.com/v3/auth/tokens" if region else ""


GUIDE = Guide(
    title="Huawei Cloud CodeArts Build",
    name="builds",
    jobs="build tasks",
    system=(
        Question(
            "base_url",
            "Address of the API",
            "https://cloudbuild-ext.REGION.myhuaweicloud.com; the console shows the region, such as "
            "cn-north-4 or ap-southeast-3, at the top.",
        ),
    ),
    sign_in={
        "huawei_aksk": SignIn(
            "an access key of an IAM user, as Huawei recommends",
            (
                Question(
                    "auth.access_key",
                    "Access key",
                    "Console, signed in as the IAM user: My Credentials, Access Keys. The file "
                    "credentials.csv contains both keys.",
                    secret=True,
                ),
                Question("auth.secret_key", "Secret key", "In the same file.", secret=True),
            ),
        ),
        "huawei_token": SignIn(
            "the password of an IAM user",
            (
                Question("auth.token_url", "Address of IAM", "", _iam),
                Question("auth.username", "Name of the IAM user", "Not a HUAWEI ID: that gets no token."),
                Question("auth.password", "Password", "", secret=True),
                Question("auth.domain", "Name of the account", "Console: My Credentials, Account Name."),
                Question(
                    "auth.project",
                    "Name of the IAM project",
                    "The default project of a region has the name of the region.",
                    lambda answers: _region(answers.get("base_url", "")),
                ),
            ),
        ),
    },
    listing=(
        Question(
            "discover.project_id",
            "Id of the CodeArts project",
            "32 letters and digits in the address of the project's page.",
        ),
    ),
    job=(
        Question(
            "job.job_id", "Id of the build task", "32 letters and digits at the end of its page's address."
        ),
    ),
    page="docs/guides/systems/codearts.md",
    advice=_advice,
)
