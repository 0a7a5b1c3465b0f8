"""Whole runs in this process: real data, real training, nothing that takes long."""

from __future__ import annotations

import json
import math
import signal
import threading
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import yaml
from pyarrow import parquet

from autoshrink_ray import (
    CellFile,
    Decision,
    Evaluation,
    Run,
    RunObserver,
    SearchConfig,
    run_search,
)
from autoshrink_ray import run as run_module
from autoshrink_ray.errors import (
    ConfigError,
    FileFormatError,
    RoundFailedError,
    RunInterruptedError,
    StorageError,
)
from autoshrink_ray.executors.inprocess import InProcessExecutor
from autoshrink_ray.results import list_runs
from autoshrink_ray.run import fresh_name

ROUND_KEYS = {"round", "parent_edges", "removed", "edges", "score"}
BEST_KEYS = {"round", "score", "macs", "params", "nodes", "ops", "edges", "key"}
METRICS = {"accuracy", "loss", "macs", "params", "params_without_bn"}


@pytest.fixture
def storage(tmp_path: Path) -> Path:
    return tmp_path / "runs"


@pytest.fixture
def tiny(storage: Path) -> SearchConfig:
    """Three rounds or more of two candidates, on 80 digits."""
    return SearchConfig.of(
        {
            "space": "cnn",
            "data": "digits",
            "nodes": 4,
            "candidates": 2,
            "executor": "in-process",
            "storage": str(storage),
            "name": "tiny",
            "macro": {"stem_filters": 4, "base_width": 4, "scale": [1, 2], "pools": [1, 2]},
            "proxy": {
                "epochs": 1,
                "batch_size": 16,
                "train_per_class": 8,
                "valid_per_class": 4,
            },
        }
    )


def decisions(run: Run, search: int | None = None) -> list[Decision]:
    found = run.ledger.decisions.values()
    return [d for d in found if search is None or d.search == search]


def what_was_decided(found: list[Decision]) -> list[dict[str, Any]]:
    """Without the number of the search."""
    return [decision.model_dump(exclude={"search"}) for decision in found]


def content(folder: Path) -> dict[str, bytes]:
    """All files below a folder."""
    paths = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


class Notes(RunObserver):
    """Notes what it hears, and does something when it hears of evaluation number `at`."""

    def __init__(self, at: int = -1, action: Callable[[], Any] = lambda: None) -> None:
        self.heard: list[Any] = []
        self._at = at
        self._action = action

    def on_start(self, run: Run, plan: Any, data: Any) -> None:
        self.heard.append(run.ledger)

    def on_evaluation(self, evaluation: Evaluation) -> None:
        self.heard.append(evaluation)
        if len(self.evaluations) == self._at:
            self._action()

    def on_decision(self, decision: Decision) -> None:
        self.heard.append(decision)

    @property
    def evaluations(self) -> list[Evaluation]:
        return [item for item in self.heard if isinstance(item, Evaluation)]


class UnknownError(Exception):
    """What no part of the project raises."""


def crash() -> None:
    raise UnknownError


def killed(tiny: SearchConfig, at: int, **changes: Any) -> None:
    """Runs until evaluation number `at` and dies without a word."""
    with pytest.raises(UnknownError):
        run_search(tiny, observers=[Notes(at, crash)], **changes)


def interrupted(tiny: SearchConfig, at: int, **changes: Any) -> None:
    def stop() -> None:
        signal.raise_signal(signal.SIGINT)

    with pytest.raises(RunInterruptedError):
        run_search(tiny, observers=[Notes(at, stop)], **changes)


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
    assert table.equals(run.evaluations)
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


def results(run: Run) -> dict[tuple[int, int, int], tuple[Any, ...]]:
    """All that training gave, to the bit."""
    return {
        place: (e.seed, e.measurement.status, e.measurement.metrics, e.measurement.curve, e.cached)
        for place, e in run.ledger.evaluations.items()
    }


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
    assert run.evaluations.column("removed").null_count == 5


def test_a_storage_uri_is_a_folder_like_any_other(tiny: SearchConfig, storage: Path) -> None:
    run = run_search(tiny, storage=storage.as_uri())
    assert run.folder.location == f"{storage.as_uri()}/tiny"
    assert decisions(run) == decisions(Run(str(storage / "tiny")))
    assert run_search(tiny, storage=str(storage)).status == "finished"


# Going on


def test_a_finished_run_is_left_alone(
    tiny: SearchConfig, storage: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = run_search(tiny)
    before = content(storage)

    def refuse(*arguments: Any) -> Any:
        raise AssertionError("nothing is left to do")

    monkeypatch.setattr(InProcessExecutor, "ready", refuse)
    notes = Notes()
    again = run_search(tiny, observers=[notes])
    assert content(storage) == before
    assert notes.heard == []
    assert decisions(again) == decisions(first)


@pytest.mark.parametrize("at", [1, 2, 3, 5])
@pytest.mark.parametrize("granularity", ["candidate", "search"])
def test_a_run_that_was_killed_goes_on_to_the_same_end(
    tiny: SearchConfig, at: int, granularity: str
) -> None:
    whole = run_search(tiny, name="whole", searches=2)
    killed(tiny, at, searches=2, granularity=granularity)
    run = Run(f"{tiny.storage}/tiny")
    assert run.status == "open"
    assert len(run.ledger.evaluations) == at
    notes = Notes()
    after = run_search(tiny, observers=[notes], searches=2, granularity=granularity)
    assert after.status == "finished"
    assert decisions(after) == decisions(whole)
    assert results(after) == results(whole)
    assert len(notes.heard[0].evaluations) == at, "observers see where it goes on"
    assert len(notes.evaluations) == len(whole.ledger.evaluations) - at
    assert len(after.ledger.attempts) == 2


@pytest.mark.parametrize("kept", [0, 1, 2, 3])
def test_a_run_whose_ledger_lost_objects_goes_on_to_the_same_end(
    tiny: SearchConfig, storage: Path, kept: int
) -> None:
    """Every fourth object is left, the end of the run not among them."""
    whole = run_search(tiny)
    expected = decisions(whole), results(whole)
    for number, path in enumerate(sorted((storage / "tiny" / "ledger").rglob("*.json"))):
        if number % 4 != kept or path.name.endswith(".end.json"):
            path.unlink()
    again = run_search(tiny)
    assert (decisions(again), results(again)) == expected
    assert again.status == "finished"


def test_results_that_were_not_written_any_more_are_written_later(
    tiny: SearchConfig, storage: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The driver died after the last decision."""
    with monkeypatch.context() as patch:
        patch.setattr(run_module, "write_results", lambda folder: crash())
        with pytest.raises(UnknownError):
            run_search(tiny)
    assert not (storage / "tiny" / "best.cell.json").exists()
    notes = Notes()
    run_search(tiny, observers=[notes])
    assert notes.evaluations == []
    assert (storage / "tiny" / "best.cell.json").exists()
    assert (storage / "tiny" / "evaluations.parquet").exists()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_leaves_a_readable_run_that_goes_on(
    tiny: SearchConfig, storage: Path, number: signal.Signals, code: int
) -> None:
    handler = signal.getsignal(number)
    stop = Notes(3, lambda: signal.raise_signal(number))
    with pytest.raises(RunInterruptedError, match=f"stopped by {number.name}") as caught:
        run_search(tiny, observers=[stop])
    assert caught.value.exit_code == code
    assert signal.getsignal(number) == handler
    run = Run(str(storage / "tiny"))
    assert run.status == "interrupted"
    assert "can be resumed" in run.message
    assert len(stop.evaluations) == 3, "no other candidate was started"
    assert parquet.read_table(storage / "tiny" / "evaluations.parquet").num_rows == 3
    assert (storage / "tiny" / "best.cell.json").exists(), "round 1 was decided"
    assert decisions(run_search(tiny)) == decisions(run_search(tiny, name="whole"))


def test_a_second_ctrl_c_does_not_wait(tiny: SearchConfig) -> None:
    def twice() -> None:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        run_search(tiny, observers=[Notes(1, twice)])


def test_a_run_can_be_started_from_another_thread(tiny: SearchConfig) -> None:
    """Where Python allows no signal handlers."""
    found: list[Run] = []
    thread = threading.Thread(target=lambda: found.append(run_search(tiny)))
    thread.start()
    thread.join()
    assert found[0].status == "finished"


def test_the_latest_attempt_says_how_a_run_stands(tiny: SearchConfig, storage: Path) -> None:
    killed(tiny, 1)
    assert Run(str(storage / "tiny")).status == "open"
    interrupted(tiny, 1)
    run = Run(str(storage / "tiny"))
    assert (run.status, run.message) == ("interrupted", "stopped by SIGINT; the run can be resumed")
    killed(tiny, 1)
    assert Run(str(storage / "tiny")).status == "open"
    assert run_search(tiny).status == "finished"


def test_execution_settings_may_change_on_the_way(tiny: SearchConfig) -> None:
    interrupted(tiny, 2, searches=2)
    changes = {"granularity": "search", "max_concurrent": 1, "max_retries": 0, "searches": 2}
    run = run_search(tiny, **changes)
    assert decisions(run) == decisions(run_search(tiny, name="whole", searches=2))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seed": 1}, "seed was 0, now 1"),
        ({"nodes": 5}, "nodes was 4, now 5"),
        ({"searches": 2}, "searches was 1, now 2"),
        ({"algorithm": "random", "budget": 5}, "algorithm was 'shrink', now 'random'"),
        ({"cpus_per_trial": 2}, "threads was 1, now 2"),
        ({"cost_weight": 0.5}, "cost_weight was 0.1, now 0.5"),
        ({"macro": {}}, "macro.base_width was 4, now 16"),
        ({"proxy": {"train_per_class": 8}}, "proxy.epochs was 1, now "),
        (
            {"proxy": {"epochs": 1, "batch_size": 16, "train_per_class": 9, "valid_per_class": 4}},
            "data_fingerprint was '",
        ),
    ],
)
def test_a_name_in_use_with_another_identity_is_refused(
    tiny: SearchConfig, storage: Path, changes: dict[str, Any], message: str
) -> None:
    interrupted(tiny, 2)
    before = content(storage)
    with pytest.raises(ConfigError) as caught:
        run_search(tiny, **changes)
    assert "the run 'tiny' exists with another configuration: " in str(caught.value)
    assert message in str(caught.value)
    assert "choose another --name" in str(caught.value)
    assert content(storage) == before, "nothing of the earlier run is lost"


def test_a_round_without_a_usable_result_fails_the_run(tiny: SearchConfig, storage: Path) -> None:
    diverging = {**tiny.proxy, "learning_rate": 1e30}
    with pytest.raises(RoundFailedError, match=r"round 1: none of 2 candidates .*diverged in"):
        run_search(tiny, proxy=diverging)
    run = Run(str(storage / "tiny"))
    assert run.status == "failed"
    assert "none of 2 candidates has a usable result" in run.message
    assert run.to_dict()["failed"] == 2
    assert run.best is None
    assert run.to_dict()["best"] is None
    assert not (storage / "tiny" / "best.cell.json").exists()
    notes = Notes()
    with pytest.raises(RoundFailedError):
        run_search(tiny, proxy=diverging, observers=[notes])
    assert notes.evaluations == [], "the same failures are not trained again"


# Before a run starts


def test_storage_that_cannot_be_written_is_said_before_anything_else(
    tiny: SearchConfig, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageError, match="cannot write") as caught:
        run_search(tiny, storage=str(tmp_path / "file" / "runs"), data="no-such-data")
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


# Reading runs


def test_a_run_is_found_by_path_and_by_name(tiny: SearchConfig, storage: Path) -> None:
    run_search(tiny)
    for run in (
        Run(str(storage / "tiny")),
        Run("tiny", str(storage)),
        Run((storage / "tiny").as_uri()),
        Run("tiny", storage.as_uri()),
    ):
        assert run.status == "finished"


def test_where_there_is_no_run(storage: Path) -> None:
    assert list_runs(str(storage)) == []
    with pytest.raises(StorageError, match=r"no run at .*nothing: give <storage>/<name>"):
        Run("nothing", str(storage))


def test_other_folders_in_the_storage_are_no_runs(tiny: SearchConfig, storage: Path) -> None:
    run_search(tiny)
    (storage / "notes").mkdir()
    (storage / "readme.txt").write_text("mine")
    assert [run.name for run in list_runs(str(storage))] == ["tiny"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is damaged"),
        ("", "is damaged"),
        ("- a", "is damaged"),
        ("schema_version: 1", "name: Field required"),
        ("schema_version: 2", "schema version 2; this release reads up to 1"),
        ("\0", "is damaged"),
    ],
)
def test_a_damaged_or_newer_run_yaml_is_refused(
    tiny: SearchConfig, storage: Path, text: str, message: str
) -> None:
    run_search(tiny)
    (storage / "tiny" / "run.yaml").write_text(text)
    before = content(storage)
    with pytest.raises(FileFormatError, match=rf"tiny/run\.yaml .*{message}"):
        Run(str(storage / "tiny")).to_dict()
    with pytest.raises(FileFormatError, match=message):
        run_search(tiny)
    assert content(storage) == before


def test_a_damaged_ledger_is_refused_and_left_alone(tiny: SearchConfig, storage: Path) -> None:
    interrupted(tiny, 2)
    path = next((storage / "tiny" / "ledger").rglob("*candidate-0000.json"))
    path.write_bytes(path.read_bytes().replace(b"accuracy", b"accurasy", 1))
    before = content(storage)
    with pytest.raises(FileFormatError, match=r"candidate-0000\.json is damaged: its checksum"):
        run_search(tiny)
    assert content(storage) == before


def test_a_table_of_several_searches_reads_back(tiny: SearchConfig, storage: Path) -> None:
    run = run_search(tiny, searches=2)
    table = parquet.read_table(storage / "tiny" / "evaluations.parquet")
    assert set(table.column("search").to_pylist()) == {0, 1}
    assert pa.types.is_timestamp(table.schema.field("started").type)
    best = max(row["score"] for row in table.to_pylist())
    assert run.best is not None
    assert math.isclose(best, run.best.score)
