"""Full training on Ray Train: lost workers, several workers, and what is refused."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import ray
import torch
from ray.core.generated.autoscaler_pb2 import ClusterConfig
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from autoshrink_ray import files, lease
from autoshrink_ray.contracts import ProxyData
from autoshrink_ray.errors import (
    ConfigError,
    RetriesExhaustedError,
    RunHeldError,
    RunInterruptedError,
    TakenOverError,
)
from autoshrink_ray.storage import Folder, join
from search_spaces.network import NetworkFile
from search_spaces.rnn import RnnMacro
from tests.plugins.mortal import MortalMacro
from tests.ray.test_cluster import report
from tests.ray.training import WORDS, same, weights_of, without_ray, write_text
from tests.trainables.final.text_support import CELL, SMALL
from trainables.data import TextSet
from trainables.final import trainer
from trainables.final.config import TrainConfig
from trainables.final.folder import TrainingRun
from trainables.final.reports import TrainObserver
from trainables.final.trainer import require_reader, require_workers, train

pytestmark = [
    pytest.mark.ray,
    pytest.mark.usefixtures("cluster"),
    # Ray Train makes a context of Ray Data, which warns of itself.
    pytest.mark.filterwarnings("ignore::Warning:ray.data"),
]

EPOCHS = 40
FIVE = {"batch_size": 5}


def network(space: str, macro: RnnMacro) -> NetworkFile:
    words = np.zeros(2, np.int32)
    shape = TextSet(words, words, words, tuple(map(str, range(WORDS)))).shape
    return NetworkFile.of(space, CELL, macro, shape, recipe="ptb")


@pytest.fixture
def config(tmp_path: Path) -> TrainConfig:
    """A training of 40 short epochs that averages in the end."""
    return TrainConfig(
        data=write_text(tmp_path / "text"),
        settings=SMALL | {"epochs": EPOCHS},
        storage=str(tmp_path / "runs"),
        name="tiny",
        plugins=("tests.plugins.mortal",),
    )


class Notes(TrainObserver):
    """Notes what it hears, and does something when it hears of an epoch."""

    def __init__(self, action: Callable[[int], Any] = lambda epoch: None) -> None:
        self.epochs: list[int] = []
        self.texts: list[str] = []
        self.begun_after = -1
        self._action = action

    def on_start(self, run: TrainingRun, data: ProxyData) -> None:
        self.begun_after = len(run.history)

    def on_epoch(self, record: Mapping[str, float]) -> None:
        self.epochs.append(int(record["epoch"]))
        self._action(self.epochs[-1])

    def on_note(self, text: str) -> None:
        self.texts.append(text)


def kill_workers(folder: Path) -> None:
    """Kills the processes that build networks, but not this one."""
    for path in folder.glob("pid-*"):
        path.unlink()
        number = int(path.name.removeprefix("pid-"))
        if number != os.getpid():
            os.kill(number, signal.SIGKILL)


@pytest.mark.timeout(900)
def test_a_training_whose_workers_die_goes_on_and_ends_the_same(
    config: TrainConfig, tmp_path: Path
) -> None:
    mortal = network("mortal", MortalMacro(hidden_size=8, folder=str(tmp_path)))
    deaths = [5, 15]

    def die(epoch: int) -> None:
        if deaths and epoch >= deaths[0]:
            del deaths[0]
            kill_workers(tmp_path)

    notes = Notes(die)
    with pytest.raises(RetriesExhaustedError, match=r"lost 2 times, .*goes on from its last"):
        train(mortal, config, observers=[notes], max_retries=1)
    assert not deaths
    assert [text.partition(" (")[0] for text in notes.texts] == ["the workers are lost"]
    assert notes.texts[0].endswith("going on from the last checkpoint, retry 1 of 1")
    run = TrainingRun("tiny", config.storage)
    assert (run.status, "lost 2 times" in run.message) == ("failed", True)
    assert 15 <= len(run.history) < EPOCHS

    again = Notes()
    run = train(mortal, config, observers=[again])
    assert run.status == "finished"
    assert again.begun_after >= 15
    assert again.epochs == list(range(again.begun_after + 1, EPOCHS + 1))
    assert [record["epoch"] for record in run.history] == list(range(1, EPOCHS + 1))
    assert same(weights_of(run), without_ray(mortal, config, tmp_path / "reference"))


def test_a_signal_stops_a_training_and_its_workers(config: TrainConfig) -> None:
    def stop(epoch: int) -> None:
        if epoch == 3:
            signal.raise_signal(signal.SIGINT)

    plain = network("rnn", RnnMacro(hidden_size=8))
    with pytest.raises(RunInterruptedError) as caught:
        train(plain, config, observers=[Notes(stop)])
    assert caught.value.exit_code == 130
    run = TrainingRun("tiny", config.storage)
    assert run.status == "interrupted"
    deadline = time.monotonic() + 60
    while ray.available_resources().get("CPU", 0) < 4 and time.monotonic() < deadline:
        time.sleep(0.1)
    assert ray.available_resources()["CPU"] == 4, "something of the training is still there"
    assert 3 <= len(TrainingRun("tiny", config.storage).history) < EPOCHS


def test_a_training_that_was_taken_over_stops_and_leaves_the_rest_to_the_other_driver(
    config: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "HEARTBEAT", 0.05)
    folder = Folder(join(config.storage, "tiny"))
    other = lease.Lease.mine()

    def take_over(epoch: int) -> None:
        if epoch == 3:
            folder.write(files.LEASE, other.model_dump_json().encode())

    plain = network("rnn", RnnMacro(hidden_size=8))
    longer = SMALL | {"epochs": 2_000}  # so that it goes on until the takeover is noticed
    with pytest.raises(TakenOverError, match="another driver took this run over"):
        train(plain, config, observers=[Notes(take_over)], settings=longer)
    assert TrainingRun("tiny", config.storage).status == "open"
    assert lease.Lease.model_validate_json(folder.read(files.LEASE)) == other


@pytest.fixture(scope="module")
def pair(cluster: None, tmp_path_factory: pytest.TempPathFactory) -> TrainingRun:
    """A training with two workers."""
    place = tmp_path_factory.mktemp("pair")
    config = TrainConfig(
        data=write_text(place / "text"),
        settings=SMALL | {"epochs": 5},
        storage=f"file://{place}/runs",
        name="pair",
        workers=2,
    )
    return train(network("rnn", RnnMacro(hidden_size=8)), config)


def again(run: TrainingRun, **changes: Any) -> TrainingRun:
    """The same training once more, with changes."""
    return train(run.network, TrainConfig.of(run.file.config | changes))


def test_two_workers_train_as_one_does(pair: TrainingRun, tmp_path: Path) -> None:
    alone = without_ray(pair.network, TrainConfig.of(pair.file.config), tmp_path)
    together = weights_of(pair)
    assert together.keys() == alone.keys()
    for name, tensor in alone.items():
        torch.testing.assert_close(together[name], tensor, rtol=1e-2, atol=1e-3)


def test_everything_is_in_the_folder(pair: TrainingRun) -> None:
    assert pair.status == "finished"
    record = min(pair.history, key=lambda record: record["perplexity"])
    assert pair.card.metrics["perplexity"] == record["perplexity"]
    assert pair.card.provenance["epoch"] == record["epoch"]
    assert pair.card.provenance["training"] == "pair"
    assert pair.card.network == pair.network.sha256
    assert len(pair.card.inputs["vocabulary"]) == WORDS
    accumulator = EventAccumulator(f"{pair.folder.path}/tensorboard")
    accumulator.Reload()
    tags = {"loss/training", "loss/valid", "perplexity", "learning rate", "seconds"}
    assert set(accumulator.Tags()["scalars"]) == tags
    curve = [(event.step, event.value) for event in accumulator.Scalars("perplexity")]
    expected = [(r["epoch"], pytest.approx(r["perplexity"], rel=1e-6)) for r in pair.history]
    assert curve == expected


def test_a_finished_training_is_left_alone(
    pair: TrainingRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: Any, **more: Any) -> None:
        raise AssertionError("nothing is left to do")

    monkeypatch.setattr(trainer, "fit", refuse)
    before = sorted(pair.folder.files(recursive=True))
    assert again(pair).status == "finished"
    assert sorted(pair.folder.files(recursive=True)) == before


@pytest.mark.parametrize(
    ("changes", "difference"),
    [
        ({"settings": SMALL | {"epochs": 6}}, "recipe.epochs was 5, now 6"),
        ({"seed": 1}, "seed was 0, now 1"),
        ({"workers": 1}, "workers was 2, now 1"),
        ({"cpus_per_worker": 2}, "threads was 1, now 2"),
        ({"checkpoint_every": 2}, "checkpoint_every was 1, now 2"),
    ],
)
def test_a_name_in_use_with_another_training_is_refused(
    pair: TrainingRun, changes: dict[str, Any], difference: str
) -> None:
    with pytest.raises(ConfigError, match=f"'pair' exists with another .*{difference}"):
        again(pair, **changes)


def test_the_name_of_a_search_is_refused(pair: TrainingRun) -> None:
    storage = Folder(str(pair.file.config["storage"]))
    storage.write("searched/run.yaml", b"")
    with pytest.raises(ConfigError, match="belongs to something else"):
        again(pair, name="searched")


def test_a_second_driver_is_refused(pair: TrainingRun, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "HEARTBEAT", 0.05)
    folder = Folder(join(str(pair.file.config["storage"]), "busy"))
    with lease.held(folder), pytest.raises(RunHeldError, match="is being driven by process"):
        again(pair, name="busy")
    assert not list(folder.files())


def test_a_storage_that_workers_do_not_share_is_refused_and_nothing_is_left(
    config: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainer, "digest", lambda content: "of the driver's own disk")
    with pytest.raises(ConfigError, match=r"is not the driver's: give --storage .* s3://"):
        train(network("rnn", RnnMacro(hidden_size=8)), config)
    assert list(Folder(config.storage).folders()) == []


def test_more_workers_than_the_cluster_has_are_refused_at_once(config: TrainConfig) -> None:
    message = r"asks for 5 workers of 1 CPUs and 0 GPUs each, and the cluster has room for 4;"
    with pytest.raises(ConfigError, match=message):
        train(network("rnn", RnnMacro(hidden_size=8)), config, workers=5, settings=FIVE)
    with pytest.raises(ConfigError, match=r"1 workers of 1 CPUs and 1 GPUs .* has room for 0;"):
        train(network("rnn", RnnMacro(hidden_size=8)), config, gpus_per_worker=1)
    assert list(Folder(config.storage).folders()) == []


def test_streamed_data_need_a_cpu_beside_the_workers() -> None:
    require_reader(TrainConfig(workers=3))
    with pytest.raises(ConfigError, match="asks for 5 CPUs, and the cluster has 4"):
        require_reader(TrainConfig(workers=2, cpus_per_worker=2))


@pytest.fixture
def autoscaler() -> Iterator[None]:
    """An autoscaler that could start up to two nodes with 8 CPUs and 4 GPUs."""
    config = ClusterConfig()
    config.node_group_configs.add(name="gpu", max_count=2).resources.update({"CPU": 8, "GPU": 4})
    report(config)
    yield
    report(ClusterConfig())


@pytest.mark.usefixtures("autoscaler")
def test_nodes_that_could_be_started_count_as_room() -> None:
    require_workers(TrainConfig(workers=20))
    require_reader(TrainConfig(workers=20))
    require_workers(TrainConfig(workers=8, gpus_per_worker=1))
    with pytest.raises(ConfigError, match="has room for 4 and could start 16 more"):
        require_workers(TrainConfig(workers=21))
    with pytest.raises(ConfigError, match="has room for 0 and could start 8 more"):
        require_workers(TrainConfig(workers=9, gpus_per_worker=1))
