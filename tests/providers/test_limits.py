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
