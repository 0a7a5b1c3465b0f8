"""`explain`, as a user types it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from autoshrink_ray import Run, SearchConfig, run_search
from autoshrink_ray.errors import RunError
from launch import cli
from tests.core.analysis.test_rounds import table_run
from tests.core.runs import interrupted


def explain(*arguments: str) -> str:
    done = CliRunner(env={"COLUMNS": "200"}).invoke(cli.app, ["explain", *arguments])
    assert done.exit_code == 0, done.output
    return done.output


def as_json(*arguments: str) -> Any:
    return json.loads(explain(*arguments, "--json"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A run of two searches."""
    place = str(tmp_path_factory.mktemp("runs"))
    run_search(table_run(place, searches=2))
    return place


def diverging(folder: str, *keys: str) -> SearchConfig:
    return table_run(folder, proxy={"diverges": list(keys)})


def test_a_line_a_round_for_all_searches(folder: str) -> None:
    text = explain("run", "--storage", folder)
    assert "search 0, finished" in text
    assert "search 1, finished" in text
    assert "from the spread of rivals in" in text
    assert "trials for" in text
    assert f"explain {folder}/run --round 1" in text.replace("\n", "")
    assert "search 0" not in explain("run", "--storage", folder, "--search", "1")


def test_the_rounds_as_json(folder: str) -> None:
    run, found = Run("run", folder), as_json("run", "--storage", folder)
    assert [s["search"] for s in found["searches"]] == [0, 1]
    for search, shown in zip(run.searches, found["searches"], strict=True):
        removed = [list(d.removed or ()) for d in search.rounds]
        assert [r["removed"] for r in shown["rounds"]] == removed
        assert [r["score"] for r in shown["rounds"]] == [d.score for d in search.rounds]
    first = found["searches"][0]["rounds"][0]
    assert first["margin_in_noise"] == pytest.approx(first["margin"] / found["noise"]["value"])
    assert found["cost"]["evaluations"] == len(run.ledger.evaluations)


def test_a_round_in_full(folder: str) -> None:
    decision = Run("run", folder).searches[1].rounds[1]
    text = explain(f"{folder}/run", "--round", "2", "--search", "1")
    assert decision.removed is not None
    assert f"Edge {decision.removed[0]}-{decision.removed[1]} went" in text
    assert "search 1, round 2" in text
    for head in ("quality", "cost", "noise", "stopped by", "worker"):
        assert head in text
    shown = as_json(f"{folder}/run", "--round", "2", "--search", "1")
    ranked = [line.index for line in decision.ranking]
    assert [line["index"] for line in shown["candidates"] if line["rank"]] == ranked
    assert [line["stop_reason"] for line in shown["candidates"]] == ["epochs"] * len(ranked)
    assert shown["why"] in " ".join(text.split())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--round", "99"], "search 0 of run 'run' has no round 99; choose one of 1, 2"),
        (["--round", "0"], "has no round 0"),
        (["--round", "1", "--search", "7"], "run 'run' has no search 7; choose one of 0, 1"),
        (["--search", "-1"], "has no search -1"),
    ],
)
def test_what_is_not_there(folder: str, arguments: list[str], message: str) -> None:
    done = CliRunner(env={"COLUMNS": "200"}).invoke(
        cli.app, ["explain", "run", "--storage", folder, *arguments]
    )
    assert done.exit_code == 2
    assert message in done.output
    assert "Traceback" not in done.output


def test_failed_candidates_are_named_with_their_reason(tmp_path: Path) -> None:
    interrupted(table_run(str(tmp_path), name="first"), 4)
    first = Run("first", str(tmp_path)).ledger.evaluations[0, 1, 0].candidate
    run_search(diverging(str(tmp_path), first.topology.canonical().key))
    text = explain("run", "--storage", str(tmp_path), "--round", "1")
    assert first.removed is not None
    assert f"{first.removed[0]}-{first.removed[1]} failed: diverged in epoch 1" in text
    assert "3 of 4" in explain("run", "--storage", str(tmp_path))
    last = as_json("run", "--storage", str(tmp_path), "--round", "1")["candidates"][-1]
    assert (last["rank"], last["reason"]) == (None, "diverged in epoch 1")


def test_a_round_in_which_all_failed(tmp_path: Path) -> None:
    interrupted(table_run(str(tmp_path), name="first", candidates=1), 1)
    first = Run("first", str(tmp_path)).ledger.evaluations[0, 1, 0].candidate
    config = diverging(str(tmp_path), first.topology.canonical().key)
    with pytest.raises(RunError):
        run_search(config, candidates=1)
    text = explain("run", "--storage", str(tmp_path), "--round", "1")
    assert "Nothing is decided: 1 of 1 candidates failed." in text
    assert "Noise: not known" in explain("run", "--storage", str(tmp_path))


def test_an_open_round(tmp_path: Path) -> None:
    interrupted(table_run(str(tmp_path)), 2)
    assert "1, open" in explain("run", "--storage", str(tmp_path))
    text = explain("run", "--storage", str(tmp_path), "--round", "1")
    assert "leads so far, with 2 candidates to come" in text
    assert "not evaluated" in text
    shown = as_json("run", "--storage", str(tmp_path), "--round", "1")
    assert (shown["open"], shown["removed"], shown["missing"]) == (True, None, 2)


def test_copies_are_marked(tmp_path: Path) -> None:
    """Without one of three nodes of a kind, cells are isomorphic sooner or later."""
    run = run_search(table_run(str(tmp_path), nodes=6, candidates=10))
    copied = next(e.candidate for e in run.ledger.evaluations.values() if e.cached)
    assert "(cached)" in explain(run.folder.location, "--round", str(copied.round))


def test_a_random_search(tmp_path: Path) -> None:
    run_search(table_run(str(tmp_path), algorithm="random", budget=5))
    assert "5 of 5" in explain("run", "--storage", str(tmp_path))
    text = explain("run", "--storage", str(tmp_path), "--round", "1")
    assert "won: it scores" in text
    assert "Edge" not in text


def test_a_damaged_ledger_object_is_named_and_hides_nothing(tmp_path: Path) -> None:
    run = run_search(table_run(str(tmp_path)))
    (Path(run.folder.path) / run.ledger.sources[0, 1, 1]).write_text("{")
    text = explain("run", "--storage", str(tmp_path), "--round", "1")
    assert "record lost" in text
    assert f"damaged: {run.ledger.sources[0, 1, 1]}" in text


def test_a_run_that_is_none(tmp_path: Path) -> None:
    done = CliRunner().invoke(cli.app, ["explain", "nothing", "--storage", str(tmp_path)])
    assert done.exit_code == 2
    assert "no run at" in done.output
