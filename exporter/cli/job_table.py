"""The table of jobs that `watch`, `demo` and `probe` print. It fits the width and the height it is given."""

import textwrap
import unicodedata
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from exporter.model.job import State
from exporter.model.text import printable
from exporter.runtime.logging import counted
from exporter.views import (
    LABELS,
    SHAPES,
    STATES,
    UNREAD,
    UNREADABLE,
    JobReport,
    Selection,
    Unlisted,
    duration,
    percent,
)

GAP = 2
MINUTE = 60
BAR_WIDTH = 10
MAX_TEXT = 200
"""Characters of one value that are looked at: a name may have combining characters without end."""
NOTES_OF_HEIGHT = 5
"""The part of the lines that explanations have at most is one of so many."""
_NO_JOBS = "No jobs. The command list shows what the listing of a system finds."
MAX_NOTES = 3
"""Reasons that are explained below the table."""

_LEFT_TO_RIGHT = "\u200e"
# Skin tones and the selector of the emoji form: terminals do not agree on the width of what they change.
_MODIFIERS = dict.fromkeys([*range(0x1F3FB, 0x1F400), 0xFE0F])
_SHORT = {State.SUCCEEDED_WITH_ERRORS: "with errors", UNREAD: "not read"}
# Of signs and bars only: yellow, green and cyan words are hardly readable on a white terminal.
_STYLES: Mapping[str, str] = {
    State.FAILED: "bold red",
    UNREADABLE: "bold magenta",
    State.STOPPED: "yellow",
    State.UNKNOWN: "yellow",
    State.SUCCEEDED_WITH_ERRORS: "yellow",
    State.CANCELING: "yellow",
    State.RUNNING: "bold cyan",
    State.QUEUED: "cyan",
    State.SUCCEEDED: "green",
}


class _Cell(NamedTuple):
    """A text, and the style of its first ``styled`` characters."""

    text: str
    style: str = ""
    styled: int = MAX_TEXT


@dataclass(frozen=True, slots=True)
class _Row:
    """The cells of a job at Unix time ``now``."""

    job: JobReport
    now: float

    @property
    def style(self) -> str:
        return _STYLES.get(self.job.state, "dim")

    def state(self) -> _Cell:
        state = self.job.state
        return _Cell(f"{SHAPES.get(state, '?')} {_label(state)}", self.style, 1)

    def system(self) -> _Cell:
        return _Cell(self.job.system)

    def title(self) -> _Cell:
        return _Cell(self.job.title, "bold" if "bold" in self.style else "")

    def progress(self) -> _Cell:
        # A job that cannot be read has no progress, and a narrow table no details: its reason is shown here.
        if self.job.problem is not None:
            return _Cell(self.job.problem.reason)
        if self.job.progress is None:
            return _Cell("")
        full = round(min(max(self.job.progress, 0.0), 1.0) * BAR_WIDTH)
        bar = f"{'━' * full}{'─' * (BAR_WIDTH - full)}"
        return _Cell(f"{bar} {self.percent().text:>4}", self.style, BAR_WIDTH)

    def percent(self) -> _Cell:
        progress = self.job.progress
        return _Cell("" if progress is None else percent(min(max(progress, 0.0), 1.0)))

    def lasting(self) -> _Cell:
        if self.job.since is None:
            return _Cell("")
        lasting = self._since(self.job.since)
        return _Cell(f"{lasting} late", "bold red") if self.job.is_late(self.now) else _Cell(lasting)

    def expected(self) -> _Cell:
        seconds = self.job.expected_seconds
        return _Cell("" if seconds is None else duration(seconds), "dim")

    def items(self) -> _Cell:
        items, done = self.job.items, self.job.items_done
        counts = f"{'?' if done is None else done}/{items.total}" if items.total is not None else done
        parts = [] if counts is None else [f"{counts}"]
        parts += [f"{items.failed} failed"] if items.failed else []
        parts += [f"{items.skipped} skipped"] if items.skipped else []
        return _Cell(", ".join(parts))

    def details(self) -> _Cell:
        job = self.job
        if job.problem is not None:
            return _Cell(job.problem.detail)
        return _Cell(f"{job.word} ({job.step})" if job.step else job.word)

    def read(self) -> _Cell:
        return self._ago(self.job.read_at)

    def success(self) -> _Cell:
        return self._ago(self.job.last_success)

    def _ago(self, then: float | None) -> _Cell:
        return _Cell("" if then is None else f"{self._since(then)} ago", "dim")

    def _since(self, then: float) -> str:
        """How long ago that is: without the seconds, from a minute on."""
        seconds = self.now - then
        return duration(seconds if seconds < MINUTE else seconds // MINUTE * MINUTE)


@dataclass(frozen=True, slots=True)
class _Column:
    """A column.

    Args:
        most: its cells are cut to this width.
        goes: the columns with the lowest number go first where the terminal is narrow.
        least: if the terminal is narrow, its cells are cut to this width; 0 if they are not cut.
    """

    title: str
    cell: Callable[[_Row], _Cell]
    most: int
    goes: int
    least: int = 0


_BAR = "PROGRESS"
_PERCENT = "%"
_COLUMNS = (
    _Column("STATE", _Row.state, 13, 10),
    _Column("SYSTEM", _Row.system, 16, 8, 8),
    _Column("JOB", _Row.title, 48, 11, 18),
    _Column(_BAR, _Row.progress, 16, 6),
    _Column(_PERCENT, _Row.percent, 4, 9),
    _Column("FOR", _Row.lasting, 16, 7),
    _Column("EXPECTED", _Row.expected, 12, 2),
    _Column("ITEMS", _Row.items, 28, 3, 10),
    _Column("DETAILS", _Row.details, 100, 5, 15),
    _Column("READ", _Row.read, 16, 4),
    _Column("LAST SUCCESS", _Row.success, 16, 1),
)


@dataclass(slots=True)
class _Filled:
    """A column with the cells of all rows, and its width."""

    column: _Column
    cells: list[_Cell]
    wanted: int
    width: int = 0


def table(jobs: Sequence[JobReport], now: float, width: int, height: int | None = None) -> list[Text]:
    """A line for each job below a header, in their order, as far as there is space.

    Args:
        now: Unix time that ages are counted from.
        width: of the terminal; no line is longer.
        height: lines at most; ``None`` for as many as there are jobs. The last one counts the jobs left out.
    """
    if not jobs:
        return [Text(_cut(_NO_JOBS, width))]
    shown = jobs
    if height is not None and len(jobs) + 1 > height:
        shown = _first(jobs, max(height - 2, 0))
    columns = _columns(shown, now, width)
    widths = [each.width for each in columns]
    header = _line([_Cell(each.column.title, "bold") for each in columns], widths)
    rows = zip(*(each.cells for each in columns), strict=True)
    lines = [header, *(_line(row, widths) for row in rows)]
    left = Counter(job.state for job in jobs)
    left.subtract(job.state for job in shown)
    if left.total():
        counts = ", ".join(f"{left[state]} {_label(state)}" for state in STATES if left[state])
        lines.append(Text(_cut(f"… and {left.total()} more: {counts}", width), "dim"))
    return lines


def _first(jobs: Sequence[JobReport], count: int) -> Sequence[JobReport]:
    """The first jobs, up to a third of them in progress: many old failures must not hide what is running."""
    active = [job for job in jobs if job.in_progress]
    kept = active[: count // 3]
    if sum(job.in_progress for job in jobs[:count]) >= len(kept):
        return jobs[:count]
    return [*[job for job in jobs if not job.in_progress][: count - len(kept)], *kept]


def summary(counts: Mapping[str, int], width: int) -> list[Text]:
    """How many jobs there are in each state."""
    lines = [Text.assemble((counted(sum(counts.values()), "job"), "bold"))]
    for state in STATES:
        if count := counts.get(state, 0):
            part = Text.assemble((SHAPES[state], _STYLES.get(state, "dim")), f" {count} {_label(state)}")
            if lines[-1].cell_len + GAP + part.cell_len > width:
                lines.append(part)
            else:
                lines[-1].append(" " * GAP).append_text(part)
    for line in lines:
        line.truncate(width, overflow="ellipsis")
    return lines


def notes(
    jobs: Sequence[JobReport], unlisted: Sequence[Unlisted], width: int, most: int | None = None
) -> list[Text]:
    """Why jobs cannot be read or listed, the commonest reasons first, each with what to do about it.

    Args:
        most: lines at most; ``None`` for all. A reason is explained whole or not at all.
    """
    found = [job.problem for job in jobs if job.problem is not None]
    found += [each.problem for each in unlisted]
    lists = Counter(each.problem.reason for each in unlisted)
    reasons = Counter(problem.reason for problem in found)
    problems = {problem.reason: problem for problem in found}
    lines: list[Text] = []
    for reason, count in reasons.most_common(MAX_NOTES):
        of = [counted(count - lists[reason], "job")] if count > lists[reason] else []
        of += [counted(lists[reason], "system")] if lists[reason] else []
        problem = problems[reason]
        text = f"{SHAPES[UNREADABLE]} {reason} ({', '.join(of)}): {problem.sentence} {problem.next_step}"
        wrapped = textwrap.wrap(printable(text, 2 * MAX_TEXT), width, subsequent_indent="  ")
        if most is not None and len(lines) + len(wrapped) > most:
            break
        lines += [Text(line) for line in wrapped]
        lines[-len(wrapped)].stylize(_STYLES[UNREADABLE], 0, 1)
    return lines


def _unlisted(each: Unlisted, width: int) -> Text:
    """A system whose jobs could not be listed: they are in no table."""
    detail = f": {each.problem.detail}" if each.problem.detail else ""
    text = f"{SHAPES[UNREADABLE]} {each.system}: its jobs cannot be listed ({each.problem.reason}{detail})"
    line = Text(_cut(printable(text, 2 * MAX_TEXT), width))
    line.stylize(_STYLES[UNREADABLE], 0, 1)
    return line


def page(
    selection: Selection,
    unlisted: Sequence[Unlisted],
    now: float,
    width: int,
    height: int | None = None,
) -> list[Text]:
    """The counts, the table, and what to do about what cannot be read.

    Args:
        unlisted: systems whose jobs could not be listed.
        now, width, height: as of `table`.
    """
    jobs = selection.jobs
    above = [*summary(selection.counts, width), *(_unlisted(each, width) for each in unlisted)]
    if height is None:
        explained = notes(jobs, unlisted, width)
    else:
        above = above[: max(height - 2, 1)]
        left = height - len(above)
        # What the table does not need, and at least a part of the lines.
        explained = notes(jobs, unlisted, width, max(left - len(jobs) - 2, height // NOTES_OF_HEIGHT))
    below = [Text(), *explained] if explained else []
    space = None if height is None else max(height - len(above) - len(below), 0)
    return [*above, *table(jobs, now, width, space), *below]


def _columns(jobs: Sequence[JobReport], now: float, width: int) -> list[_Filled]:
    """The columns that fit, with their widths."""
    filled = []
    for column in _COLUMNS:
        cells = [_harmless(column.cell(_Row(job, now))) for job in jobs]
        widest = max((cell_len(cell.text) for cell in cells), default=0)
        # A column without any value is left out, unless there is none at all.
        if widest or not jobs:
            filled.append(_Filled(column, cells, min(max(widest, len(column.title)), column.most)))
    kept = _fitting(filled, width)
    for each in kept:
        each.width = min(_least(each), width)
    # The rest goes, cell by cell, to the column that is cut most.
    for _ in range(width - _total(kept)):
        cut = [each for each in kept if each.width < each.wanted]
        if cut:
            min(cut, key=lambda each: each.width / each.wanted).width += 1
    return kept


def _fitting(columns: Sequence[_Filled], width: int) -> list[_Filled]:
    left = [*columns]
    while True:
        bar = any(each.column.title == _BAR for each in left)
        # The bar has the percentage beside it.
        kept = [each for each in left if not (bar and each.column.title == _PERCENT)]
        if len(kept) == 1 or _total(kept) <= width:
            return kept
        left.remove(min(kept, key=lambda each: each.column.goes))


def _least(each: _Filled) -> int:
    return min(each.wanted, each.column.least or each.wanted)


def _total(columns: Sequence[_Filled]) -> int:
    return sum(_least(each) + GAP for each in columns) - GAP


def _label(state: str) -> str:
    return _SHORT.get(state) or LABELS.get(state, state)


def _harmless(cell: _Cell) -> _Cell:
    text = printable(cell.text, MAX_TEXT).translate(_MODIFIERS)
    if any(unicodedata.bidirectional(character) in ("R", "AL", "AN") for character in text):
        # Otherwise a terminal that reorders text would join the numbers beside it to this one.
        text += _LEFT_TO_RIGHT
    return cell._replace(text=text)


def _line(cells: Sequence[_Cell], sizes: Sequence[int]) -> Text:
    line = Text(no_wrap=True)
    for cell, size in zip(cells, sizes, strict=True):
        cut = _cut(cell.text, size)
        line.append(cut[: cell.styled], cell.style)
        line.append(cut[cell.styled :])
        line.append(" " * (size - cell_len(cut) + GAP))
    line.rstrip()
    return line


def _cut(text: str, width: int) -> str:
    if cell_len(text) <= width:
        return text
    end = _LEFT_TO_RIGHT if text.endswith(_LEFT_TO_RIGHT) else ""
    return set_cell_size(text, max(width - 1, 0)).rstrip() + "…" + end
