"""Every response under tests/data, through a whole exporter: the page shows exactly what is promised."""

from pathlib import Path

import pytest

from tests.systems import DATA, VENDORS, Case, cases

CASES = [case for name in VENDORS for case in cases(DATA / name)]


@pytest.mark.parametrize("case", CASES, ids=str)
async def test_the_page_shows_exactly_what_is_promised(case: Case, tmp_path: Path) -> None:
    assert await case.shown(tmp_path) == case.expected.read_text().splitlines()


def test_every_stored_answer_is_served_and_every_expected_page_is_compared() -> None:
    bodies = [told.body for case in CASES for told in case.responses.values()]
    folders = [DATA / name for name in VENDORS]
    files = [file for folder in folders for file in folder.glob("*.json")]
    assert len(files) > 80
    assert [file for file in files if file.read_bytes() not in bodies] == []
    pages = {page for folder in folders for page in folder.glob("expected/*")}
    assert pages == {case.expected for case in CASES}
