"""The one table of metrics: name, type, help, stability, and the function for the value of each.

Names and meanings are a promise to users. `exporter.metrics.exposition` renders them.
"""

from exporter.metrics.job_metrics import JOB_METRICS, MAX_CATEGORIES, JobView, bounded
from exporter.metrics.system_metrics import PROBE_METRICS, SYSTEM_METRICS, ProbeView, SystemView
from exporter.metrics.table import Metric, Samples, Table, View

__all__ = [
    "IDENTITY",
    "JOB_METRICS",
    "LABELS",
    "MAX_CATEGORIES",
    "PROBE_METRICS",
    "SYSTEM_METRICS",
    "JobView",
    "Metric",
    "ProbeView",
    "Samples",
    "SystemView",
    "Table",
    "View",
    "bounded",
]

IDENTITY = ("system", "job_id")
"""The first labels of every series of a job."""

LABELS: frozenset[str] = frozenset(
    [*IDENTITY, "state", "code", "why", "shard", "shards"]
    + ["version", "revision", "python_version", "python_tls", "libcurl_version", "libcurl_tls"]
    + [label for metric in JOB_METRICS for label in metric.labels]
    + [label for metric in SYSTEM_METRICS for label in metric.labels]
)
"""Every label name of the exporter, which a configuration must not give to jobs."""
