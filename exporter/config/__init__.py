"""The configuration: from files to immutable values of systems and jobs; every error has its place."""

from exporter.config.errors import ConfigError, Finding
from exporter.config.load import Config, load
from exporter.config.loader import Loader
from exporter.config.read import stamp
from exporter.config.registry import BUILT_IN, Registry
from exporter.config.schema import json_schema, reference
from exporter.config.system_config import Reach, SystemConfig, sharing
from exporter.config.warnings import warnings

__all__ = [
    "BUILT_IN",
    "Config",
    "ConfigError",
    "Finding",
    "Loader",
    "Reach",
    "Registry",
    "SystemConfig",
    "json_schema",
    "load",
    "reference",
    "sharing",
    "stamp",
    "warnings",
]
