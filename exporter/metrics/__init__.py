"""The one table of metrics: name, type, help, stability, and how each is got from what is known.

Names and meanings are a promise to users. Nothing here formats; `exporter.metrics.exposition` does.
"""

from exporter.metrics.job import JOB_METRICS, MAX_CATEGORIES, JobView
from exporter.metrics.system import PROBE_METRICS, SYSTEM_METRICS, ProbeView, SystemView
from exporter.metrics.table import Metric, Samples, View

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
    "View",
]

IDENTITY = ("system", "job_id")
"""The labels that every series of a job begins with."""

LABELS: frozenset[str] = frozenset(
    [*IDENTITY, "state", "code", "why", "shard", "shards", "version", "revision", "python_version"]
    + [label for metric in JOB_METRICS for label in metric.labels]
    + [label for metric in SYSTEM_METRICS for label in metric.labels]
)
"""Every label name of ours, which a config must not give to jobs."""
