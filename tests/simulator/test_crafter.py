import json
import re
from typing import Any

import pytest
import requests

from exporter.model.history import History
from exporter.model.job import State
from exporter.simulator import crafter, publishing
from exporter.simulator.lives import End, Life, Moment, World
from tests.simulator.conftest import NOON, Clock, Simulated

V1 = "/api/1/services/api/1/publish/status.json"
V2 = "/api/2/publish/status"
LOGIN = "/crafter-v1/studio/api/1/services/api/1/security/login.json"
RIGHT = {"username": crafter.USERNAME, "password": crafter.PASSWORD}
PAIR = {"Cookie": "XSRF-TOKEN=mine", "X-XSRF-TOKEN": "mine"}


def v1(simulated: Simulated, site: str, **headers: str) -> requests.Response:
    headers = {**simulated.headers("site-classic"), **headers}
    return simulated.get(f"/crafter-v1/studio{V1}", params={"site_id": site}, headers=headers)


def v2(simulated: Simulated, site: str, **headers: str) -> requests.Response:
    headers = {**simulated.headers("site"), **headers}
    return simulated.get(f"/crafter/studio{V2}", params={"siteId": site}, headers=headers)


@pytest.mark.parametrize(
    ("site", "status", "message"),
    [
        ("alumni", "stopped", r"User \S+ disabled publishing for site on TIME"),
        ("press-room", "stopped", "Stopped while trying to publish item:  on TIME"),
        ("events-2019", "idle", "Idle"),
        ("wiki", None, ".+"),
    ],
)
def test_version_1_answers_in_the_words_of_3_0(
    simulated: Simulated, site: str, status: str | None, message: str
) -> None:
    body = v1(simulated, site).json()
    assert list(body) == ["status", "message"]
    assert body["status"] == status
    assert re.fullmatch(message.replace("TIME", r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"), body["message"])


def test_a_site_of_3_0_writes_a_message_for_each_item_and_package_of_a_cycle(simulated: Simulated) -> None:
    seen: list[tuple[str, str]] = []
    for second in range(15 * 60):
        simulated.clock.now = NOON + second
        told = publishing.message(moment_of(simulated, "3.0/intranet", "intranet"))
        if not seen or seen[-1] != told:
            seen.append((told[0] or "", told[1]))
    begin = [word for word, _ in seen].index("queued")
    cycle = seen[begin : [word for word, _ in seen].index("idle", begin) + 1]
    item = re.compile(r"Currently publishing item: /site/\S+ on (\S+)")
    package = re.compile(r"Currently publishing package: (\S+) on (\S+)")
    items = [match for _, told in cycle[1:-1] if (match := item.fullmatch(told))]
    packages = [match for _, told in cycle[1:-1] if (match := package.fullmatch(told))]
    assert {word for word, _ in cycle[1:-1]} == {"busy", "publishing"}
    assert cycle[0] == ("queued", "Items queued for publishing")
    assert len(items) + len(packages) == len(cycle) - 2
    assert cycle[1][1] == items[0][0]
    assert sorted({match[1] for match in items}) == [match[1] for match in items]
    last = re.fullmatch(
        r"Last successful publish was for package: (\S+) on (\S+) with (\d+) items", cycle[-1][1]
    )
    assert last
    assert last[1] == packages[-1][1]
    assert last[2] > items[-1][1]
    assert int(last[3]) >= len(items)


def login(simulated: Simulated, **options: Any) -> requests.Response:
    options = {"json": RIGHT, "headers": PAIR, **options}
    return simulated.session.post(simulated.base_url + LOGIN, timeout=60, **options)


def test_a_login_of_3_0_gives_a_session_for_the_studio_alone(simulated: Simulated) -> None:
    response = login(simulated)
    assert response.status_code == 200
    assert re.fullmatch(
        r"JSESSIONID=[0-9A-F]{32}; HttpOnly; Path=/crafter-v1/studio; SameSite=lax",
        response.headers["Set-Cookie"],
    )


@pytest.mark.parametrize(("site", "status"), [("alumni", 200), ("", 400), ("nowhere", 404)])
def test_the_first_request_after_a_login_of_3_0_gets_a_new_id(
    site: str, status: int, simulated: Simulated
) -> None:
    cookie = f"JSESSIONID={login(simulated).cookies['JSESSIONID']}"
    first = v1(simulated, site, Cookie=cookie)
    assert first.status_code == status
    assert v1(simulated, "alumni", Cookie=cookie).status_code == 401
    second = v1(simulated, "alumni", Cookie=f"JSESSIONID={first.cookies['JSESSIONID']}")
    assert (second.status_code, "Set-Cookie" in second.headers) == (200, False)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Cookie": "XSRF-TOKEN=mine"},
        {"X-XSRF-TOKEN": "mine"},
        {"Cookie": "XSRF-TOKEN=", "X-XSRF-TOKEN": ""},
        {"Cookie": "XSRF-TOKEN=mine", "X-XSRF-TOKEN": "other"},
    ],
)
def test_a_login_of_3_0_wants_its_pair(simulated: Simulated, headers: dict[str, str]) -> None:
    response = login(simulated, headers=headers)
    assert (response.status_code, "Set-Cookie" in response.headers) == (403, False)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (json.dumps({**RIGHT, "password": "wrong"}).encode(), 401),
        (json.dumps({**RIGHT, "username": None}).encode(), 401),
        (b"{}", 401),
        (b"username=demo", 400),
        (b"[]", 400),
        (b"[" * 10_000, 400),
        (b" " * 17_000, 413),
    ],
)
def test_a_login_of_3_0_wants_user_and_password(simulated: Simulated, body: bytes, status: int) -> None:
    response = login(simulated, json=None, data=body)
    assert (response.status_code, "Set-Cookie" in response.headers) == (status, False)


def test_a_session_in_use_gets_a_new_id_and_lives_on(simulated: Simulated) -> None:
    cookie = simulated.headers("site-classic")["Cookie"]
    assert "Set-Cookie" not in v1(simulated, "alumni").headers
    for hours in (7, 14, 21):
        simulated.clock.now = NOON + hours * 3600
        response = v1(simulated, "alumni", Cookie=cookie)
        assert response.status_code == 200
        last, cookie = cookie, f"JSESSIONID={response.cookies['JSESSIONID']}"
        assert cookie != last


def test_an_idle_session_ends_after_eight_hours(simulated: Simulated) -> None:
    simulated.headers("site-classic")
    simulated.clock.now = NOON + 480 * 60
    assert v1(simulated, "alumni").status_code == 401


def test_version_1_checks_session_parameter_and_site(simulated: Simulated) -> None:
    right = simulated.headers("site-classic")["Cookie"]
    for wrong in ("", "JSESSIONID=", "JSESSIONID=zz", right[:-1], right.replace("JS", "js"), right + "0"):
        response = v1(simulated, "alumni", Cookie=wrong)
        assert (response.status_code, response.json()) == (401, {"message": "Unauthorized"})
    assert v1(simulated, "").json() == {"message": "Invalid parameter: site_id"}
    assert v1(simulated, "").status_code == 400
    assert v1(simulated, "nowhere").json() == {"message": "Site not found"}
    assert v1(simulated, "nowhere").status_code == 404


def test_3_0_has_no_version_2(simulated: Simulated) -> None:
    path = f"/crafter-v1/studio{V2}"
    response = simulated.get(path, params={"siteId": "alumni"}, headers=simulated.headers("site-classic"))
    assert response.status_code == 404
    assert response.headers["Content-Type"].startswith("text/html")


def test_4_1_says_that_version_1_moved_and_loses_the_query(simulated: Simulated) -> None:
    path, headers = f"/crafter/studio{V1}", simulated.headers("site")
    response = simulated.get(path, params={"site_id": "sandbox"}, headers=headers)
    assert (response.status_code, response.json()) == (301, {"message": "API deprecated."})
    where = response.headers["Location"]
    assert where == f"{simulated.base_url}/crafter/studio{V2}"
    followed = simulated.get(where.removeprefix(simulated.base_url), headers=headers)
    assert (followed.status_code, followed.json()["response"]["code"]) == (400, 1001)
    assert simulated.get(path).status_code == 401


@pytest.mark.parametrize(
    ("site", "status", "enabled"),
    [
        ("investors", "readyWithErrors", True),
        ("newsroom", "error", False),
        ("sandbox", "ready", False),
        ("support", "queued", True),
        ("labs", "hibernating", True),
    ],
)
def test_version_2_has_all_fields_and_no_counts_at_rest(
    simulated: Simulated, site: str, status: str, *, enabled: bool
) -> None:
    body = v2(simulated, site).json()
    assert body["response"] == {"code": 0, "message": "OK", "remedialAction": "", "documentationUrl": ""}
    assert body["publishingStatus"] == {
        "enabled": enabled,
        "status": status,
        "lockOwner": None,
        "lockTTL": None,
        "publishingTarget": None,
        "submissionId": None,
        "numberOfItems": 0,
        "totalItems": 0,
        "published": True,
    }


Shown = tuple[str, int, str | None]


def walk(simulated: Simulated, site: str) -> list[Shown]:
    """What a site shows within 15 minutes: word, counter and package; without those that repeat."""
    seen: list[Shown] = []
    flags = {each.id: each for each in crafter.SITES_4_1}[site]
    for tenth in range(0, 15 * 60 * 10, 3):
        simulated.clock.now = NOON + tenth / 10
        told = publishing.status(
            moment_of(simulated, f"4.1/{site}", site), staging=flags.staging, planned=flags.planned
        )
        assert (
            (told["submissionId"] is None) == (told["publishingTarget"] is None) == (told["totalItems"] == 0)
        )
        assert 0 <= told["numberOfItems"] <= told["totalItems"] * (2 if flags.staging else 1)
        shown = (told["status"], told["numberOfItems"], told["submissionId"])
        if not seen or seen[-1] != shown:
            seen.append(shown)
    return seen


def moment_of(simulated: Simulated, job: str, site: str) -> Moment:
    """The newest cycle of a site."""
    (life,) = [each.life for each in (*crafter.SITES_3_0, *crafter.SITES_4_1) if each.id == site]
    moment = World(1.0, 7, simulated.clock).moment(job, life)
    assert moment is not None
    return moment


@pytest.mark.parametrize(("site", "rest"), [("corporate", "ready"), ("careers", "queued")])
def test_a_site_of_4_1_shows_the_steps_of_a_cycle(simulated: Simulated, site: str, rest: str) -> None:
    seen = walk(simulated, site)
    begin = next(index for index, shown in enumerate(seen) if shown[0] == "processing")
    end = next(index for index, shown in enumerate(seen) if index > begin and shown == (rest, 0, None))
    cycle = seen[begin - 1 : end + 1]
    assert cycle[0] == ("queued", 0, None)
    gap = next(index for index, shown in enumerate(cycle) if index and shown[2] is None)
    prepared, deployed = cycle[1:gap], [shown for shown in cycle[gap:-1] if shown[2]]
    assert {shown[0] for shown in prepared} == {"processing"}
    assert {shown[0] for shown in cycle[gap:] if shown[2] is None} <= {"processing", "publishing", rest}
    assert deployed[0][:2] == ("publishing", 0)
    assert {shown[0] for shown in deployed} == {"publishing", rest}
    for part in (prepared, deployed):
        counters = [shown[1] for shown in part]
        assert sorted(counters) == counters
    ids = [list(dict.fromkeys(shown[2] for shown in part)) for part in (prepared, deployed)]
    assert ids[0] == ids[1]
    # The counter stays for a moment after the end.
    assert deployed[-1][0] == rest
    assert deployed[-1][1] == max(shown[1] for shown in deployed)


def test_a_staging_target_is_counted_too(simulated: Simulated) -> None:
    totals: dict[int, float] = {}
    for minute in range(60):
        simulated.clock.now = NOON + 60 * minute
        moment = moment_of(simulated, "4.1/shop", "shop")
        told = publishing.status(moment, staging=True)
        totals[moment.run] = max(totals.get(moment.run, 0), told["numberOfItems"] / (told["totalItems"] or 1))
    assert max(totals.values()) > 1


def test_a_person_who_stops_publishing_does_not_stop_the_cycle_that_runs() -> None:
    life, clock = Life(ends=((End.CANCELED, 1),)), Clock()
    seen: list[tuple[str, bool, bool]] = []
    for tenth in range(0, 15 * 60 * 10, 4):
        clock.now = NOON + tenth / 10
        moment = World(1.0, 7, clock).moment("any", life)
        assert moment is not None
        told = publishing.status(moment)
        shown = (told["status"], told["enabled"], told["submissionId"] is not None)
        if not seen or seen[-1] != shown:
            seen.append(shown)
    begin = seen.index(("stopped", False, True))
    assert seen[begin - 1] == ("publishing", True, True)
    assert seen[begin + 1 : begin + 3] == [("ready", False, True), ("ready", False, False)]


def packages(simulated: Simulated, site: str, **query: object) -> requests.Response:
    query = {"siteId": site, **query}
    headers = simulated.headers("site")
    return simulated.get(f"/crafter/studio{crafter.PACKAGES}", params=query, headers=headers)


def test_4_1_lists_packages_by_state_with_the_newest_first(simulated: Simulated) -> None:
    whole = packages(simulated, "corporate", states="COMPLETED", offset=0, limit=50).json()
    assert list(whole) == ["response", "total", "offset", "limit", "packages"]
    assert whole["limit"] == len(whole["packages"]) == 50 < whole["total"]
    assert set(whole["packages"][0]) == {
        "id",
        "siteId",
        "environment",
        "state",
        "schedule",
        "approver",
        "comment",
    }
    assert {each["state"] for each in whole["packages"]} == {"COMPLETED"}
    times = [each["schedule"] for each in whole["packages"]]
    assert sorted(times, reverse=True) == times
    assert len({each["id"] for each in whole["packages"]}) == 50
    assert packages(simulated, "corporate", states="COMPLETED").json()["packages"] == whole["packages"][:10]
    after = packages(simulated, "corporate", states="COMPLETED", offset=50).json()
    assert (after["offset"], len(after["packages"])) == (50, min(10, whole["total"] - 50))
    failed = packages(simulated, "newsroom", states="READY_FOR_LIVE,PROCESSING").json()
    assert {each["state"] for each in failed["packages"]} == {"READY_FOR_LIVE"}
    assert packages(simulated, "newsroom", states="COMPLETED").json()["packages"] == []
    assert packages(simulated, "investors").json()["total"] == 0
    for query, status, code in (({"offset": -1}, 400, 1001), ({"limit": "x"}, 400, 1001)):
        refused = packages(simulated, "corporate", **query)
        assert (refused.status_code, refused.json()["response"]["code"]) == (status, code)


def test_the_packages_of_one_site_are_hidden_from_the_user(simulated: Simulated) -> None:
    hidden = packages(simulated, "shop", states="COMPLETED")
    assert (hidden.status_code, hidden.json()["response"]["code"]) == (403, 2001)
    assert v2(simulated, "shop").status_code == 200
    assert packages(simulated, "nowhere").status_code == 404


@pytest.mark.parametrize(
    ("system", "site", "counted"),
    [
        ("site", "corporate", True),
        ("site", "careers", True),
        ("site", "shop", False),  # the user cannot read whether its packages are published
        ("site-classic", "intranet", True),
    ],
)
def test_a_cycle_is_counted_at_a_usual_interval_where_its_success_can_be_read(
    simulated: Simulated, system: str, site: str, *, counted: bool
) -> None:
    history, last = History(watched_since=NOON), 30 * 60
    for second in range(0, last + 1, 15):
        simulated.clock.now = NOON + second
        history.observe(simulated.read(system, {"site_id": site}, history.status), simulated.clock.now)
    job = f"{'4.1' if system == 'site' else '3.0'}/{site}"
    (life,) = [each.life for each in (*crafter.SITES_3_0, *crafter.SITES_4_1) if each.id == site]
    cycles = publishing.cycles(World(1.0, 7, simulated.clock), job, life)
    ended = [cycle for cycle in cycles if cycle.ended_at is not None and cycle.ended_at > NOON]
    assert len(ended) >= 2
    assert {cycle.end for cycle in ended} <= {End.SUCCEEDED, End.CANCELED}
    assert history.finished[State.SUCCEEDED] == (len(ended) if counted else 0)
    assert sum(history.finished.values()) == history.finished[State.SUCCEEDED]


def test_version_2_refuses_with_its_codes(simulated: Simulated) -> None:
    for authorization, status, code in (
        ("", 401, 2000),
        ("Bearer wrong", 401, 2000),
        (f"Basic {crafter.TOKEN}", 401, 2000),
        (f"Bearer {crafter.TOKEN_WITHOUT_RIGHTS}", 403, 2001),
    ):
        response = v2(simulated, "sandbox", Authorization=authorization)
        assert (response.status_code, response.json()["response"]["code"]) == (status, code)
    missing = v2(simulated, "nowhere")
    assert (missing.status_code, missing.json()["response"]["code"]) == (404, 5000)


def test_one_site_is_mostly_behind_a_limit_that_answers_html(simulated: Simulated) -> None:
    seen = []
    for minute in range(25):
        simulated.clock.now = NOON + 60 * minute
        response = v2(simulated, "campaigns")
        seen.append(response.status_code)
        if response.status_code == 429:
            assert 1 <= int(response.headers["Retry-After"]) <= 30
            assert response.text.startswith("<html>")
    assert seen.count(429) == 20
    assert seen.count(200) == 5


def page(simulated: Simulated, system: str, path: str, **query: object) -> requests.Response:
    return simulated.get(simulated.path(system) + path, params=query, headers=simulated.headers(system))


def test_3_0_lists_the_sites_of_a_named_user_with_status_and_message(simulated: Simulated) -> None:
    body = page(simulated, "site-classic", crafter.SITES_V1, username=crafter.USERNAME).json()
    assert list(body) == ["sites", "total"]
    assert body["total"] == len(body["sites"])
    told = {site["siteId"]: site for site in body["sites"]}
    assert list(told) == sorted(told)
    assert len([site_id for site_id in told if site_id.startswith("occasion-")]) in (2, 3)
    assert told["events-2019"]["publishingStatusMessage"] is None
    assert told["wiki"]["publishingStatusMessage"] == v1(simulated, "wiki").json()["message"]
    assert (told["alumni"]["publishingEnabled"], told["wiki"]["publishingEnabled"]) == (0, 1)
    for site_id in ("alumni", "intranet", "press-room"):
        assert told[site_id]["publishingStatusMessage"] == "{status}|{message}".format(
            **v1(simulated, site_id).json()
        )


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ({}, 400),
        ({"username": ""}, 400),
        ({"username": "demo", "start": "-1"}, 400),
        ({"username": "demo", "number": "x"}, 400),
        ({"username": "nobody"}, 404),
    ],
)
def test_3_0_checks_who_is_listed_and_which_page(
    simulated: Simulated, query: dict[str, str], status: int
) -> None:
    response = page(simulated, "site-classic", crafter.SITES_V1, **query)
    assert (response.status_code, list(response.json())) == (status, ["message"])


def test_a_listing_wants_a_session_or_a_token(simulated: Simulated) -> None:
    for system, path in (
        ("site-classic", crafter.SITES_V1),
        ("site", crafter.SITES_V1),
        ("site", crafter.SITES_V2),
    ):
        assert simulated.get(simulated.path(system) + path).status_code == 401
    assert page(simulated, "site-classic", crafter.SITES_V2).status_code == 404


def test_4_1_lists_sites_by_both_versions_and_tells_states_by_the_first(simulated: Simulated) -> None:
    whole = page(simulated, "site", crafter.SITES_V2, limit=100).json()
    assert list(whole) == ["response", "total", "offset", "limit", "sites"]
    assert (whole["response"]["code"], whole["offset"], whole["limit"]) == (0, 0, 100)
    assert whole["total"] == len(whole["sites"]) == 14
    assert list(whole["sites"][0]) == ["siteId", "uuid", "name", "desc", "state"]
    assert page(simulated, "site", crafter.SITES_V2).json()["sites"] == whole["sites"][:10]
    assert page(simulated, "site", crafter.SITES_V2, offset=10).json()["sites"] == whole["sites"][10:]
    refused = page(simulated, "site", crafter.SITES_V2, offset=-1)
    assert (refused.status_code, refused.json()["response"]["code"]) == (400, 1001)
    first = page(simulated, "site", crafter.SITES_V1).json()["sites"]
    assert [site["siteId"] for site in first] == [site["siteId"] for site in whole["sites"]]
    assert {site["publishingStatus"] for site in first} >= {"ready", "queued", "error", "hibernating"}


def test_the_exporter_finds_states_by_version_1_and_names_by_version_2(simulated: Simulated) -> None:
    classic, newer = simulated.discover("site-classic"), simulated.discover("site")
    assert [site_id for site_id, each in classic.items() if not each.complete] == ["events-2019"]
    for site_id, each in classic.items():
        status = simulated.read("site-classic", each.keys)
        assert each.status is None or each.status.state is status.state, site_id
    assert {each.status for each in newer.values()} == {None}
    assert newer["corporate"].name == "Corporate site"


@pytest.mark.parametrize("system", ["site", "site-classic"])
def test_sites_come_and_leave_and_can_be_read_as_long_as_they_are_there(
    simulated: Simulated, system: str
) -> None:
    lists = []
    for minute in range(0, 40, 2):
        simulated.clock.now = NOON + 60 * minute
        there = {site_id for site_id in simulated.discover(system) if site_id.startswith("occasion-")}
        for site_id in there:
            assert simulated.read(system, {"site_id": site_id}).state.value
        lists.append(there)
    assert all(len(there) in (2, 3) for there in lists)
    assert len(set().union(*lists)) in range(10, 12)
    assert lists[0].isdisjoint(lists[-1])


def test_a_site_that_is_made_or_deleted_says_so(simulated: Simulated) -> None:
    states = set()
    for second in range(0, 600, 10):
        simulated.clock.now = NOON + second
        sites = page(simulated, "site", crafter.SITES_V2, limit=100).json()["sites"]
        states |= {site["state"] for site in sites}
    assert states == {"INITIALIZING", "READY", "DELETING"}
