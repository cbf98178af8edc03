"""What the guides say to a refusal: the cause that can be seen from here, and who can correct it."""

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.guides import GUIDES, Trouble
from exporter.model.failure import Reason
from exporter.plugins import load

BUILD = "https://cloudbuild-ext.cn-north-4.myhuaweicloud.com"
IAM = "https://iam.cn-north-4.myhuaweicloud.com/v3/auth/tokens"


def trouble(
    reason: Reason | None,
    auth: str = "oauth2",
    url: str = BUILD,
    scopes: frozenset[str] | None = None,
    *,
    expired: bool = False,
    **keys: str,
) -> Trouble:
    return Trouble(reason, url, SimpleNamespace(type=auth, **keys), scopes, expired)


def test_every_system_has_a_guide() -> None:
    registry, _ = load()
    assert set(GUIDES) == set(registry.providers)
    for name, guide in GUIDES.items():
        assert set(guide.sign_in) <= set(registry.credentials)
        assert (guide.listing is None) is (registry.providers[name].Discover is None)


@pytest.mark.parametrize(
    ("project", "token_url", "said"),
    [
        ("cn-north-4", IAM, ""),
        ("cn-north-4_shop", IAM, ""),
        ("cn-east-3", IAM, "The region of base_url is cn-north-4, that of project is cn-east-3"),
        ("cn-north-4", IAM.replace("cn-north-4", "cn-east-3"), "that of token_url is cn-east-3"),
        ("cn-north-4", "https://iam.myhuaweicloud.com/v3/auth/tokens", ""),
    ],
)
def test_a_token_for_another_region_is_found(project: str, token_url: str, said: str) -> None:
    about = trouble(Reason.AUTH, "huawei_token", project=project, token_url=token_url)
    advice = GUIDES["codearts"].advice(about)
    assert said in advice
    assert ("they must be the same" in advice) is bool(said)


def test_the_clock_is_named_where_requests_are_signed() -> None:
    assert "clock of this machine" in GUIDES["codearts"].advice(trouble(Reason.UNAUTHORIZED, "huawei_aksk"))


def test_an_empty_listing_of_an_application_that_is_no_member_says_so() -> None:
    assert "member" in GUIDES["itwin"].advice(trouble(None))


def test_an_expired_token_is_named() -> None:
    assert "has expired" in GUIDES["crafter"].advice(trouble(Reason.UNAUTHORIZED, "bearer", expired=True))
    assert "has expired" not in GUIDES["crafter"].advice(trouble(Reason.UNAUTHORIZED, "bearer"))


def test_a_scope_for_own_jobs_explains_an_empty_listing() -> None:
    own = frozenset({"xmcpub.jobs.t:rl"})
    assert "only jobs that it has created" in GUIDES["sitecore"].advice(trouble(None, scopes=own))
    assert GUIDES["sitecore"].advice(trouble(None, scopes=frozenset())) == ""


@pytest.mark.parametrize(
    ("reason", "auth", "said"),
    [
        (Reason.UNAUTHORIZED, "none", "wants a credential"),
        (Reason.UNAUTHORIZED, "bearer", "administrator can issue another credential"),
        (Reason.FORBIDDEN, "bearer", "administrator of the API can give it"),
        (Reason.INVALID_RESPONSE, "bearer", "The commands probe (a job) and list"),
        (Reason.NOT_FOUND, "bearer", "Compare base_url and path with an address that works"),
        (Reason.TIMEOUT, "bearer", ""),
    ],
)
def test_for_an_unknown_api_it_is_said_who_knows_what_it_wants(reason: Reason, auth: str, said: str) -> None:
    advice = GUIDES["json"].advice(trouble(reason, auth))
    assert said in advice
    assert bool(said) is bool(advice)


@given(
    st.sampled_from(sorted(GUIDES)),
    st.sampled_from([*Reason, None]),
    st.sampled_from(["none", "bearer", "basic", "headers", "oauth2", "huawei_token", "crafter_session"]),
    st.none() | st.frozensets(st.text(max_size=20)),
)
def test_advice_is_whole_sentences_for_every_refusal(
    name: str, reason: Reason | None, auth: str, scopes: frozenset[str] | None
) -> None:
    advice = GUIDES[name].advice(trouble(reason, auth, scopes=scopes))
    assert not advice or advice.endswith(".")
