"""Prometheus exporter for jobs that run elsewhere."""

__version__ = "0.1.0"
