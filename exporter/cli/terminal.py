"""Tables for a terminal."""

from collections.abc import Iterable

from exporter.metrics import JobView

_MAX_NAME = 34


def job_table(views: Iterable[JobView]) -> str:
    """One line for each job: system, name, state, the vendor's word for it, progress."""
    rows = [("SYSTEM", "JOB", "STATE", "VENDOR SAYS", "PROGRESS")]
    for view in views:
        name = view.name or view.job.id
        name = name if len(name) <= _MAX_NAME else name[: _MAX_NAME - 1] + "…"
        rows.append((view.job.system, name, *_state(view)))
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)


def _state(view: JobView) -> tuple[str, str, str]:
    status = view.status
    if status is None:
        return "not readable", view.reason or "", ""
    words = status.raw if not status.step else f"{status.raw} ({status.step})"
    return status.state, words, "" if status.progress is None else f"{status.progress:4.0%}"
