"""The vendors, simulated on one port, for demos and tests; imports nothing else of the exporter."""

from exporter.simulator.app import config, create_app
from exporter.simulator.recordings import Recording, RecordingError
from exporter.simulator.recordings import load as load_recordings
from exporter.simulator.replay import config_of, create_replay

__all__ = [
    "Recording",
    "RecordingError",
    "config",
    "config_of",
    "create_app",
    "create_replay",
    "load_recordings",
]
