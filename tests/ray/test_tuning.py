"""Whole studies on Ray Tune: real trainings of digits, each a moment long."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import optuna
import pyarrow.parquet as pq
import pytest
import ray
import yaml
from click.testing import Result
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState
from ray.core.generated.autoscaler_pb2 import ClusterConfig
from typer.testing import CliRunner

from autoshrink_ray import files, lease
from autoshrink_ray.errors import ConfigError, RunInterruptedError, TakenOverError
from autoshrink_ray.storage import Folder
from launch.cli import app
from search_spaces.build import build
from search_spaces.network import NetworkFile
from tests.ray.test_cluster import report
from tests.trainables.tuning import RANGES, SETTINGS, digits_network, small_config
from trainables.device import Compute
from trainables.final.contracts import Setup
from trainables.final.recipes import recipe
from trainables.final.tasks import full_task
from trainables.tuning.config import TuningConfig
from trainables.tuning.results import TuningResult
from trainables.tuning.space import Choice
from trainables.tuning.storage import open_storage
from trainables.tuning.study import run_tuning
from trainables.tuning.tuner import concurrency

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("cluster")]


def optunas(folder: Path) -> list[FrozenTrial]:
    """The trials as Optuna reads them from the journal in a study's folder."""
    storage = JournalStorage(JournalFileBackend(str(folder / "optuna.journal")))
    return list(optuna.load_study(study_name=folder.name, storage=storage).trials)


def rows(folder: Path) -> list[dict[str, Any]]:
    return list(pq.read_table(folder / "trials.parquet").to_pylist())


def network(path: Path) -> NetworkFile:
    return NetworkFile.from_json(path.read_bytes(), path.name)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory, cluster: None) -> TuningResult:
    """Four trials of two epochs, compared by quality."""
    config = small_config(
        tmp_path_factory.mktemp("tuning"), trials=4, settings={"epochs": 2}, max_concurrent=2
    )
    return run_tuning(digits_network(), config)


def test_optuna_opens_the_journal_and_sees_the_trials(study: TuningResult) -> None:
    trials = optunas(Path(study.folder.path))
    assert [trial.number for trial in trials] == [0, 1, 2, 3]
    assert {trial.state for trial in trials} <= {TrialState.COMPLETE, TrialState.PRUNED}
    for trial in trials:
        assert trial.params.keys() == RANGES.keys()
        steps = 2 if trial.state == TrialState.COMPLETE else 1
        assert sorted(trial.intermediate_values) == list(range(1, steps + 1))
        assert trial.value == trial.intermediate_values[steps]


def test_the_table_has_a_row_for_each_trial(study: TuningResult) -> None:
    table = rows(Path(study.folder.path))
    for row, trial in zip(table, optunas(Path(study.folder.path)), strict=True):
        assert row["number"] == trial.number
        assert row["state"] == {"COMPLETE": "complete", "PRUNED": "stopped"}[trial.state.name]
        assert row["accuracy"] == trial.value
        assert {key: row[key] for key in RANGES} == trial.params
        variant = study.plan.subject.variant(trial.params).network
        assert (row["macs"], row["params"]) == (variant.costs["macs"], variant.costs["params"])
        assert row["epochs"] == len(trial.intermediate_values)
        assert row["seconds"] > 0
        assert (row["ended"] - row["started"]).total_seconds() > row["seconds"] / 2


def test_the_best_network_is_that_of_the_best_trial(study: TuningResult) -> None:
    folder = Path(study.folder.path)
    complete = [trial for trial in optunas(folder) if trial.state == TrialState.COMPLETE]
    best = max(complete, key=lambda trial: trial.value or 0)
    found = network(folder / "best.network.json")
    assert found.macro["channel_scale"] == best.params["macro.channel_scale"]
    assert found.provenance["accuracy"] == best.value
    assert found.provenance["settings"] == best.params
    module = build(found)
    assert sum(p.numel() for p in module.parameters()) == found.costs["params"]


def test_training_the_best_network_gives_the_trials_number_again(study: TuningResult) -> None:
    folder = Path(study.folder.path)
    found = network(folder / "best.network.json")
    written = yaml.safe_load((folder / "best.recipe.yaml").read_text())
    task = full_task("image")
    chosen = recipe(task.Recipe, written["recipe"], written["settings"])
    data = study.plan.load_data()
    compute = Compute.available(threads=1, gpu=False, deterministic=True)
    training = task.training(Setup(found, chosen, data, compute))
    while not training.finished:
        metrics = training.run_epoch(0)
    assert metrics["accuracy"] == found.provenance["accuracy"]


def test_the_study_says_what_it_is(study: TuningResult) -> None:
    record = yaml.safe_load((Path(study.folder.path) / "tune.yaml").read_text())
    assert record["name"] == "study"
    assert NetworkFile.model_validate(record["network"]) == digits_network()
    assert record["identity"]["ranges"].keys() == RANGES.keys()
    assert record["identity"]["early_stopping"]["max_t"] == 2
    assert {"optuna", "ray", "torch"} < record["versions"].keys()


def test_a_finished_study_trains_nothing_again(study: TuningResult) -> None:
    assert run_tuning(digits_network(), study.plan.config).trials == study.trials


def test_a_study_of_another_configuration_is_refused(study: TuningResult) -> None:
    config = study.plan.config
    for changes, message in (
        ({"seed": 1}, "seed was 0, now 1"),
        ({"settings": SETTINGS | {"l2": 1.0}}, "recipe.l2 was"),
        ({"objective": "quality-macs"}, "objective was 'quality', now 'quality-macs'"),
        ({"ranges": config.ranges | {"recipe.l2": Choice(values=(0, 1))}}, "ranges.recipe.l2 was"),
    ):
        changed = TuningConfig.of(config.model_dump(exclude_unset=True) | changes)
        with pytest.raises(ConfigError, match=message):
            run_tuning(digits_network(), changed)
    with pytest.raises(ConfigError, match=r"'study' exists .*network was"):
        run_tuning(digits_network(base_width=8), config)


def test_quality_against_macs_gives_a_front(tmp_path: Path) -> None:
    config = small_config(tmp_path, trials=6, objective="quality-macs", population=4)
    stale = tmp_path / "runs" / "study" / "front" / "09.network.json"
    result = run_tuning(digits_network(), config)
    folder = Path(result.folder.path)
    stale.write_bytes(b"{}")
    run_tuning(digits_network(), config)
    trials = optunas(folder)
    assert {trial.state for trial in trials} == {TrialState.COMPLETE}
    points = {trial.number: tuple(trial.values) for trial in trials}
    front = json.loads((folder / "front.json").read_text())["front"]
    chosen = [points[entry["trial"]] for entry in front]
    assert chosen == sorted(chosen, key=lambda point: point[1])
    for quality, macs in points.values():
        beaten = [
            (q, m) for q, m in chosen if q >= quality and m <= macs and (q, m) != (quality, macs)
        ]
        assert bool(beaten) != ((quality, macs) in chosen)
    files = sorted(path.name for path in (folder / "front").iterdir())
    assert files == [Path(entry["network"]).name for entry in front]
    for entry in front:
        found = network(folder / entry["network"])
        assert found.costs["macs"] == entry["macs"] == points[entry["trial"]][1]
        assert found.provenance["trial"] == entry["trial"]
    best = network(folder / "best.network.json")
    assert best.provenance["accuracy"] == max(quality for quality, _ in points.values())


def test_nodes_that_could_be_started_count(tmp_path: Path) -> None:
    config = small_config(tmp_path, max_concurrent=None)
    larger = small_config(tmp_path, max_concurrent=None, cpus_per_trial=8)
    could_start = ClusterConfig()
    could_start.node_group_configs.add(name="cpu", max_count=2).resources.update({"CPU": 8})
    assert concurrency(config, 100) == 4
    report(could_start)
    try:
        assert (concurrency(config, 100), concurrency(config, 7)) == (4 + 2 * 8, 7)
        assert concurrency(larger, 100) == 2
        could_start.node_group_configs[0].max_count = -1  # as many as are wanted
        report(could_start)
        assert concurrency(config, 100) == 100
    finally:
        report(ClusterConfig())


def test_a_trial_that_fits_on_no_node_is_refused_before_there_is_a_study(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="a trial asks for 512 CPUs"):
        run_tuning(digits_network(), small_config(tmp_path, cpus_per_trial=512))
    assert list((tmp_path / "runs").iterdir()) == []


def resumable(tmp_path: Path, **changes: Any) -> TuningResult:
    """A study of six trials, one after the other, by several settings."""
    ranges = {**RANGES, "macro.activation": {"values": ["relu", "swish"]}}
    config = small_config(tmp_path, trials=6, ranges=ranges, **changes.pop("config", {}))
    return run_tuning(digits_network(), config, **changes)


DRIVER = """
import sys
from pathlib import Path
from tests.ray.test_tuning import resumable
resumable(Path(sys.argv[1]), config={"address": sys.argv[2]})
"""


def kill_after_a_trial(tmp_path: Path) -> None:
    """Runs the study in a process of its own and kills it in the middle."""
    address = ray.get_runtime_context().gcs_address
    command = [sys.executable, "-c", DRIVER, str(tmp_path), address]
    deadline = time.monotonic() + 120
    with subprocess.Popen(command, text=True, stderr=subprocess.PIPE) as process:
        while process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.02)
            with suppress(OSError, KeyError):
                if any(t.state.is_finished() for t in optunas(tmp_path / "runs" / "study")):
                    break
        process.kill()
        _, errors = process.communicate()
    assert process.returncode == -signal.SIGKILL, errors


class StopAfterATrial:
    """Sends the signal that a cluster sends before it takes a machine away."""

    def on_start(self, result: TuningResult, data: Any) -> None:
        self.before = len(result.ended)

    def on_trial(self, trial: FrozenTrial) -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    def on_note(self, text: str) -> None:
        raise AssertionError(text)


class TakeOverAfterATrial(StopAfterATrial):
    """Writes the lease of another driver."""

    other = lease.Lease.mine()

    def __init__(self, folder: Folder) -> None:
        self.folder = folder

    def on_trial(self, trial: FrozenTrial) -> None:
        self.folder.write(files.LEASE, self.other.model_dump_json().encode())


def test_a_study_that_was_taken_over_stops_and_leaves_the_rest_to_the_other_driver(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "HEARTBEAT", 0.05)
    folder = Folder(str(tmp_path / "runs" / "study"))
    with pytest.raises(TakenOverError, match="another driver took this run over"):
        resumable(tmp_path, observers=[TakeOverAfterATrial(folder)])
    assert lease.Lease.model_validate_json(folder.read(files.LEASE)) == TakeOverAfterATrial.other
    trials = optunas(tmp_path / "runs" / "study")
    assert len([trial for trial in trials if trial.state.is_finished()]) < 6
    assert not (tmp_path / "runs" / "study" / "trials.parquet").exists()


def test_a_study_whose_driver_dies_and_is_stopped_goes_on(tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "study"
    kill_after_a_trial(tmp_path)
    observer = StopAfterATrial()
    with pytest.raises(RunInterruptedError) as stopped:
        resumable(tmp_path, observers=[observer])
    assert stopped.value.exit_code == 143
    assert observer.before >= 1
    kept = {trial.number: trial for trial in optunas(folder) if trial.state.is_finished()}
    assert TrialState.RUNNING not in {trial.state for trial in optunas(folder)}
    assert len(rows(folder)) == len(optunas(folder))
    result = resumable(tmp_path)
    trials = optunas(folder)
    assert {number: trials[number] for number in kept} == kept
    assert len(result.ended) == 6
    assert len({tuple(trial.params.values()) for trial in result.ended}) == 6
    undisturbed = resumable(tmp_path / "other")
    assert [t.params for t in result.ended] == [t.params for t in undisturbed.ended]
    assert [t.values for t in result.ended] == [t.values for t in undisturbed.ended]


def tune(arguments: str) -> Result:
    return CliRunner().invoke(app, ["tune", *shlex.split(arguments)], env={"COLUMNS": "300"})


def test_a_cell_is_tuned_in_a_database_and_the_answer_can_be_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    options = "--preset digits --data digits --trials 2 --max-concurrent 1 --name first"
    vary = "--vary macro.channel_scale=0.25:0.5 --vary macro.replicate=[1,1],[1,2]"
    sets = " ".join(f"--set {key}={value}" for key, value in SETTINGS.items())
    command = f"shrink-cnn-a {options} {vary} {sets}"
    done = tune(f"{command} --study-storage sqlite:///studies.db")
    assert done.exit_code == 0, done.output
    assert "macro.channel_scale: 0.25 to 0.5 (log)" in done.stdout
    assert "recipe.learning_rate: " in done.stdout
    assert "trial 0: accuracy 0." in done.stdout
    assert "optuna-dashboard sqlite:///studies.db" in done.stdout
    with open_storage("sqlite:///studies.db", Folder(str(tmp_path))) as storage:
        study = optuna.load_study(study_name="first", storage=storage)
        assert [trial.number for trial in study.trials] == [0, 1]
        best = study.best_trial
    (line,) = [line for line in done.stdout.splitlines() if "autoshrink-ray train" in line]
    words = shlex.split(line)
    assert words[1:3] == ["train", str(tmp_path / "runs" / "first" / "best.network.json")]
    assert network(Path(words[2])).macro["channel_scale"] == best.params["macro.channel_scale"]
    assert f"learning_rate={best.params['recipe.learning_rate']!r}" in words
    assert "epochs=2" in words
    again = tune(f"{command} --quiet --study-storage sqlite:///studies.db")
    assert again.exit_code == 0, again.output
    assert "trial 0: " not in again.stdout
    assert "best trials of first, 2 trials" in again.stdout
    elsewhere = tune(command)
    assert elsewhere.exit_code == 2
    assert "give the --study-storage that it was started with" in elsewhere.stderr
