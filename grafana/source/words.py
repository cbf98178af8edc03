"""Values as words and colours, the same on every dashboard."""

from grafana.source.panels import GREY, words
from grafana.source.queries import NOT_SCRAPED, UNREADABLE

# In the order of the codes of remote_job_state_code, each with its colour.
STATES = {
    "idle": "#5F9EA0",
    "queued": "super-light-blue",
    "running": "blue",
    "canceling": "light-purple",
    "succeeded": "green",
    "succeeded_with_errors": "orange",
    "failed": "red",
    "canceled": "purple",
    "stopped": "dark-red",
    "unknown": "#B0B0B0",
}
RESULTS = {one: STATES[one] for one in ("succeeded", "succeeded_with_errors", "failed", "canceled")}
# By the label of a count of jobs by state, too.
CODES = {str(UNREADABLE): ("unreadable", "yellow")} | {
    str(code): (state.replace("_", " "), color) for code, (state, color) in enumerate(STATES.items())
}
STATE = words({str(NOT_SCRAPED): ("no data", GREY)} | CODES)
UP = words({str(NOT_SCRAPED): ("no data", GREY), "0": ("down", "red"), "1": ("up", "green")})
READABLE = words(
    {str(NOT_SCRAPED): ("no data", GREY), "0": ("unreadable", "yellow"), "1": ("readable", "green")}
)
YES = words({"0": ("no", GREY), "1": ("yes", "blue")})
HEALTH = words(
    {
        str(NOT_SCRAPED): ("no data", GREY),
        "0": ("down", "red"),
        "1": ("degraded", "orange"),
        "2": ("up", "green"),
    }
)
# Of a limit that a system does not have.
NO_LIMIT = words({"Infinity": ("none", GREY)})
LOSSES = words({"0": ("none", GREY)})
ACCEPTED = words({str(NOT_SCRAPED): ("no data", GREY), "0": ("rejected", "red"), "1": ("accepted", "green")})
FAILING = words({str(NOT_SCRAPED): ("no data", GREY), "0": ("none", "green"), "1": ("failing", "red")})
# The digits of queries.firing_since.
SEVERITY = words({"0": ("critical", "red"), "1": ("warning", "orange"), "2": ("info", "blue")})
