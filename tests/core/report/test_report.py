"""A run's report: what it says, and that it stands alone."""

from __future__ import annotations

import html
from pathlib import Path
from typing import Any

import pytest

from autoshrink_ray import Run, SearchConfig, run_search
from autoshrink_ray.analysis import cost_account, noise, pareto, round_views
from autoshrink_ray.errors import ConfigError, FileFormatError
from autoshrink_ray.report import Command, report
from tests.core.analysis.handmade import (
    candidates,
    decided,
    evaluated,
    measured,
    run_of,
    shrink_identity,
)
from tests.core.report.reading import Element, check_accessible, check_alone, read
from tests.core.runs import interrupted, killed

SETTINGS = {
    "space": "table",
    "plugins": ["tests.plugins.table"],
    "nodes": 5,
    "candidates": 4,
    "executor": "in-process",
    "tensorboard": "off",
}


def config(folder: Path, name: str, **changes: Any) -> SearchConfig:
    settings = SETTINGS | {"storage": str(folder), "name": name} | changes
    if settings.get("algorithm") == "random":
        del settings["candidates"]
    return SearchConfig.of(settings)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Run]:
    """Runs of all kinds by name."""
    folder = tmp_path_factory.mktemp("runs")
    found = {
        "whole": run_search(config(folder, "whole")),
        "three": run_search(config(folder, "three", searches=3)),
        "chance": run_search(config(folder, "chance", algorithm="random", budget=50)),
        "chances": run_search(config(folder, "chances", algorithm="random", budget=5, searches=2)),
    }
    keys = [found["whole"].ledger.evaluations[0, 1, 2].candidate.topology.key]
    fails = {"diverges": keys, "folder": str(folder)}
    found["fails"] = run_search(config(folder, "fails", proxy=fails))
    killed(config(folder, "killed"), 6)
    killed(config(folder, "early"), 1)
    interrupted(config(folder, "stopped"), 6)
    run_search(config(folder, "longer", searches=1))
    found["longer"] = run_search(config(folder, "longer", searches=2), extend=True)
    return found | {name: Run(name, str(folder)) for name in ("killed", "early", "stopped")}


NAMES = ("whole", "three", "chance", "chances", "fails", "killed", "early", "stopped", "longer")


def table(part: Element, place: int = 0) -> list[list[str]]:
    return part.all("table")[place].rows()


@pytest.mark.parametrize("name", NAMES)
def test_every_report_stands_alone_and_is_accessible(runs: dict[str, Run], name: str) -> None:
    text = report(runs[name])
    page = read(text)
    check_alone(page)
    check_accessible(page)
    assert page.all("h1")[0].text == name
    assert text == report(Run(runs[name].folder.location)), "the same run, the same bytes"


def test_the_answer_is_on_top(runs: dict[str, Run]) -> None:
    run = runs["whole"]
    page = read(report(run, [Command("The cell", "autoshrink-ray best 'a b'")]))
    assert run.best is not None
    first = page.all("section")[0]
    assert first.attributes["id"] == "answer"
    shown = {
        term.text: value.text for term, value in zip(first.all("dt"), first.all("dd"), strict=True)
    }
    assert shown["score"].startswith(f"{run.best.score:.4f}")
    assert shown["accuracy"].startswith(f"{100 * run.best.metrics['accuracy']:.2f} %")
    assert shown["MACs"].startswith(f"{int(run.best.metrics['macs']):,}")
    assert shown["parameters"].startswith(str(int(run.best.metrics["params"])))
    assert shown["edges"] == f"{len(run.best.topology.edges)}of 10 at the start"
    assert len(first.all("svg")) == 1
    assert [code.text for code in first.all("code")] == ["autoshrink-ray best 'a b'"]


def test_the_film_goes_from_the_complete_cell_to_the_last(runs: dict[str, Run]) -> None:
    run = runs["whole"]
    shots = read(report(run)).part("shrinking").all("li")
    rounds = run.searches[0].rounds
    assert len(shots) == len(rounds) + 1
    assert shots[0].text.startswith("The complete cell 10 edges")
    for shot, decision in zip(shots, rounds, strict=False):
        assert decision.removed is not None
        assert f"{decision.removed[0]}-{decision.removed[1]} goes next" in shot.text
    assert run.best is not None
    best = [shot.text for shot in shots if shot.attributes.get("class") == "best"]
    assert len(best) == 1
    assert best[0].startswith(f"After round {run.best.round} ★ best cell")


def test_rounds_tell_margin_and_spread(runs: dict[str, Run]) -> None:
    run = runs["whole"]
    head, *rows = table(read(report(run)).part("rounds"))
    views = round_views(run, 0)
    assert len(rows) == len(views)
    for row, view in zip(rows, views, strict=True):
        shown = dict(zip(head, row, strict=True))
        assert view.decision is not None
        assert shown["score"] == f"{view.decision.score:.4f}"
        assert shown["margin"] == ("-" if view.margin is None else f"{view.margin:.4f}")
        assert shown["spread"] == ("-" if view.spread is None else f"{view.spread:.4f}")
        units = noise(run).units(view.margin)
        if units is not None:
            assert shown["margin / noise"].startswith(f"{units:.1f}, ")
            assert ("chance" in shown["margin / noise"]) == (units < 1)


def test_every_candidate_is_in_the_table_of_its_round(runs: dict[str, Run]) -> None:
    run = runs["fails"]
    folded = read(report(run)).part("rounds").all("details")
    for view, part in zip(round_views(run, 0), folded, strict=True):
        _, *rows = table(part)
        assert len(rows) == len(view.lines)
    failed = [row for part in folded for row in table(part) if "diverged" in row[-1]]
    assert failed
    assert all(row[0] == "-" for row in failed)


def test_the_front_has_points_that_a_keyboard_reaches(runs: dict[str, Run]) -> None:
    run = runs["three"]
    part = read(report(run)).part("front")
    front = [point for point in pareto(run) if point.on_front]
    points = [e for e in part.all("g") if e.attributes.get("tabindex") == "0"]
    assert len(points) == len(front) == len(part.all("li"))
    told = {point.attributes["aria-label"] for point in points}
    assert told == {item.text for item in part.all("li")}
    others = [e for e in part.all("circle") if e.attributes["class"] == "rival"]
    assert len(others) + len(front) == len(pareto(run))
    assert all(circle.all("title") for circle in others)


def test_the_cost_is_that_of_the_account(runs: dict[str, Run]) -> None:
    run = runs["fails"]
    account = cost_account(run)
    shown = {row[0]: row[1] for row in table(read(report(run)).part("cost"))}
    assert shown["trials"] == str(account.trials)
    assert shown["cache hits"] == str(account.cache_hits)
    assert shown["copies"] == str(account.copies)
    assert shown["failed candidates"] == str(account.failed) != "0"
    names = {"CPU-hours", "lost to queueing", "lost to barriers", "lost to failures"}
    assert names <= shown.keys()


def test_configuration_and_files(runs: dict[str, Run]) -> None:
    run = runs["whole"]
    page = read(report(run, base="file:///x/"))
    rows = {row[0]: row[1] for row in page.part("provenance").rows()}
    assert rows["candidates"] == "4"
    assert rows["data fingerprint"] == "0" * 64
    assert rows["folder"] == run.folder.location
    links = [a.attributes["href"] for a in page.part("files").all("a")]
    names = ["best.cell.json", "evaluations.parquet", "run.yaml", "ledger/"]
    assert links == [f"file:///x/{name}" for name in names]
    assert not read(report(run, base=None)).part("files").all("a")


def test_a_killed_run_says_so_and_links_only_what_is_there(runs: dict[str, Run]) -> None:
    page = read(report(runs["killed"]))
    (header,) = page.all("header")
    assert "still going, or its driver was killed" in header.text
    assert [a.text for a in page.part("files").all("a")] == ["run.yaml", "ledger/"]
    assert "still open" in page.part("rounds").text
    assert "leads" in page.part("rounds").text


def test_without_a_decision_there_is_no_answer(runs: dict[str, Run]) -> None:
    page = read(report(runs["early"], [Command("The cell", "autoshrink-ray best early")]))
    assert "No round is decided yet, so there is no answer." in page.text
    assert "autoshrink-ray best" not in page.text
    assert "answer" not in [section.attributes.get("id") for section in page.all("section")]


def test_a_random_search_has_no_film_and_caps_its_round(runs: dict[str, Run]) -> None:
    page = read(report(runs["chance"]))
    assert not [e for e in page.all("ol") if e.attributes["class"].startswith("film")]
    assert "… and 10 more in evaluations.parquet." in page.part("rounds").text
    assert "Best score so far" in page.part("shrinking").text


def test_the_best_search_comes_first_and_the_others_are_folded(runs: dict[str, Run]) -> None:
    run = runs["three"]
    assert run.best is not None
    rounds = read(report(run)).part("rounds")
    assert rounds.all("h3")[0].text.startswith(f"Search {run.best.search}, seed")
    others = {s.number for s in run.searches} - {run.best.search}
    folded = [e.text for e in rounds.all("summary") if e.text.startswith("Search")]
    assert [text.partition(",")[0] for text in folded] == [f"Search {n}" for n in sorted(others)]


def test_an_interrupted_run_tells_why(runs: dict[str, Run]) -> None:
    assert "This run is interrupted: stopped by SIGINT" in read(report(runs["stopped"])).text


def test_hostile_words_stay_words(tmp_path: Path) -> None:
    evil = "<script>alert('x')</script>\"><img src=//evil onerror=x>\x00\x1b[31m&amp;"
    drawn = candidates()
    bad = measured(0.5, status="failed", metrics={}, reason=evil)
    found = [evaluated(drawn[0], measured(0.5, device=evil)), evaluated(drawn[1], bad)]
    run = run_of(tmp_path / "a", [*found, decided(found)], identity=shrink_identity(space=evil))
    run.file.config["data"] = evil
    object.__setattr__(run.file, "name", evil)
    text = report(run, [Command(evil, evil)], base="")
    page = read(text)
    check_alone(page)
    assert html.escape("<script>alert(").replace("'", "&#39;") in text
    assert "<script" not in text
    assert page.all("h1")[0].text.startswith("<script>alert('x')</script>\">")


def test_a_damaged_run_gives_one_message(runs: dict[str, Run], tmp_path: Path) -> None:
    run = run_search(config(tmp_path, "broken"))
    place = tmp_path / "broken" / "run.yaml"
    sound = place.read_text()
    place.write_text(sound[: len(sound) // 2] + ": [")
    with pytest.raises(FileFormatError, match=r"run\.yaml is damaged"):
        report(Run(run.folder.location))
    place.write_text(sound.replace("executor: in-process", "executor: by-hand"))
    with pytest.raises(ConfigError, match="executor"):
        report(Run(run.folder.location))


def test_damaged_objects_are_named(tmp_path: Path) -> None:
    run = run_search(config(tmp_path, "dented"))
    (place,) = (tmp_path / "dented").rglob("round-001-candidate-0001.json")
    place.write_bytes(b"{}")
    text = read(report(Run(run.folder.location))).text
    assert "Damaged: ledger/search-000/" in text
    assert "1 lost" in text


def test_three_thousand_candidates_make_less_than_three_megabytes(tmp_path: Path) -> None:
    run = run_search(config(tmp_path, "big", nodes=9, candidates=15, searches=11))
    assert len(run.ledger.evaluations) > 3_000
    page = report(run)
    assert len(page.encode()) < 3e6
    assert "more in evaluations.parquet." in page
    check_alone(read(page))


def test_perplexity_is_better_the_less_it_is(tmp_path: Path) -> None:
    metrics = ({"perplexity": 600.0 - n, "cost": 1e6, "macs": 1e5 + n} for n in range(3))
    found = [
        evaluated(candidate, measured(0, metrics=values))
        for candidate, values in zip(candidates(), metrics, strict=True)
    ]
    identity = shrink_identity(objective="perplexity", cost_weight=1.0)
    page = read(report(run_of(tmp_path / "text", found, identity=identity)))
    assert "perplexity, less is better" in page.part("front").text
    assert "score = " not in page.text, "nothing is decided"
    assert page.part("front").all("li")[0].text.startswith("perplexity 600.0, 100,000 MACs")
