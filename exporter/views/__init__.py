"""What people are shown of jobs, on pages and in the terminal: a value for each job, order, words."""

from exporter.views.detail import JobDetail, detail
from exporter.views.outlook import Outlook, outlook
from exporter.views.reasons import DOCUMENTATION, Problem, problem
from exporter.views.report import UNREAD, UNREADABLE, JobList, JobReport, Unlisted, report, reports, unlisted
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
    "JobDetail",
    "JobList",
    "JobReport",
    "Outlook",
    "Problem",
    "Selection",
    "Unlisted",
    "ago",
    "detail",
    "duration",
    "iso",
    "outlook",
    "percent",
    "problem",
    "report",
    "reports",
    "select",
    "unlisted",
    "utc",
]
