"""How long runs that have ended stay among the jobs of a listing."""

from exporter.model.job import State

# Long enough for a user who looks once a day to see what failed.
_FAILED_SECONDS = 86400.0


def shown_for(state: State, newer_than: float) -> float:
    """How many seconds after its end a run in this state is shown, with ``newer_than`` of ``discover:``."""
    return max(newer_than, _FAILED_SECONDS) if state is State.FAILED else newer_than


def too_old(state: State, ended_at: float | None, newer_than: float | None, now: float) -> bool:
    """Whether a run in this state is no longer shown; ``None``: it has not ended, or there is no limit."""
    return ended_at is not None and newer_than is not None and now - ended_at > shown_for(state, newer_than)
