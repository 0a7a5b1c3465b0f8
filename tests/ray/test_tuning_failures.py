"""Studies in which something goes wrong: trainings, workers, data, the disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import optuna
import pyarrow.parquet as pq
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState

from autoshrink_ray.errors import DataError, RetriesExhaustedError, RunError
from search_spaces.network import NetworkFile
from search_spaces.zoo import CELLS
from tests.plugins.fragile import SPACE
from tests.trainables.data.files import encoded, random_pixels, write_image_folder
from tests.trainables.tuning import RANGES, digits_network, small_config
from trainables.tuning.results import TuningResult
from trainables.tuning.study import run_tuning

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("cluster")]

FRAGILE = "tests.plugins.fragile"


def optunas(journal: Path) -> list[FrozenTrial]:
    """The trials as Optuna reads them from a journal."""
    storage = JournalStorage(JournalFileBackend(str(journal)))
    return list(optuna.load_study(study_name="study", storage=storage).trials)


def rows(folder: Path) -> list[dict[str, Any]]:
    return list(pq.read_table(folder / "trials.parquet").to_pylist())


def fragile_study(tmp_path: Path, fate: str, **changes: Any) -> TuningResult:
    """A study of networks that meet a fate, unless it is varied; none is stopped early."""
    cell = CELLS["shrink-cnn-a"].topology
    plain = digits_network().macro | {"folder": str(tmp_path), "fate": fate}
    macro = SPACE.Macro.model_validate(plain)
    base = NetworkFile.of("fragile", cell, macro, digits_network().shape, recipe="digits")
    return run_tuning(base, small_config(tmp_path, plugins=(FRAGILE,), grace_epochs=2, **changes))


def test_trainings_that_fail_are_failed_trials_and_the_study_goes_on(tmp_path: Path) -> None:
    fates = {"macro.fate": {"values": ["diverges", "fills memory"]}}
    message = r"no trial was trained to its end: diverged in epoch 1.*; no memory for this one"
    with pytest.raises(RunError, match=message):
        fragile_study(tmp_path, "fine", ranges=fates, trials=6)
    table = rows(tmp_path / "runs" / "study")
    words = {"diverges": "diverged in epoch 1", "fills memory": "no memory for this one"}
    assert {row["macro.fate"] for row in table} == words.keys()
    for row in table:
        assert (row["state"], row["accuracy"]) == ("failed", None)
        assert words[row["macro.fate"]] in row["reason"]
    assert len(table) == 6


def test_a_trial_that_loses_its_worker_is_tried_again(tmp_path: Path) -> None:
    result = fragile_study(tmp_path, "dies", trials=2)
    lost, again, other = rows(Path(result.folder.path))
    assert len(list(tmp_path.glob("death-*"))) == 1
    assert (lost["state"], again["state"], other["state"]) == ("failed", "complete", "complete")
    assert (lost["again_for"], again["again_for"], other["again_for"]) == (None, 0, None)
    assert {key: lost[key] for key in RANGES} == {key: again[key] for key in RANGES}
    assert lost["reason"].startswith("lost: ")


def test_a_trial_that_is_lost_too_often_stops_the_study_and_it_can_go_on(tmp_path: Path) -> None:
    with pytest.raises(RetriesExhaustedError, match=r"lost 2 times, at last: .*no luck with"):
        fragile_study(tmp_path, "raises", max_retries=1)
    folder = tmp_path / "runs" / "study"
    reasons = [row["reason"] for row in rows(folder)]
    assert reasons == ["lost: ZeroDivisionError: no luck with this one"] * 2 + [None]
    assert optunas(folder / "optuna.journal")[-1].state == TrialState.WAITING


def test_a_damaged_image_ends_the_study_at_once_and_it_can_go_on(tmp_path: Path) -> None:
    images = tmp_path / "images"
    for split in ("train", "valid"):
        classes = {
            f"c{label}": [encoded(random_pixels(8, 8, 1, seed=label + part)) for part in (0, 100)]
            for label in range(10)
        }
        write_image_folder(images / split, classes, "png")
    damaged = images / "train" / "c3" / "1.png"
    intact = damaged.read_bytes()
    damaged.write_bytes(intact[:-20] + bytes(20))
    config = small_config(tmp_path, data=f"imagefolder:{images}", settings={"batch_size": 5})
    with pytest.raises(DataError, match=r"c3/1\.png"):
        run_tuning(digits_network(), config)
    (refused, waiting) = rows(tmp_path / "runs" / "study")
    assert (refused["state"], waiting["state"]) == ("failed", "waiting")
    assert "c3/1.png" in refused["reason"]
    damaged.write_bytes(intact)
    result = run_tuning(digits_network(), config)
    assert len(result.ended) == 3
    assert result.ended[0].params == optunas(tmp_path / "runs/study/optuna.journal")[0].params


class FillsTheDisk:
    """Fills the disk of the study when its first trial has ended."""

    def __init__(self, disk: Path) -> None:
        self.filler = disk / "filler"

    def on_start(self, result: TuningResult, data: Any) -> None:
        pass

    def on_trial(self, trial: FrozenTrial) -> None:
        if not self.filler.exists():
            try:
                self.filler.write_bytes(bytes(2**20))
            except OSError:
                return


def test_a_study_goes_on_after_its_disk_was_full(tmp_path: Path, small_disk: Path) -> None:
    journal = small_disk / "studies.journal"
    config = small_config(tmp_path, trials=6, study_storage=str(journal), grace_epochs=2)
    filling = FillsTheDisk(small_disk)
    with pytest.raises(RunError, match=r"the study storage gave way: .*; the study can be resumed"):
        run_tuning(digits_network(), config, observers=[filling])
    assert journal.read_bytes().endswith(b"\n")
    assert len(rows(tmp_path / "runs" / "study")) == len(optunas(journal))
    filling.filler.unlink()
    result = run_tuning(digits_network(), config)
    assert len(result.ended) == 6
    assert len({tuple(trial.params.values()) for trial in result.ended}) == 6
