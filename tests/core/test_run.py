"""Whole runs in this process: real data, real training, nothing that takes long."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from pyarrow import parquet

from autoshrink_ray import CellFile, Decision, Evaluation, Run, SearchConfig, run_search
from autoshrink_ray.errors import ConfigError, StorageError
from autoshrink_ray.results import list_runs
from autoshrink_ray.run import fresh_name
from tests.core.runs import Notes, content, decisions, results, what_was_decided

ROUND_KEYS = {"round", "parent_edges", "removed", "edges", "score"}
BEST_KEYS = {"round", "score", "macs", "params", "nodes", "ops", "edges", "key"}
METRICS = {"accuracy", "loss", "macs", "params", "params_without_bn"}


# What a finished run leaves


def test_a_run_leaves_what_others_read(tiny: SearchConfig, storage: Path) -> None:
    run = run_search(tiny)
    assert run.status == "finished"
    assert run.message == ""
    folder = storage / "tiny"
    rounds = [f"cells/search-000/round-{d.round:03d}.cell.json" for d in decisions(run)]
    expected = {"run.yaml", "evaluations.parquet", "best.cell.json", *rounds}
    assert {name for name in content(folder) if not name.startswith("ledger/")} == expected
    assert not list(folder.rglob("*.tmp"))
    assert not list(storage.glob(".writable*"))

    table = parquet.read_table(folder / "evaluations.parquet")
    assert table.equals(run.table)
    assert table.num_rows == len(run.ledger.evaluations)

    assert run.best is not None
    for name, decision in [*zip(rounds, decisions(run), strict=True), (None, run.best)]:
        cell = CellFile.from_json((folder / (name or "best.cell.json")).read_bytes(), "cell")
        assert cell.topology == decision.topology
        assert cell.space == "cnn"
        assert cell.score == decision.score
        assert cell.metrics == decision.metrics
        assert cell.provenance["run"] == "tiny"
        assert cell.provenance["round"] == decision.round


def test_run_yaml_says_what_the_run_is(tiny: SearchConfig, storage: Path) -> None:
    run_search(tiny, seed=3)
    found = yaml.safe_load((storage / "tiny" / "run.yaml").read_text())
    assert found["schema_version"] == 1
    assert found["name"] == "tiny"
    assert found["identity"]["seed"] == 3
    assert len(found["identity"]["data_fingerprint"]) == 64
    assert found["config"]["proxy"]["epochs"] == 1
    assert {"python", "ray", "torch", "git", "autoshrink-ray"} <= found["versions"].keys()
    assert datetime.fromisoformat(found["created"]).tzinfo is not None


def test_a_runs_summary_has_the_documented_keys(tiny: SearchConfig) -> None:
    run = run_search(tiny, searches=2)
    shown = json.loads(json.dumps(run.to_dict()))
    assert list(shown) == [
        "name",
        "space",
        "status",
        "evaluations",
        "failed",
        "cached",
        "best",
        "searches",
    ]
    assert (shown["name"], shown["space"], shown["status"]) == ("tiny", "cnn", "finished")
    assert shown["evaluations"] == len(run.ledger.evaluations)
    assert shown["failed"] == 0
    assert shown["cached"] == sum(e.cached for e in run.ledger.evaluations.values())
    assert [list(search) for search in shown["searches"]] == [
        ["seed", "status", "best", "rounds"]
    ] * 2
    assert [search["seed"] for search in shown["searches"]] == [0, 1]
    for best in (shown["best"], *(search["best"] for search in shown["searches"])):
        assert best.keys() == BEST_KEYS | METRICS | {"search"}
        assert isinstance(best["macs"], int)
        assert best["nodes"] == len(best["ops"]) == 4
    assert shown["best"]["score"] == max(search["best"]["score"] for search in shown["searches"])
    for search in shown["searches"]:
        edges = [[0, 1], [0, 2], [0, 3], [1, 2], [1, 3], [2, 3]]
        for number, one in enumerate(search["rounds"], start=1):
            assert one.keys() == ROUND_KEYS | METRICS
            assert one["round"] == number
            assert one["parent_edges"] == edges
            assert one["removed"] in edges
            edges = one["edges"]
        assert len(edges) == 1


def test_measurements_are_plausible(tiny: SearchConfig) -> None:
    for evaluation in run_search(tiny).ledger.evaluations.values():
        metrics = evaluation.measurement.metrics
        assert 0 <= metrics["accuracy"] <= 1
        assert metrics["macs"] > 0
        assert evaluation.measurement.curve[-1] == metrics["accuracy"]
        assert evaluation.measurement.epochs == 1
        assert evaluation.queued <= evaluation.started <= evaluation.ended
        assert evaluation.attempts == (0 if evaluation.cached else 1)


def test_observers_hear_everything_in_order(tiny: SearchConfig) -> None:
    notes = Notes()
    run = run_search(tiny, observers=[notes])
    ledger, *rest = notes.heard
    assert ledger.evaluations == {}
    assert notes.evaluations == list(run.ledger.evaluations.values())
    assert [item for item in rest if isinstance(item, Decision)] == decisions(run)
    for place, item in enumerate(rest):
        if isinstance(item, Decision):
            before = [e for e in rest[:place] if isinstance(e, Evaluation)]
            assert before[-1].candidate.round == item.round


# The same numbers, however it is run


def test_a_run_can_be_made_again_to_the_bit(tiny: SearchConfig) -> None:
    one, other = (run_search(tiny, name=name) for name in ("one", "other"))
    assert results(one) == results(other)
    assert decisions(one) == decisions(other)


def test_another_seed_is_another_search(tiny: SearchConfig) -> None:
    one, other = (run_search(tiny, name=f"seed-{seed}", seed=seed) for seed in (0, 1))
    assert decisions(one) != decisions(other)


@pytest.mark.parametrize("algorithm", [{}, {"algorithm": "random", "budget": 5}])
def test_a_search_as_one_trial_decides_the_same(
    tiny: SearchConfig, algorithm: dict[str, Any]
) -> None:
    by_candidate = run_search(tiny, name="candidate", searches=2, **algorithm)
    by_search = run_search(tiny, name="search", searches=2, granularity="search", **algorithm)
    assert decisions(by_search) == decisions(by_candidate)
    assert results(by_search) == results(by_candidate)


def test_two_searches_are_two_single_searches(tiny: SearchConfig) -> None:
    both = run_search(tiny, name="both", searches=2, seed=4)
    for number in (0, 1):
        single = run_search(tiny, name=f"single-{number}", seed=4 + number)
        assert what_was_decided(decisions(both, number)) == what_was_decided(decisions(single))
    assert both.best is not None
    assert both.best.score == max(decision.score for decision in decisions(both))


def test_searches_with_one_evaluation_seed_share_results(tiny: SearchConfig) -> None:
    """And each decides as it would alone: a cached result is exactly the result."""
    both = run_search(tiny, name="both", searches=3, evaluation_seed=9)
    assert both.to_dict()["cached"] > 0
    by_key: dict[str, set[str]] = {}
    for evaluation in both.ledger.evaluations.values():
        found = by_key.setdefault(evaluation.candidate.topology.key, set())
        found.add(evaluation.measurement.model_dump_json())
    assert all(len(found) == 1 for found in by_key.values())
    for number in range(3):
        single = run_search(tiny, name=f"single-{number}", seed=number, evaluation_seed=9)
        assert what_was_decided(decisions(both, number)) == what_was_decided(decisions(single))


def test_random_search_spends_its_budget(tiny: SearchConfig) -> None:
    run = run_search(tiny, algorithm="random", budget=5)
    assert len(run.ledger.evaluations) == 5
    (only,) = decisions(run)
    assert run.best == only
    assert run.to_dict()["searches"][0]["rounds"][0]["parent_edges"] is None
    assert run.table.column("removed").null_count == 5


def test_a_storage_uri_is_a_folder_like_any_other(tiny: SearchConfig, storage: Path) -> None:
    run = run_search(tiny, storage=storage.as_uri())
    assert run.folder.location == f"{storage.as_uri()}/tiny"
    assert decisions(run) == decisions(Run(str(storage / "tiny")))
    assert run_search(tiny, storage=str(storage)).status == "finished"


# Before a run starts


def test_storage_that_cannot_be_written_is_said_before_anything_else(
    tiny: SearchConfig, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageError, match="cannot write") as caught:
        run_search(tiny, storage=str(tmp_path / "file" / "runs"))
    assert caught.value.exit_code == 2


def test_bad_settings_create_nothing(tiny: SearchConfig, storage: Path) -> None:
    for changes in ({"data": "no-such-data"}, {"space": "none"}, {"nodes": 1}, {"speed": 3}):
        with pytest.raises(ConfigError):
            run_search(tiny, **changes)
    assert content(storage) == {} if storage.exists() else True


def test_runs_without_a_name_get_fresh_ones(tiny: SearchConfig, storage: Path) -> None:
    settings = tiny.model_dump(exclude_unset=True, exclude={"name"})
    names = {run_search(SearchConfig.of(settings)).name for _ in range(2)}
    assert len(names) == 2
    assert [run.name for run in list_runs(str(storage))] == sorted(names)
    assert SearchConfig.of({"name": fresh_name("my_space")}).name is not None
