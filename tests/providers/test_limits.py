"""What a page of a listing may have at most, for each provider with listings."""

from collections.abc import Mapping
from typing import Any

import pytest

from exporter.model.failure import Failure, Reason
from exporter.providers import PROVIDERS
from exporter.providers.base import Provider
from exporter.providers.paging import MAX_ENTRIES
from tests.providers.conftest import discover, response_of

GUID = "cc3d35cc-416a-4262-9714-b359da70b419"
ID = "a" * 32


def provider(name: str, **options: Any) -> Provider:
    kind = PROVIDERS[name]
    return kind(kind.Options.model_validate(options))


def json_api() -> Provider:
    return provider("json", read={"path": "/{id}", "state": "state"})


def keys(**more: Any) -> Mapping[str, Any]:
    return {"path": "/jobs", "items": "jobs", "keys": {"id": "id"}, **more}


LISTINGS: dict[str, tuple[Provider, Mapping[str, Any], str, int]] = {
    "codearts": (provider("codearts"), {"project_id": ID}, "jobs", 1000),
    "crafter": (provider("crafter", api="v2"), {"sites": True}, "sites", 1000),
    "itwin": (provider("itwin", service="reality-modeling"), {"itwin_id": GUID}, "jobs", 10_000),
    "sitecore": (provider("sitecore"), {}, "data", 1000),
    "json, one page": (json_api(), keys(), "jobs", MAX_ENTRIES),
    "json, small pages": (json_api(), keys(paging={"page": "page", "size": 5}), "jobs", 1000),
    "json, large pages": (json_api(), keys(paging={"page": "page", "size": 500}), "jobs", 5000),
}


@pytest.mark.parametrize("name", LISTINGS)
def test_a_page_with_far_more_entries_than_requested_is_too_large(name: str) -> None:
    listing, options, place, most = LISTINGS[name]
    with pytest.raises(Failure) as caught:
        discover(listing, options, response_of({place: [1] * (most + 1)}), now=0.0)
    assert caught.value.reason is Reason.TOO_LARGE
    assert caught.value.detail == f"a page of the listing has more than {most} entries"


@pytest.mark.parametrize("name", LISTINGS)
def test_a_page_with_more_entries_than_requested_is_read(name: str) -> None:
    listing, options, place, most = LISTINGS[name]
    # 10,000 entries are enough to show it, where the limit is higher.
    most = min(most, 10_000)
    entries = [{"id": f"{number:032}", "siteId": f"{number}"} for number in range(most)]
    pages = iter([response_of({place: entries, "total": most, "totalCount": most})])
    listed = discover(listing, options, lambda _: next(pages, response_of({place: []})), now=0.0)
    assert len(listed.found) == most


def test_every_provider_with_listings_has_a_limit() -> None:
    named = {name.partition(",")[0] for name in LISTINGS}
    assert named == {name for name, kind in PROVIDERS.items() if kind.Discover is not None}


DOTS = ["..", "a/../b", "..\\..", "%2e%2e/admin", "..;/admin"]


@pytest.mark.parametrize("name", LISTINGS)
def test_an_entry_whose_id_leads_to_another_path_is_skipped_and_counted(name: str) -> None:
    listing, options, place, _ = LISTINGS[name]
    ids = [*DOTS, "a" * 32]
    entries = [{"id": each, "siteId": each, "system": {"status": "Running"}} for each in ids]
    pages = iter([response_of({place: entries, "total": len(ids), "totalCount": len(ids)})])
    listed = discover(listing, options, lambda _: next(pages, response_of({place: []})), now=0.0)
    assert len(listed.found) == 1
    assert sum(listed.end.skipped.values()) == len(DOTS)


def test_keys_that_lead_to_another_path_only_together_are_refused_everywhere() -> None:
    path = {"path": "/{a}/logs/.{b}", "state": "state"}
    for read in (path, {**path, "path": "/{a}/{b}", "also": {"logs": {"path": path["path"]}}}):
        api = provider("json", read=read)
        assert list(api.check_keys({"a": "x", "b": "y"})) == []
        assert list(api.check_keys({"a": "x", "b": "/z"})) == [
            ("b", "makes a segment . or .. of the path of the request")
        ]
        entries = [{"a": "x", "b": "y"}, {"a": "x", "b": "/z"}]
        listed = discover(api, keys(keys={"a": "a", "b": "b"}), response_of({"jobs": entries}), now=0.0)
        assert [found.keys for found in listed.found] == [{"a": "x", "b": "y"}]
        assert listed.end.skipped == {"discover.keys: the keys make a segment . or .. of the path": 1}


def test_a_parent_whose_key_leads_to_another_path_is_skipped() -> None:
    parents = {"path": "/groups", "items": "groups", "keys": {"group": "id"}}
    api = provider("json", read={"path": "/{group}/{id}", "state": "state"})
    responses = {
        "/groups": response_of({"groups": [{"id": "/x"}, {"id": "x"}]}),
        "/.x/jobs": response_of({"jobs": [{"id": "1"}]}),
    }
    options = keys(path="/.{group}/jobs", parents=parents)
    listed = discover(api, options, responses, now=0.0)
    assert [found.keys for found in listed.found] == [{"group": "x", "id": "1"}]
    assert listed.end.skipped == {"discover.parents.keys: the keys make a segment . or .. of the path": 1}
