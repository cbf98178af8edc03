"""The templates in ``html/``, compiled. It is imported for the first page, since Jinja is heavy."""

from collections.abc import Mapping
from urllib.parse import quote, urlencode

from jinja2 import Environment, PackageLoader, StrictUndefined, Template, Undefined

from exporter.views import LABELS, SHAPES, Filters, JobReport, ago, duration, iso, percent, utc

_COUNTS = {"failed": "failed", "skipped": "soft", "deleted": "soft"}
"""The counts that are shown beside what is done, each with the class of its style."""


def compiled(files: Mapping[str, str]) -> Mapping[str, Template]:
    """The pages by name. Every value in them is escaped.

    Args:
        files: path of each static file by its name.
    """
    environment = Environment(
        loader=PackageLoader("exporter.web", "html"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.filters.update(
        {"ago": ago, "duration": duration, "iso": iso, "percent": percent, "utc": utc, "items": items}
    )
    environment.tests["like"] = fails_like
    environment.globals.update(
        {"files": files, "shapes": SHAPES, "words": LABELS, "query": query, "address": address}
    )
    return {name: environment.get_template(f"{name}.html") for name in ("home", "job", "jobs")}


def address(system: str, job_id: str) -> str:
    """The address of the page of a job, relative to ``/``.

    Slashes in the id are left as they are: this server and many proxies reject ``%2F``.
    """
    return f"jobs/{quote(system, safe='')}/{quote(job_id)}"


def query(filters: Filters, page: int = 1, *, path: str = "jobs") -> str:
    """The address of filtered jobs, relative to ``/``."""
    pairs = [*filters.pairs(), *([("page", str(page))] if page > 1 else [])]
    return f"{path}?{urlencode(pairs)}" if pairs else path


def fails_like(job: JobReport, other: JobReport | Undefined) -> bool:
    """Whether a job fails for the reason of another one of its system, so that one explanation is enough."""
    if isinstance(other, Undefined) or not (job.problem and other.problem):
        return False
    return (job.system, job.problem.reason) == (other.system, other.problem.reason)


def items(job: JobReport) -> list[tuple[str, str]]:
    """What is reported, each with the class of its style: ``120 of 300 items``, ``3 failed``."""
    counts, done = job.items, job.items_done
    parts = []
    if done is not None and counts.total is not None:
        parts = [("", f"{done:,} of {counts.total:,} items")]
    elif done is not None or counts.total is not None:
        parts = [("", f"{done if counts.total is None else counts.total:,} items")]
    return parts + [
        (style, f"{count:,} {name}") for name, style in _COUNTS.items() if (count := getattr(counts, name))
    ]
