"""The vendors, simulated on one port, for demos and tests; imports nothing else of the exporter."""

from exporter.simulator.app import config, create_app

__all__ = ["config", "create_app"]
