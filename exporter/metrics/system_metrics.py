"""The metrics of a system, and those of a probe."""

from collections.abc import Mapping
from dataclasses import dataclass

from exporter.metrics.table import Metric, Table, because, samples
from exporter.model.failure import Reason
from exporter.model.job import State

INCOMPLETE = "incomplete"


@dataclass(frozen=True, slots=True)
class SystemView:
    """All that is known of one system at one moment.

    Args:
        reason: why it is not up.
        incomplete: the last listing ended before its own total.
    """

    reason: Reason | None = None
    rate_limit_remaining: int | None = None
    credentials_expiry: float | None = None
    jobs_dropped: int | None = None
    entries_skipped: int | None = None
    jobs: Mapping[State, int] | None = None
    incomplete: bool = False

    @property
    def why(self) -> str:
        """What a read of the whole system lacks, in one word; empty if it lacks nothing."""
        return self.reason or (INCOMPLETE if self.incomplete else "")


SYSTEM_METRICS: Table[SystemView] = Table(
    Metric(
        "remote_job_system_up",
        "1 if the credentials work and the last listing, if there is one, succeeded. Jobs can still fail: "
        "see remote_job_up.",
        lambda view: int(view.reason is None),
    ),
    Metric(
        "remote_job_system_read_error_info",
        "Reason why the system as a whole cannot be read, or incomplete if its listing ended before its own "
        "total; absent otherwise.",
        lambda view: because(view.why),
        labels=("reason",),
        type="info",
    ),
    Metric(
        "remote_job_system_jobs",
        "Jobs of the system by state, as counted by the system itself (summary).",
        lambda view: samples((view.jobs or {}).items()),
        labels=("state",),
    ),
    Metric(
        "remote_job_system_jobs_dropped",
        "Discovered jobs over max_jobs, which are not watched.",
        "jobs_dropped",
    ),
    Metric(
        "remote_job_system_entries_skipped",
        "Entries of the last listing that name no job: a key is missing or not valid.",
        "entries_skipped",
    ),
    Metric(
        "remote_job_system_rate_limit_remaining",
        "Calls that the vendor still allows in the current window, if it reports that.",
        "rate_limit_remaining",
    ),
    Metric(
        "remote_job_system_credentials_expiry_timestamp_seconds",
        "Expiry of credentials that the exporter does not renew: a fixed JWT, a token whose expiry the "
        "vendor reports (GitHub), or the client certificate.",
        "credentials_expiry",
    ),
)


@dataclass(frozen=True, slots=True)
class ProbeView:
    """How one probe went."""

    success: bool
    seconds: float


PROBE_METRICS: Table[ProbeView] = Table(
    Metric(
        "probe_success",
        "1 if the probed job could be read, else 0; the same as its remote_job_up.",
        lambda view: int(view.success),
    ),
    Metric("probe_duration_seconds", "Duration of the probe.", "seconds"),
)
