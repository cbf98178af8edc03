"""One bad config file for each error; its first lines are exactly what is said about it.

``{providers}`` in them is the list of all providers.
"""

from pathlib import Path

import pytest

from exporter.config import ConfigError, load
from exporter.providers import PROVIDERS
from tests.config.conftest import BAD

MARK = b"#! "


@pytest.mark.parametrize("file", BAD, ids=lambda file: file.stem)
def test_an_error_is_told_in_one_line_with_its_place(file: Path) -> None:
    lines = [line.removeprefix(MARK) for line in file.read_bytes().splitlines() if line.startswith(MARK)]
    expected = [line.decode().replace("{providers}", ", ".join(PROVIDERS)) for line in lines]
    with pytest.raises(ConfigError) as caught:
        load(file)
    assert str(caught.value).splitlines() == [f"{file}:{line}" for line in expected]
    assert "hunter2" not in str(caught.value)


def test_there_is_a_bad_file_for_many_errors() -> None:
    assert len(BAD) > 100
