"""The keys of ``discover:`` of the provider ``json``: listings, their pages and their parents."""

from typing import ClassVar, Literal

from pydantic import Field, model_validator

from exporter.config_types import Expr, HeaderName, Keys, PositiveDuration
from exporter.providers.base import DiscoverKeys
from exporter.providers.json.keys import KEY, RequestKeys, Word, can_take_long

SINCE = ("since", "since_s", "since_ms")
"""The names in braces that a listing's request can have: the time ``newer_than`` ago, in three notations."""


class Paging(Keys):
    """How a listing continues after its first page: by number, by a token, or by the next page's address."""

    page: Word | None = Field(None, description="parameter for the number of the page, or for an offset")
    first: int = Field(1, ge=0, le=1, description="the number of the first page")
    step: int = Field(
        1, ge=1, le=100_000, description="difference from one page to the next; more than 1 for an offset"
    )
    size: int | None = Field(
        None,
        ge=1,
        le=100_000,
        description="entries that a page is requested to have; after a page with fewer, a repeated page or a "
        "status 400, 404, 416 or 422 is the end",
    )
    token: Word | None = Field(None, description="parameter for the token of the next page")
    next: Expr | None = Field(
        None, description="the token in the response; without token: the address of the next page"
    )
    header: HeaderName | None = Field(
        None, description="the same in a response header; in Link (RFC 8288) the address with rel=next"
    )
    total: Expr | None = Field(
        None,
        description="the number of entries on all pages, in each response; a listing that ends with fewer is "
        "incomplete. Without it, usual names beside the list are tried",
    )
    into: Literal["query", "body", "path"] = Field(
        "query",
        description="place of the parameter, whose name can lead into it by dots: variables.cursor is cursor "
        "in the mapping variables of a body, or in a query parameter that is JSON. In path its name is in "
        "braces",
    )
    max_pages: int | None = Field(
        None, ge=1, le=500, description="limit of pages, for listings that begin with the newest"
    )

    @model_validator(mode="after")
    def _one_way(self) -> "Paging":
        sources = (self.next is not None) + (self.header is not None)
        ways = sources + (self.page is not None)
        only_total = ways == 0 and self.token is None and self.total is not None
        if (ways != 1 and not only_total) or (self.page is not None and self.token is not None):
            raise ValueError(
                "allowed is one of: page; token with next or header; next or header alone, for an address; "
                "total alone, for one page"
            )
        numbers = {"first", "step", "size"} & self.model_fields_set
        if numbers and self.page is None:
            raise ValueError(f"{min(numbers)} goes with page only")
        if self.into == "body" and self.page is None and self.token is None:
            raise ValueError("into: body goes with page or token only")
        if self.into == "path" and self.page is None:
            raise ValueError("into: path goes with page only")
        return self


class ListKeys(RequestKeys):
    """A list in the response, page by page."""

    items: Expr = Field(description="the list in a page")
    keys: dict[str, Expr] = Field(
        default_factory=dict, description="keys by name, each an expression for its entry of the list"
    )
    paging: Paging | None = Field(None, description="the next page; without it there is one page")

    def check_place(self) -> None:
        """Checks that the parameter of a page has a place.

        Raises:
            ValueError: it has none.
        """
        paging, names = self.paging, KEY.findall(self.path)
        if paging is None or paging.into == "query":
            return
        place = paging.page or paging.token or ""
        if paging.into == "path":
            if (place, "") not in names:
                raise ValueError(f"paging into the path needs {{{place}}} in path")
            return
        if self.method == "GET":
            raise ValueError("paging into the body needs method: POST")
        inside = self.body or {}
        for name in place.split("."):
            if not isinstance(inside, dict):
                raise ValueError("paging into the body needs a mapping where the parameter goes")  # noqa: TRY004
            inside = inside.get(name) or {}

    def check_names(self, *allowed: str) -> frozenset[str]:
        """Checks the names in braces, and returns them.

        Raises:
            ValueError: one is not allowed.
        """
        names = set(self.names())
        if self.paging is not None and self.paging.into == "path":
            if self.paging.page in allowed:
                raise ValueError(f"{self.paging.page} in braces cannot be the page too; rename one of both")
            names -= {self.paging.page}
        if not names.issubset(allowed):
            raise ValueError(f"has a name in braces that is not known; allowed: {', '.join(allowed)}")
        return frozenset(names)


class JsonParents(ListKeys):
    """What has listings of jobs, such as the projects of a system."""

    @model_validator(mode="after")
    def _fits_together(self) -> "JsonParents":
        if not self.keys:
            raise ValueError("keys is missing: the names in braces of the listings")
        self.check_place()
        self.check_names(*SINCE)
        return self


class JsonDiscover(DiscoverKeys, ListKeys):
    """The jobs in a list of the response."""

    nullable: ClassVar[frozenset[str]] = frozenset({"state"})

    parents: JsonParents | None = Field(
        None,
        description="a listing of parents, such as projects: the jobs of each are listed, with its keys as "
        "names in braces and as keys of the jobs",
    )
    state: Expr | None = Field(
        None,
        description="the word for the state in an entry; the other expressions of read are then evaluated "
        "in the entry too, and the job itself is not read. Without it that of read is tried, unless interval "
        "is set; null: the listing only names jobs",
    )
    read_active: bool = Field(
        default=False,
        description="with state: read jobs that have not ended by themselves too, for what only their own "
        "response has",
    )
    read_unlisted: bool = Field(
        default=False,
        description="read active jobs that are no longer listed by themselves until they have ended; for "
        "listings that leave out what has ended, or what began long ago",
    )
    interval: PositiveDuration = Field(
        "1m", validate_default=True, description="interval of a listing without states"
    )

    @property
    def reads_unlisted(self) -> bool:
        """As configured."""
        return self.read_unlisted

    @property
    def short_body(self) -> int:
        """0 if an expression of the listing can take long."""
        return 0 if can_take_long(self) else super().short_body

    @property
    def names_only(self) -> bool:
        """Whether the listing only names jobs on purpose: ``state`` is null, or ``interval`` is set."""
        return self.state is None and not {"state", "interval"}.isdisjoint(self.model_fields_set)

    @model_validator(mode="after")
    def _fits_together(self) -> "JsonDiscover":
        parents = self.parents
        self.check_place()
        names = self.check_names(*SINCE, *(parents.keys if parents is not None else ()))
        if self.read_active and self.names_only:
            raise ValueError("read_active goes with state only; without state all jobs are read")
        if not self.keys and parents is None:
            raise ValueError("keys is missing: the keys of a job")
        if parents is not None:
            if names.isdisjoint(parents.keys):
                raise ValueError("has no key of parents in braces: the request is the same for each parent")
            names |= parents.check_names(*SINCE)
            if both := self.keys.keys() & parents.keys.keys():
                raise ValueError(f"{min(both)} is a key of parents already")
        if names.intersection(SINCE) and self.newer_than is None:
            raise ValueError("since in braces needs newer_than")
        return self
