"""Several runs side by side."""

from __future__ import annotations

from pathlib import Path

import pytest

from autoshrink_ray import Run, run_search
from autoshrink_ray.report import comparison
from tests.core.report.reading import Element, check_accessible, check_alone, read
from tests.core.report.test_report import config
from tests.core.runs import killed


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("compared")
    run_search(config(place, "one"))
    run_search(config(place, "other", seed=1))
    run_search(config(place, "dear", cost_weight=0.5))
    run_search(config(place, "chance", algorithm="random", budget=9))
    run_search(config(place / "else", "one", seed=2))
    killed(config(place, "early"), 1)
    return place


def compared(folder: Path, *names: str) -> Element:
    page = read(comparison([Run(str(folder / name)) for name in names]))
    check_alone(page)
    check_accessible(page)
    return page


def test_answers_side_by_side(folder: Path) -> None:
    page = compared(folder, "one", "other", "early")
    head, *rows = page.part("answers").rows()
    for name, row in zip(("one", "other"), rows, strict=False):
        best = Run(str(folder / name)).best
        shown = dict(zip(head, row, strict=True))
        assert best is not None
        assert shown["run"] == name
        assert shown["score"] == f"{best.score:.4f}"
        assert shown["MACs"] == f"{int(best.metrics['macs']):,}"
    assert rows[2][:3] == ["early", "open", "-"]
    assert len(page.part("answers").all("svg")) == 2
    assert "early: No round is decided yet" in page.text


def test_scores_of_one_rule_share_a_chart_and_others_do_not(folder: Path) -> None:
    together = compared(folder, "one", "other", "chance")
    apart = compared(folder, "one", "dear")
    rules = [p.text for p in together.all("p") if p.text.startswith("score = ")]
    assert rules == ["score = accuracy - 0.1 (log10 MACs - 6)"]
    assert len([p for p in apart.all("p") if p.text.startswith("score = ")]) == 2
    assert "do not share one rule of scoring" in apart.text
    charts = [s for s in together.all("svg") if s.attributes.get("class") == "chart"]
    lines = [[p for p in c.all("path") if "line" in p.attributes["class"]] for c in charts]
    assert [len(found) for found in lines] == [2, 3, 3], "a random search has no rounds"


def test_only_differences_are_listed(folder: Path) -> None:
    page = compared(folder, "one", "other")
    (table,) = [t for t in page.all("table") if t.rows()[0][0] == "setting"]
    assert {row[0]: row[1:] for row in table.rows()[1:]} == {"seed": ["0", "1"]}
    (costs,) = [t for t in page.all("table") if t.rows()[0] == ["cost", "one", "other"]]
    assert {"trials", "CPU-hours", "cache hits"} <= {row[0] for row in costs.rows()}


def test_runs_of_one_name_are_told_apart_by_their_folders(folder: Path) -> None:
    page = compared(folder, "one", "else/one")
    names = [row[0] for row in page.part("answers").rows()[1:]]
    assert names == [str(folder / "one"), str(folder / "else" / "one")]


def test_other_data_are_pointed_out(folder: Path) -> None:
    run = Run(str(folder / "other"))
    run.file.identity["data_fingerprint"] = "1"
    page = read(comparison([Run(str(folder / "one")), run]))
    assert "Not the same for these runs: data. Scores may differ for that alone." in page.text


def test_equal_runs_differ_in_nothing(folder: Path) -> None:
    run_search(config(folder, "same"))
    page = compared(folder, "one", "same")
    assert "Their configurations, versions and machines are the same." in page.text
