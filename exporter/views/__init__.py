"""What people are shown of jobs, on pages and in the terminal: a value for each job, order, words."""

from exporter.views.reasons import DOCUMENTATION, Problem, problem
from exporter.views.report import UNREAD, UNREADABLE, JobList, JobReport, report, reports
from exporter.views.selection import STATES, FilterError, Filters, Selection, select
from exporter.views.words import LABELS, SHAPES, ago, duration, iso, percent, utc

__all__ = [
    "DOCUMENTATION",
    "LABELS",
    "SHAPES",
    "STATES",
    "UNREAD",
    "UNREADABLE",
    "FilterError",
    "Filters",
    "JobList",
    "JobReport",
    "Problem",
    "Selection",
    "ago",
    "duration",
    "iso",
    "percent",
    "problem",
    "report",
    "reports",
    "select",
    "utc",
]
