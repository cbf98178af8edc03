"""The config file: from text to systems and jobs ready for use, every error with its place."""

from exporter.config.errors import ConfigError, Finding
from exporter.config.load import Config, System, load, stamp
from exporter.config.schema import json_schema, reference
from exporter.config.warnings import warnings

__all__ = [
    "Config",
    "ConfigError",
    "Finding",
    "System",
    "json_schema",
    "load",
    "reference",
    "stamp",
    "warnings",
]
