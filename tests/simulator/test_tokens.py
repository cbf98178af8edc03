from collections.abc import Mapping
from typing import Any

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from exporter.simulator import itwin, sitecore
from exporter.simulator.lives import World
from tests.simulator.conftest import NOON, Simulated

Form = Mapping[str, str | None] | list[tuple[str, str]]

IMS, AUTH = "/ims/connect/token", "/sitecore-auth/oauth/token"
IMS_FORM = {
    "grant_type": "client_credentials",
    "client_id": itwin.CLIENT_ID,
    "client_secret": itwin.CLIENT_SECRET,
    "scope": itwin.SCOPE,
}
AUTH_FORM = {
    "grant_type": "client_credentials",
    "client_id": sitecore.CLIENT_ID,
    "client_secret": sitecore.CLIENT_SECRET,
    "audience": sitecore.AUDIENCE,
}


def post(simulated: Simulated, path: str, form: Form, **options: Any) -> requests.Response:
    return simulated.session.post(simulated.base_url + path, data=form, timeout=60, **options)


@pytest.mark.parametrize(("path", "form", "life"), [(IMS, IMS_FORM, 3600), (AUTH, AUTH_FORM, 86400)])
def test_the_secret_goes_in_the_form_or_by_basic(
    simulated: Simulated, path: str, form: dict[str, str], life: int
) -> None:
    rest = dict(form)
    basic = (rest.pop("client_id"), rest.pop("client_secret"))
    for response in (post(simulated, path, form), post(simulated, path, rest, auth=basic)):
        assert response.status_code == 200
        assert response.json()["expires_in"] == life
        assert response.json()["token_type"] == "Bearer"
        assert response.json()["access_token"].count(".") == 2
        assert response.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    ("path", "form", "change", "status", "error"),
    [
        (IMS, IMS_FORM, {"client_secret": "x"}, 400, "invalid_client"),
        (IMS, IMS_FORM, {"client_id": "x"}, 400, "invalid_client"),
        (IMS, IMS_FORM, {"grant_type": "password"}, 400, "unsupported_grant_type"),
        (IMS, IMS_FORM, {"scope": "x"}, 400, "invalid_scope"),
        (IMS, IMS_FORM, {"scope": None}, 400, "invalid_scope"),
        (AUTH, AUTH_FORM, {"client_secret": None}, 401, "access_denied"),
        (AUTH, AUTH_FORM, {"grant_type": None}, 403, "unauthorized_client"),
        (AUTH, AUTH_FORM, {"audience": sitecore.AUDIENCE + "/"}, 403, "access_denied"),
    ],
)
def test_client_grant_type_scope_and_audience_are_checked(
    simulated: Simulated,
    path: str,
    form: dict[str, str],
    change: dict[str, str | None],
    status: int,
    error: str,
) -> None:
    response = post(simulated, path, {**form, **change})
    assert response.status_code == status
    assert response.json()["error"] == error


def test_a_wrong_secret_by_basic_is_401_with_a_challenge(simulated: Simulated) -> None:
    response = post(simulated, IMS, IMS_FORM, auth=(itwin.CLIENT_ID, "wrong"))
    assert response.status_code == 401
    assert response.headers["WWW-Authenticate"] == "Basic"
    broken = post(simulated, IMS, IMS_FORM, headers={"Authorization": "Basic ????"})
    assert broken.status_code == 401


def test_only_a_small_form_that_is_posted_is_taken(simulated: Simulated) -> None:
    assert simulated.session.post(simulated.base_url + IMS, json=IMS_FORM, timeout=60).status_code == 400
    assert post(simulated, IMS, {**IMS_FORM, "x": "y" * 20_000}).status_code == 413
    assert post(simulated, IMS, [*IMS_FORM.items(), *[("x", "y")] * 60]).status_code == 400
    assert simulated.get(IMS).status_code == 405


@given(st.text())
def test_no_text_is_taken_for_a_token(text: str) -> None:
    assert itwin.issuer(World(1.0, 0, lambda: NOON)).claims(text) is None
