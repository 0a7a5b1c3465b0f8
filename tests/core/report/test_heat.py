"""The heat map of edges: what it shows, and of how many searches."""

from __future__ import annotations

import importlib
import math
from pathlib import Path
from xml.etree import ElementTree

import pytest

from autoshrink_ray import Run, run_search
from autoshrink_ray.analysis import edge_importance, round_views
from autoshrink_ray.report import report
from autoshrink_ray.report.heat import STEPS, HeatMap, heat_map
from tests.core.analysis.handmade import candidates, evaluated, measured, run_of
from tests.core.report.reading import read
from tests.core.report.test_report import config
from tests.core.runs import killed

CELLS = {"failed"} | {f"{side}{step}" for side in "np" for step in range(STEPS + 1)}
MODULE = importlib.import_module("autoshrink_ray.report.report")


def mapped(run: Run, search: int = 0) -> HeatMap:
    found = heat_map(run.searches[search], round_views(run, search))
    assert found is not None
    return found


def elements(found: HeatMap, kinds: set[str]) -> list[ElementTree.Element]:
    return [e for e in ElementTree.fromstring(found.svg).iter() if e.get("class") in kinds]


def told(cell: ElementTree.Element) -> str:
    return cell[0].text or ""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Three searches; the first one has failed candidates."""
    folder = tmp_path_factory.mktemp("heat")
    first = run_search(config(folder, "sound"))
    rounds = first.ledger.evaluations
    keys = [rounds[place].candidate.topology.key for place in ((0, 1, 1), (0, 2, 2))]
    return run_search(config(folder, "run", searches=3, proxy={"diverges": keys}))


@pytest.mark.parametrize("search", [0, 1, 2])
def test_each_candidate_is_a_cell_that_tells_its_worth(run: Run, search: int) -> None:
    numbers, views = edge_importance(run, search), round_views(run, search)
    found = mapped(run, search)
    expected = {}
    for number, row in zip(numbers.rounds, numbers.values, strict=True):
        for (i, j), value in zip(numbers.edges, row, strict=True):
            if math.isfinite(value):
                expected[f"Round {number}, without {i}-{j}"] = value
    shown = {told(cell).partition(":")[0]: cell for cell in elements(found, CELLS - {"failed"})}
    assert shown.keys() == expected.keys()
    most = max(map(abs, expected.values()))
    for name, value in expected.items():
        assert f": {value:+.4f} from the median" in told(shown[name])
        kind = shown[name].get("class", "")
        assert int(kind[1:]) == round(STEPS * abs(value) / most)
        assert kind[0] == ("n" if value < 0 and kind[1:] != "0" else "p")
    assert found.most == f"{most:.4f}"
    failed = [line.candidate.removed for view in views for line in view.failed]
    assert len(elements(found, {"failed"})) == len(failed)
    assert found.failed == bool(failed)
    assert found.cells == sum(len(view.lines) for view in views)


def test_there_is_a_cell_a_dot_or_a_bar_wherever_a_row_meets_a_column(run: Run) -> None:
    numbers, found = edge_importance(run, 0), mapped(run)
    column = float(elements(found, CELLS)[0].get("width", "")) + 1
    bars = sum(
        round((float(bar.get("width", "")) + 1) / column) for bar in elements(found, {"gone"})
    )
    (dots,) = elements(found, {"untried"})
    places = len(numbers.rounds) * len(numbers.edges)
    assert len(elements(found, CELLS)) + dots.get("d", "").count("M") + bars == places
    later = (sum(r > gone for r in numbers.rounds) for gone in numbers.gone.values())
    assert bars == sum(later)


def test_what_was_removed_is_crossed_out_and_told(run: Run) -> None:
    found = mapped(run)
    rounds = run.searches[0].rounds
    assert len(elements(found, {"cross"})) == len(rounds)
    removed = [told(cell) for cell in elements(found, CELLS) if told(cell).endswith(", removed")]
    assert len(removed) == len(rounds)
    name = ElementTree.fromstring(found.svg).get("aria-label", "")
    assert name.startswith("What each edge of search 0 was worth: 10 edges, ")
    for decision in rounds:
        assert decision.removed is not None
        assert f"{decision.removed[0]}-{decision.removed[1]} in round {decision.round}" in name


def test_it_lies_in_its_picture(run: Run) -> None:
    root = ElementTree.fromstring(mapped(run).svg)
    width, height = float(root.get("width", "")), float(root.get("height", ""))
    for e in root.iter("rect"):
        x, y, w, h = (float(e.get(name, "")) for name in ("x", "y", "width", "height"))
        assert 0 <= x <= x + w <= width
        assert 0 <= y <= y + h <= height


def test_a_page_has_the_best_searches_map_open_and_the_others_folded(run: Run) -> None:
    part = read(report(run)).part("edges")
    assert run.best is not None
    maps = [svg for svg in part.all("svg") if svg.attributes.get("role") == "img"]
    assert len([svg for svg in maps if svg.all("title")]) == 3
    assert part.all("h3")[0].text == f"Search {run.best.search} ★ best cell"
    assert len(part.all("summary")) == 2
    assert f"+{mapped(run, run.best.search).most}" in part.text


def test_maps_for_which_there_is_no_room_are_counted(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(MODULE, "MOST_CELLS", 1)
    part = read(report(run)).part("edges")
    assert "2 searches left out here" in part.text
    assert not part.all("summary")


def test_a_run_that_was_killed_shows_what_it_knows(tmp_path: Path) -> None:
    killed(config(tmp_path, "killed"), 6)
    run = Run("killed", str(tmp_path))
    found = mapped(run)
    assert len(elements(found, {"cross"})) == len(run.searches[0].rounds) == 1
    assert len(elements(found, CELLS)) == 6


def test_equal_scores_are_all_at_the_median(tmp_path: Path) -> None:
    found = [evaluated(candidate, measured(0.5)) for candidate in candidates()]
    shown = mapped(run_of(tmp_path / "equal", found))
    assert [cell.get("class") for cell in elements(shown, CELLS)] == ["p0"] * 3
    assert "Removed: none yet." in shown.svg


def test_there_is_none_where_nothing_is_known(tmp_path: Path) -> None:
    chance = run_search(config(tmp_path, "chance", algorithm="random", budget=5))
    bad = measured(0, status="failed", metrics={}, reason="diverged")
    failed = run_of(tmp_path / "failed", [evaluated(candidates()[0], bad)])
    for run in (chance, failed):
        assert heat_map(run.searches[0], round_views(run, 0)) is None
        assert "#edges" not in report(run)
