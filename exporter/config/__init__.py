"""The config file: from text to systems and jobs ready for use, every mistake with its place."""

from exporter.config.errors import ConfigError, Mistake
from exporter.config.load import Config, System, load, stamp
from exporter.config.schema import json_schema, reference
from exporter.config.warnings import warnings

__all__ = [
    "Config",
    "ConfigError",
    "Mistake",
    "System",
    "json_schema",
    "load",
    "reference",
    "stamp",
    "warnings",
]
