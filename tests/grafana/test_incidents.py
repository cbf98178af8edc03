"""What the dashboards show in staged incidents: no query fails, no tile is green that should not be."""

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Program
from tests.grafana.asking import TIMES, Grafana, Values
from tests.grafana.dashboards import Dashboard, Target, load_all
from tests.grafana.incidents import (
    BROKEN,
    CREDENTIALS,
    DOWN,
    INCIDENTS,
    NO_RULES,
    NORMAL,
    NOTHING,
    PAIR,
    PENDING,
    Incident,
    staged,
)
from tests.grafana.tiles import Series, Tile, tiles

EVERYWHERE = ("overview", "system", "job", "exporter")
# Incident, dashboards, system that is chosen there (any where none is named), panel, text, hue.
TILES = (
    (NORMAL, EVERYWHERE, "", "Exporters", "1 of 1", "green"),
    (NORMAL, ("overview", "system"), "", "Systems", "", "green"),
    (NORMAL, ("overview",), "", "Failed", "0", "green"),
    (NORMAL, ("job",), "", "State", "running", "blue"),
    (NORMAL, ("job",), "", "Vendor status", "Running", "grey"),
    (NO_RULES, ("overview",), "", "Failed", "0", "green"),
    (DOWN, EVERYWHERE, "", "Exporters", "0 of 1", "red"),
    (DOWN, ("overview",), "", "Failed", "not scraped", "grey"),
    (DOWN, ("job",), "", "State", "not watched now", "grey"),
    (DOWN, ("job",), "", "Job", "p/0/en", "grey"),
    (DOWN, ("job",), "", "Vendor status", "no word", "grey"),
    (PAIR, EVERYWHERE, "", "Exporters", "1 of 2", "orange"),
    (PENDING, EVERYWHERE, "", "Exporters", "1 of 2", "orange"),
    (PAIR, ("job",), "", "State", "running", "blue"),
    (CREDENTIALS, ("overview",), "", "Systems", "1 down", "red"),
    (CREDENTIALS, ("overview",), "", "Unreadable", "2", "orange"),
    (CREDENTIALS, ("system",), "refused", "Systems", "2 of 2 unreadable, unauthorized down", "red"),
    (CREDENTIALS, ("job",), "refused", "State", "unreadable", "yellow"),
    (CREDENTIALS, ("job",), "refused", "Vendor status", "error: unauthorized", "orange"),
    (CREDENTIALS, ("job",), "calm", "State", "running", "blue"),
    (BROKEN, ("overview",), "", "Systems", "0 down, 1 degraded", "orange"),
    (BROKEN, ("overview",), "", "Unreadable", "2", "orange"),
    (BROKEN, ("system",), "broken", "Systems", "2 of 2 unreadable, server_error degraded", "orange"),
    (BROKEN, ("system",), "calm", "Systems", "up", "green"),
    (BROKEN, ("job",), "broken", "State", "unreadable", "yellow"),
    (BROKEN, ("job",), "broken", "Vendor status", "error: server_error", "orange"),
    (NOTHING, ("job",), "", "Job", "not seen", "grey"),
    (NOTHING, EVERYWHERE, "", "Exporters", "none found", "grey"),
)
_ALWAYS_SHOWN = frozenset({"table", "state-timeline"})


@dataclass(frozen=True)
class Shown:
    """One dashboard in one incident, with its variables set to one system or to all."""

    incident: Incident
    dashboard: str
    system: str
    tiles: tuple[Tile, ...]
    empty: tuple[str, ...]

    @property
    def place(self) -> str:
        return f"{self.incident.name}: {self.dashboard} of {self.system or 'no system'}"


def settings(incident: Incident, dashboard: Dashboard) -> Iterator[tuple[str, Values]]:
    """The systems one by one, or all, and the values of the variables."""
    common = TIMES | {"job": incident.scrape_job, "instance": ".+"}
    if dashboard.name == "job":
        for system in incident.systems or ("",):
            yield system, common | {"system": system, "job_id": system and "p/0/en"}
    elif dashboard.name == "system":
        for system in (".+", *incident.systems):
            yield system, common | {"system": system}
    else:
        yield ".+", common | {"system": ".+"}


def ask(grafana: Grafana, incident: Incident, target: Target, values: Values) -> list[Series]:
    """The series, each with its last number in the time shown, as a stat reduces them."""
    if not incident.rules:
        target = Target({**target.model, "expr": target.expr.replace("ALERTS", "NO_ALERTS")})
    return [Series(one["metric"], _last(one)) for one in grafana.series(target, values)]


def _last(answer: Mapping[str, Any]) -> float | None:
    values = answer.get("values") or [answer["value"]]
    numbers = [float(value) for _, value in values if value != "NaN"]
    return numbers[-1] if numbers else None


def look(grafana: Grafana, incident: Incident, dashboard: Dashboard) -> Iterator[Shown]:
    for system, values in settings(incident, dashboard):
        seen: list[Tile] = []
        empty: list[str] = []
        for panel in dashboard.shown:
            answers = [(one, ask(grafana, incident, one, values)) for one in panel.targets]
            if panel.type in {"stat", "gauge"}:
                seen += tiles(panel, answers)
            elif panel.type in _ALWAYS_SHOWN and not any(series for _, series in answers):
                empty.append(panel.title)
        for annotation in dashboard.annotations:
            ask(grafana, incident, Target(annotation), values)
        yield Shown(incident, dashboard.name, system, tuple(seen), tuple(empty))


@pytest.fixture(scope="module")
def shown(program: Program, tmp_path_factory: pytest.TempPathFactory) -> list[Shown]:
    """All dashboards in all incidents."""
    return asyncio.run(_shown(program("prometheus", "prometheus"), tmp_path_factory.mktemp("incidents")))


async def _shown(prometheus: str, folder: Path) -> list[Shown]:
    async with staged(folder, prometheus) as scraper:
        grafana = Grafana(scraper, step=1)

        def everything() -> list[Shown]:
            boards = load_all()
            return [
                one for incident in INCIDENTS for board in boards for one in look(grafana, incident, board)
            ]

        seen = await asyncio.to_thread(everything)
        assert grafana.errors == []
        return seen


def test_every_table_and_timeline_has_something_to_show(shown: list[Shown]) -> None:
    assert [f"{one.place}: {panel}" for one in shown for panel in one.empty] == []


def of_hue(shown: Iterable[Shown], *hues: str) -> list[str]:
    return [f"{one.place}: {tile}" for one in shown for tile in one.tiles if tile.hue in hues]


def test_nothing_is_green_while_no_exporter_answers(shown: list[Shown]) -> None:
    assert of_hue((one for one in shown if one.incident in {DOWN, NOTHING}), "green") == []


def test_nothing_is_red_on_a_normal_day_with_and_without_rules(shown: list[Shown]) -> None:
    assert of_hue((one for one in shown if one.incident in {NORMAL, NO_RULES}), "red", "orange") == []


@pytest.mark.parametrize(
    ("incident", "dashboards", "system", "panel", "text", "hue"),
    TILES,
    ids=[
        f"{incident.name}-{system or dashboards[0]}-{panel}"
        for incident, dashboards, system, panel, _, _ in TILES
    ],
)
def test_a_tile_shows_what_is_wrong(
    shown: list[Shown],
    incident: Incident,
    dashboards: Sequence[str],
    system: str,
    panel: str,
    text: str,
    hue: str,
) -> None:
    places = [one for one in shown if one.incident is incident and one.dashboard in dashboards]
    places = [one for one in places if one.system == (system or one.system)]
    assert {one.dashboard for one in places} == {*dashboards}
    for one in places:
        [tile] = [tile for tile in one.tiles if tile.panel == panel]
        assert text in tile.text, one.place
        assert tile.hue == hue, one.place
