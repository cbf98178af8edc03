"""The metrics of a system, and those of a probe."""

from collections.abc import Mapping
from dataclasses import dataclass

from exporter.metrics.table import Metric, Samples, because
from exporter.model.failure import Reason
from exporter.model.job import State


@dataclass(frozen=True, slots=True)
class SystemView:
    """All that is known of one system at one moment; ``reason`` tells why it is not up."""

    reason: Reason | None = None
    rate_limit_remaining: int | None = None
    credentials_expiry: float | None = None
    jobs_dropped: int | None = None
    jobs: Mapping[State, int] | None = None


def _jobs(view: SystemView) -> Samples:
    return tuple(((state.value,), jobs) for state, jobs in (view.jobs or {}).items())


SYSTEM_METRICS: tuple[Metric[SystemView], ...] = (
    Metric(
        "remote_job_system_up",
        "1 while the credentials work and the listing, if there is one, is understood. It does not mean that "
        "jobs can be read: see remote_job_up.",
        lambda view: int(view.reason is None),
    ),
    Metric(
        "remote_job_system_read_error_info",
        "Why the system as a whole cannot be read; absent while it can.",
        lambda view: because(view.reason),
        labels=("reason",),
        type="info",
    ),
    Metric(
        "remote_job_system_jobs",
        "Jobs of the system by state, as the system itself counts them (summary).",
        _jobs,
        labels=("state",),
    ),
    Metric(
        "remote_job_system_jobs_dropped",
        "Jobs found by a listing that are over max_jobs and not shown.",
        lambda view: view.jobs_dropped,
    ),
    Metric(
        "remote_job_system_rate_limit_remaining",
        "Calls the vendor still allows in the current window, where it says so.",
        lambda view: view.rate_limit_remaining,
    ),
    Metric(
        "remote_job_system_credentials_expiry_timestamp_seconds",
        "When the credentials end unless somebody acts: a fixed JWT or the client certificate.",
        lambda view: view.credentials_expiry,
    ),
)


@dataclass(frozen=True, slots=True)
class ProbeView:
    """How one probe went."""

    success: bool
    seconds: float


PROBE_METRICS: tuple[Metric[ProbeView], ...] = (
    Metric(
        "probe_success",
        "1 when the job that was probed could be read, else 0; the same as its remote_job_up.",
        lambda view: int(view.success),
    ),
    Metric("probe_duration_seconds", "How long answering the probe took.", lambda view: view.seconds),
)
