"""Writes configs to files, and reads them."""

from collections.abc import Callable
from pathlib import Path

import pytest

from exporter.config import Config, load

Load = Callable[[str | bytes], Config]

HERE = Path(__file__).parent
GOOD = HERE / "good" / "all.yaml"
BAD = sorted((HERE / "bad").glob("*.yaml"))


@pytest.fixture
def config(tmp_path: Path) -> Load:
    """Loads this text as a config file."""

    def written(text: str | bytes) -> Config:
        file = tmp_path / "config.yaml"
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
        return load(file)

    return written
