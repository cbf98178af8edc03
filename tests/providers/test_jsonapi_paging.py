"""The pages of listings of the provider `json`: which one is the next, and which the last."""

import json
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.model.failure import Failure, Reason
from exporter.model.http import Request, Response
from exporter.model.job import State
from exporter.providers.paging import next_path
from tests.providers.conftest import BASE_URL, response_of
from tests.providers.test_jsonapi_listing import listed


def numbered(
    total: int, size: int = 10, *, by: str = "page", first: int = 1
) -> Callable[[Request], Response]:
    def page(request: Request) -> Response:
        number = int(dict(parse_qsl(urlsplit(request.path).query))[by])
        begin = number if by == "offset" else (number - first) * size
        return response_of({"jobs": [{"id": n} for n in range(begin, min(begin + size, total))]})

    return page


def test_pages_are_turned_by_number_until_an_empty_one() -> None:
    found = listed({"query": {"per_page": 10}, "paging": {"page": "page"}}, numbered(20))
    assert found.ids == [str(n) for n in range(20)]
    assert found.paths == [f"/jobs?per_page=10&page={n}" for n in (1, 2, 3)]


@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize("total", [0, 5, 20, 25])
def test_a_page_that_is_not_full_is_not_the_last(total: int, first: int) -> None:
    paging = {"page": "page", "size": 20, "first": first}
    found = listed({"paging": paging}, numbered(total, first=first))
    assert len(found.ids) == total
    assert len(found.paths) == -(-total // 10) + 1


def test_the_total_saves_the_request_for_an_empty_page() -> None:
    def page(request: Request) -> Response:
        body = json.loads(numbered(25)(request).body)
        return response_of({**body, "sum": {"n": "25"}})

    found = listed({"paging": {"page": "page", "size": 10, "total": "sum.n"}}, page)
    assert (len(found.ids), len(found.paths), found.end.incomplete) == (25, 3, "")


@pytest.mark.parametrize("cap", [1, 7, 10])
def test_offsets_step_by_the_entries_of_a_page(cap: int) -> None:
    paging = {"page": "offset", "first": 0, "step": 10, "size": 10}
    found = listed({"paging": paging}, numbered(25, cap, by="offset"))
    assert found.ids == [str(n) for n in range(25)]
    offsets = [*range(0, 25, cap), 25]
    assert found.paths == [f"/jobs?offset={offset}" for offset in offsets]


def test_offsets_never_step_over_entries() -> None:
    """A list that `items` flattens has more entries than the pages that an offset counts."""
    pages = {"0": [[1, 2], [3, 4]], "2": [[5, 6]], "3": []}
    paging = {"page": "offset", "first": 0, "step": 2, "size": 2}
    found = listed(
        {"items": "groups[]", "keys": {"id": "to_string(@)"}, "paging": paging},
        lambda request: response_of({"groups": pages[request.path.rpartition("=")[2]]}),
    )
    assert found.ids == ["1", "2", "3", "4", "5", "6"]


KINDS = [{"id": n, "kind": "a" if n in (1, 25) else "b"} for n in range(30)]


@pytest.mark.parametrize(
    "items",
    [
        "jobs[?kind=='a']",
        "jobs[?kind=='a'] || `[]`",
        "jobs | [?kind=='a'].{id: id}",
        "jobs[].v[?kind=='a'][]",
    ],
)
@pytest.mark.parametrize(("paging", "pages"), [({"page": "page"}, 4), ({"page": "p", "total": "sum"}, 3)])
def test_entries_that_items_leaves_out_count_for_the_pages(
    items: str, paging: dict[str, Any], pages: int
) -> None:
    def page(request: Request) -> Response:
        number = int(request.path.rpartition("=")[2])
        jobs = [{**each, "v": [each]} for each in KINDS[number * 10 - 10 : number * 10]]
        return response_of({"jobs": jobs, "sum": 30})

    found = listed({"items": items, "paging": paging}, page)
    assert (found.ids, len(found.paths), found.end.incomplete) == (["1", "25"], pages, "")


def test_an_offset_steps_over_entries_that_items_leaves_out() -> None:
    def page(request: Request) -> Response:
        begin = int(request.path.rpartition("=")[2])
        return response_of({"jobs": KINDS[begin : begin + 10]})

    paging = {"page": "offset", "first": 0, "step": 20}
    found = listed({"items": "jobs[?kind=='a']", "paging": paging}, page)
    assert found.paths == [f"/jobs?offset={begin}" for begin in (0, 10, 20, 30)]


@pytest.mark.parametrize(
    "totals", [{"total": 12}, {"totalElements": "12"}, {"count": 5, "total_count": 12.0, "total": None}]
)
def test_a_listing_that_ends_before_its_own_total_is_incomplete(totals: dict[str, Any]) -> None:
    body = {"jobs": [{"id": n} for n in range(5)], **totals}
    for items, nested in {"jobs": body, "data.jobs": {"data": body, "total": 99}}.items():
        found = listed({"items": items}, response_of(nested))
        assert (len(found.ids), found.end.incomplete) == (5, "it ended after 5 of 12 entries")


@pytest.mark.parametrize("items", ["jobs[?id]", "[jobs][]", "jobs || `[]`"])
def test_the_total_of_entries_that_an_expression_selects_is_not_known(items: str) -> None:
    assert listed({"items": items}, response_of({"jobs": [{"id": 1}], "total": 12})).end.incomplete == ""


@pytest.mark.parametrize(
    ("total", "why"),
    [("mine", ""), ("odd", ""), ("`null`", ""), ("abs(odd)", ""), ("`3`", "it ended after 1 of 3 entries")],
)
def test_the_configured_total_is_the_only_one(total: str, why: str) -> None:
    body = {"jobs": [{"id": 1}], "total": 12, "mine": 1, "odd": "x"}
    assert listed({"paging": {"total": total}}, response_of(body)).end.incomplete == why


def test_a_total_below_the_number_of_entries_is_not_one() -> None:
    page = {"jobs": [{"id": 1}, {"id": 2}], "total": 1}
    found = listed({"paging": {"page": "p", "total": "total"}}, by_page([page, {"jobs": [], "total": 1}]))
    assert (found.ids, found.end.incomplete) == (["1", "2"], "")


def by_page(bodies: list[Any], name: str = "p", first: int = 1) -> Callable[[Request], Response]:
    def page(request: Request) -> Response:
        body = bodies[int(dict(parse_qsl(urlsplit(request.path).query))[name]) - first]
        return response_of({}, body) if isinstance(body, int) else response_of(body)

    return page


@pytest.mark.parametrize("status", [204, 400, 404, 416, 422])
@pytest.mark.parametrize(("rows", "size"), [(2, 2), (1, 2), (2, None)])
def test_a_number_without_a_page_is_the_end(status: int, rows: int, size: int | None) -> None:
    pages = [{"jobs": [{"id": n} for n in range(rows)]}, status]
    found = listed({"paging": {"page": "p", "size": size}}, by_page(pages))
    assert len(found.ids) == rows
    doubtful = status in (400, 422) and rows != 1
    assert found.end.incomplete == (
        f"after {rows} entries the next page was rejected with HTTP status {status}" if doubtful else ""
    )


@pytest.mark.parametrize("status", [401, 403, 429, 500])
def test_any_other_failure_of_a_page_fails_the_listing(status: int) -> None:
    with pytest.raises(Failure):
        listed({"paging": {"page": "p"}}, by_page([{"jobs": [{"id": 1}]}, status]))


@pytest.mark.parametrize("status", [400, 404, 416, 422])
def test_the_first_page_must_exist(status: int) -> None:
    with pytest.raises(Failure):
        listed({"paging": {"page": "p"}}, by_page([status]))


def test_the_rest_is_left_unread_where_the_config_says_so() -> None:
    found = listed({"paging": {"page": "page", "max_pages": 2, "total": "`1000`"}}, numbered(1000))
    assert (len(found.ids), found.end.incomplete) == (20, "")


def test_a_listing_that_shows_the_same_page_for_ever_is_refused() -> None:
    with pytest.raises(Failure, match="the second page repeats the first"):
        listed({"paging": {"page": "page"}}, response_of({"jobs": [{"id": 1}]}))


@pytest.mark.parametrize(("total", "why"), [(None, "a page repeats an earlier one"), (4, ""), ("4", "")])
def test_a_full_page_that_is_shown_again_ends_the_listing(total: object, why: str) -> None:
    one, two = ({"jobs": [{"id": n}, {"id": n + 1}], "total": total} for n in (1, 3))
    found = listed({"paging": {"page": "p", "size": 2}}, by_page([one, two, two]))
    assert (found.ids, found.end.incomplete) == (["1", "2", "3", "4"], why)


def test_a_short_page_that_is_shown_for_every_later_number_is_the_end() -> None:
    found = listed({"paging": {"page": "p", "size": 2}}, response_of({"jobs": [{"id": 1}]}))
    assert (found.ids, len(found.paths), found.end.incomplete) == (["1"], 2, "")


def test_pages_with_runs_of_the_same_jobs_are_all_read_and_the_newest_run_counts() -> None:
    runs = [{"id": "night", "s": state, "n": n} for n, state in enumerate(["BUSY", *["OK"] * 5])]
    pages = [{"jobs": runs[n : n + 2]} for n in range(0, 8, 2)]
    found = listed({"state": "s", "paging": {"page": "p"}}, by_page(pages))
    assert len(found.paths) == 4
    assert [each.status.state for each in found.found] == [State.RUNNING]


def test_a_job_that_slips_from_page_to_page_is_found_once() -> None:
    pages = [{"jobs": [{"id": n} for n in ids]} for ids in ([1, 2], [2, 3], [])]
    assert listed({"paging": {"page": "p"}}, by_page(pages)).ids == ["1", "2", "3"]


TOKENS = {"": "t/2&x", "t/2&x": 3, "3": None}


def by_token(request: Request) -> Response:
    token = dict(parse_qsl(urlsplit(request.path).query)).get("token", "")
    return response_of({"jobs": [{"id": f"after {token}"}], "next": TOKENS[token]})


def test_pages_are_turned_by_a_token_in_the_answer() -> None:
    found = listed({"paging": {"token": "token", "next": "next"}}, by_token)
    assert found.ids == ["after ", "after t/2&x", "after 3"]
    assert found.paths == ["/jobs", "/jobs?token=t%2F2%26x", "/jobs?token=3"]


def test_pages_are_turned_by_a_token_in_a_header() -> None:
    def page(request: Request) -> Response:
        if "token" in request.path:
            return response_of({"jobs": [{"id": 2}]})
        return response_of({"jobs": [{"id": 1}]}, x_more="abc")

    found = listed({"paging": {"token": "token", "header": "X-More"}}, page)
    assert found.paths == ["/jobs", "/jobs?token=abc"]


def test_pages_are_turned_in_the_body_of_a_query() -> None:
    bodies: list[Any] = []

    def page(request: Request) -> Response:
        bodies.append(json.loads(request.body))
        return response_of({"jobs": [{"id": len(bodies)}], "next": "t" if len(bodies) < 2 else ""})

    paging = {"token": "cursor", "next": "next", "into": "body"}
    found = listed({"method": "POST", "body": {"size": 5}, "paging": paging}, page)
    assert bodies == [{"size": 5}, {"size": 5, "cursor": "t"}]
    assert found.ids == ["1", "2"]


@pytest.mark.parametrize(
    "link",
    [
        "?page=2",
        "/prefix/jobs?page=2",
        "jobs?page=2",
        f"{BASE_URL}/jobs?page=2",
        "http://api.example.com/prefix/jobs?page=2",
    ],
)
def test_pages_are_turned_by_the_address_of_the_next(link: str) -> None:
    def page(request: Request) -> Response:
        more = "page=2" not in request.path
        return response_of({"jobs": [{"id": request.path}], "next": link if more else None})

    assert listed({"query": {"a": 1}, "paging": {"next": "next"}}, page).paths == [
        "/jobs?a=1",
        "/jobs?page=2",
    ]


def test_pages_are_turned_by_the_link_header() -> None:
    def page(request: Request) -> Response:
        links = f'<{BASE_URL}/jobs?page=1>; rel="prev", <{BASE_URL}/jobs?page=2&x=a,b>; rel="next"'
        if "page=2" in request.path:
            links = f'<{BASE_URL}/jobs?page=1>; rel="prev"'
        return response_of({"jobs": [{"id": request.path}]}, link=links)

    assert listed({"paging": {"header": "Link"}}, page).paths == ["/jobs", "/jobs?page=2&x=a,b"]


def test_a_link_header_of_a_length_that_no_system_has_fails_the_listing() -> None:
    links = '</jobs?page=2>; rel="next"' + '; rel="x"' * 2_000
    with pytest.raises(Failure, match="the header Link is too long"):
        listed({"paging": {"header": "Link"}}, response_of({"jobs": []}, link=links))


@pytest.mark.parametrize(
    "links",
    [
        "<?page=2>; rel=next",
        '<?page=2> ; REL = "NEXT" ',
        '<?page=1>;rel="prev first",<?page=2>;rel="last next"',
        '<?page=2>; title="a=b; c, <d> \\" e"; rel="next"; results=true',
        '</prefix/jobs;v=1?page=2>; rel="next"',
        '<?page=9>; title="; rel=next"; rel=last, <?page=2>; rel=next, <?page=8>; rel=next',
        '<?page=9>; rel=last; rel=next, , <?page=2>; foo; rel="next"',
    ],
)
def test_a_link_header_may_have_any_form_of_its_standard(links: str) -> None:
    def page(request: Request) -> Response:
        link = links if "page" not in request.path else "<?page=1>; rel=prev"
        return response_of({"jobs": [{"id": request.path}]}, link=link)

    assert listed({"paging": {"header": "Link"}}, page).paths[1].rpartition("?")[2] == "page=2"


@pytest.mark.parametrize(
    "links", ["", "<", "<?page=2", '<?page=2>; title="x', "<?page=2>; rel=nextpage", "?page=2; rel=next"]
)
def test_a_link_header_without_a_next_address_is_that_of_the_last_page(links: str) -> None:
    response = response_of({"jobs": [{"id": 1}]}, link=links)
    assert listed({"paging": {"header": "Link"}}, response).paths == ["/jobs"]


@pytest.mark.parametrize("links", ["<" * 16_000, '<x>\\"' * 3_200, '<x>;a="' * 2_300, "<" + "x;" * 8_000])
def test_no_link_header_takes_long_to_read(links: str) -> None:
    began = time.thread_time()
    listed({"paging": {"header": "Link"}}, response_of({"jobs": []}, link=links))
    assert time.thread_time() - began < 0.2


def linked(link: object, **keys: Any) -> list[str]:
    """The paths requested of a listing whose first page has this next one."""
    asked: list[str] = []

    def page(request: Request) -> Response:
        asked.append(request.path)
        return response_of({"jobs": [{"id": len(asked)}], "next": link if len(asked) == 1 else None})

    listed({"query": {"a": 1}, "paging": {"next": "next"}, **keys}, page)
    return asked[1:]


@pytest.mark.parametrize(
    "link",
    [
        "https://inner.example/prefix/jobs?page=2",
        "//inner.example/jobs?page=2#top",
        "https://api.example.com@inner.example:8443/x?page=2",
        "/repositories/17/jobs?page=2",
        f"{BASE_URL}/repositories/17/jobs?page=2",
        "../../jobs?page=2",
        "https://api.example.com/prefix/../jobs?page=2",
        "https://inner.example/jobs/../../etc?page=2",
        f"{BASE_URL}/jobs/%2E%2e/etc?page=2",
        "api.example.com/jobs?page=2",
    ],
)
def test_only_the_query_of_an_address_elsewhere_is_used(link: str) -> None:
    assert linked(link) == ["/jobs?page=2"]


@pytest.mark.parametrize(
    ("link", "path"),
    [
        (f"{BASE_URL}/jobs/page/2", "/jobs/page/2"),
        (f"{BASE_URL}/jobs/page/2?a=1", "/jobs/page/2?a=1"),
        (f"{BASE_URL}/jobs/page/2?b=1#top", "/jobs/page/2?b=1"),
        ("/prefix/jobs/page/2", "/jobs/page/2"),
        ("jobs/page/2", "/jobs/page/2"),
        ("https://inner.example/jobs/p\u00e4ge/2", "/jobs/p%C3%A4ge/2"),
        ("x/../jobs/./page/2", "/jobs/page/2"),
        (f"{BASE_URL}/list/2", "/list/2"),
        (f"{BASE_URL}//evil.example/2?a=1", "//evil.example/2?a=1"),
    ],
)
def test_a_page_in_the_path_is_followed_below_base_url(link: str, path: str) -> None:
    assert linked(link) == [path]


def test_a_page_in_the_path_leads_to_the_next() -> None:
    def page(request: Request) -> Response:
        number = int(request.path.rpartition("/")[2]) if "page" in request.path else 1
        link = f"https://inner.example/jobs/page/{number + 1}"
        return response_of({"jobs": [{"id": number}], "next": link if number < 4 else ""})

    assert listed({"paging": {"next": "next"}}, page).ids == ["1", "2", "3", "4"]


def test_a_post_is_never_sent_to_another_path() -> None:
    keys = {"method": "POST", "body": {}}
    assert linked(f"{BASE_URL}/jobs/page/2?b=1", **keys) == ["/jobs?b=1"]
    with pytest.raises(Failure):
        linked(f"{BASE_URL}/jobs/page/2", **keys)


@pytest.mark.parametrize(
    "link",
    [
        "https://evil.example/list/2",
        "//evil.example/jobs",
        "/elsewhere/2",
        "/prefixed/jobs",
        "../x",
        "https://api.example.com/prefix/%2e%2e/x",
        "/",
        "http://[x",
        "\\\\evil.example\\x",
        "mailto:jobs",
        2,
    ],
)
def test_an_address_that_leads_to_no_page_is_refused(link: object) -> None:
    with pytest.raises(Failure) as caught:
        linked(link)
    assert caught.value.reason is Reason.INVALID_RESPONSE
    assert "evil" not in caught.value.detail


@pytest.mark.parametrize("paging", [{"next": "next"}, {"next": "next", "token": "t"}])
def test_a_next_page_that_was_read_already_is_an_error_unless_the_listing_is_over(
    paging: dict[str, str],
) -> None:
    def pages(*bodies: dict[str, Any]) -> Callable[[Request], Response]:
        each = iter(bodies)
        return lambda _: response_of({"next": "?b", **next(each)})

    one, two = ({"jobs": [{"id": n}]} for n in (1, 2))
    assert listed({"paging": paging}, pages(one, {"jobs": []})).ids == ["1"]
    assert listed({"paging": {**paging, "total": "n"}}, pages(one, {**two, "n": 2})).ids == ["1", "2"]
    with pytest.raises(Failure, match="read already"):
        listed({"paging": paging}, pages(one, two))


def test_empty_pages_between_others_are_followed_but_not_without_end() -> None:
    def page(request: Request) -> Response:
        number = int(dict(parse_qsl(urlsplit(request.path).query)).get("t", "0"))
        return response_of({"jobs": [{"id": number}] if number in (0, 5) else [], "next": number + 1})

    found = listed({"paging": {"token": "t", "next": "next"}}, page)
    assert found.ids == ["0", "5"]
    assert (len(found.paths), found.end.incomplete) == (16, "it has more pages after 10 without an entry")


@pytest.mark.parametrize("token", [True, 1.5, [], {"a": 1}, "x" * 9000, "\ud800", "a\nb", -1, 10**400])
def test_a_token_that_is_none_is_refused(token: object) -> None:
    with pytest.raises(Failure, match=r"paging: |the address of the next page "):
        listed({"paging": {"token": "t", "next": "n"}}, response_of({"jobs": [{"id": 1}], "n": token}))


PARTS = st.lists(
    st.sampled_from(["jobs", "page", "..", ".", "%2e%2e", "%2E.", "", "\u00e4", "a b", "%", ";x", "\\", "2"])
)
ADDRESSES = st.builds(
    "{}{}{}".format,
    st.sampled_from(["", "/", "//", "/prefix/", f"{BASE_URL}/", "https://other.example/", "http://[", "x:"]),
    PARTS.map("/".join),
    st.sampled_from(["", "?a=1", "?a=1&p=2", "?p", "#f", "?#", "?\u00e4=\ud800"]),
)


@given(
    ADDRESSES | st.text(), st.sampled_from(["GET", "POST"]), st.sampled_from(["/jobs", "/jobs/", "/", "/a/b"])
)
def test_wherever_an_address_leads_the_request_stays_below_base_url(
    address: str, method: Any, listing: str
) -> None:
    request = Request(f"{listing}?a=1", method=method)
    response = Response(200, url=f"{BASE_URL}{request.path}")
    try:
        path = next_path(address, request, response, listing)
    except Failure:
        return
    assert path.startswith("/")
    assert path.isascii()
    assert path.isprintable()
    assert " " not in path
    own, _, query = path.partition("?")
    assert not any(unquote(segment) in (".", "..") for segment in own.split("/"))
    assert own == listing or method == "GET"
    assert own != listing or query
