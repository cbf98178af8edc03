"""Values as words and colours, the same on every dashboard."""

from grafana.source.panels import words

# The codes of remote_job:state_code:max, each with its colour.
STATES = {
    "unreadable": "yellow",
    "idle": "#6C7A89",
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
STATE = words(
    {str(code): (state.replace("_", " "), color) for code, (state, color) in enumerate(STATES.items())}
)
UP = words({"0": ("down", "red"), "1": ("up", "green")})
READABLE = words({"0": ("unreadable", "yellow"), "1": ("readable", "green")})
YES = words({"0": ("no", "#6C7A89"), "1": ("yes", "blue")})
ACCEPTED = words({"0": ("refused", "red"), "1": ("accepted", "green")})
FAILING = words({"1": ("failing", "red")})
SEVERITY = words(
    {"critical": ("critical", "red"), "warning": ("warning", "orange"), "info": ("info", "blue")}
)
