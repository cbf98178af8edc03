"""The config file: from text to systems and jobs ready for use, every mistake with its place."""

from exporter.config.advice import warnings
from exporter.config.load import Config, System, load, stamp
from exporter.config.mistakes import ConfigError, Mistake
from exporter.config.reference import json_schema, reference

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
