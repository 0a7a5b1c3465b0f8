"""The files of networks, trainings, studies and data that can be damaged, each with its reader."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml

from autoshrink_ray.contracts import ImageShape
from autoshrink_ray.errors import ConfigError
from autoshrink_ray.files import digest
from autoshrink_ray.run import require_same
from autoshrink_ray.storage import Folder
from launch.epochs import training_rows
from launch.sources import network_at
from search_spaces import cnn
from search_spaces.build import build
from search_spaces.network import NetworkFile
from tests.mutations import Subject
from tests.trainables.data.files import encoded, random_pixels, request, write_parquet
from tests.trainables.final.text_support import network_file, training
from trainables.data.parquet_tables import open_table, parquet
from trainables.final.checkpoints import Checkpoints
from trainables.final.folder import TrainFile, TrainingRun, write_history
from trainables.final.weights import WeightsCard, load_weights, read_weights, write_weights
from trainables.tuning.record import STUDY, StudyFile
from trainables.tuning.space import read_space

NETWORK = network_file()
RECORD: dict[str, int | float] = {"epoch": 1, "attempt": 0, "seconds": 0.5, "perplexity": 3.0}


def _image_network() -> NetworkFile:
    macro = cnn.CnnMacro(stem_filters=4, base_width=4, scale=(1, 2), pools=(1, 2))
    shape = ImageShape(channels=1, height=8, width=8, classes=3)
    return NetworkFile.of("cnn", cnn.SPACE.initial(3, 0), macro, shape, recipe="digits")


def _network(whole: NetworkFile) -> Callable[[Path], Subject]:
    def subject(folder: Path) -> Subject:
        path = folder / "it.network.json"
        path.parent.mkdir(parents=True, exist_ok=True)

        def read(content: bytes) -> None:
            path.write_bytes(content)
            found = network_at(str(path))
            _ = found.sha256, found.macro_settings, found.topology.key
            found.to_json()

        return Subject(whole.to_json(), "json", read)

    return subject


def _training(folder: Path) -> Folder:
    place = Folder(str(folder / "night"))
    TrainFile(
        name="night",
        created="2026-01-01T00:00:00+00:00",
        identity={"seed": 1, "recipe": {"epochs": 3}},
        config={"data": "pydoc"},
        quality="perplexity",
        data_summary="a few",
        versions={"python": "3.11"},
    ).write(place)
    place.write("network.json", NETWORK.to_json())
    write_history(place, [RECORD, RECORD | {"epoch": 2}])
    checkpoints = Checkpoints(place.child("checkpoints"), "perplexity")
    checkpoints.write(training().state(), [RECORD])
    module = build(NETWORK)
    card = WeightsCard(network=NETWORK.sha256, inputs={}, metrics={"perplexity": 3.0})
    write_weights(place, "weights.safetensors", module.state_dict(), card)
    return place


def _use_training(place: Folder) -> None:
    training_rows(str(Path(place.path).parent))
    run = TrainingRun(place.location)
    _ = run.status, run.message, run.network.sha256
    run.to_dict()


def _of_training(name: str, form: Any) -> Callable[[Path], Subject]:
    def subject(folder: Path) -> Subject:
        place = _training(folder)
        path = Path(place.path, name)

        def read(content: bytes) -> None:
            path.write_bytes(content)
            _use_training(place)

        return Subject(path.read_bytes(), form, read)

    return subject


def _use_checkpoints(place: Folder) -> None:
    checkpoints = Checkpoints(place.child("checkpoints"), "perplexity")
    checkpoints.history()
    for found in (checkpoints.latest(), checkpoints.best()):
        if found is not None:
            training().restore(found.state)
    checkpoints.read(1, 0)


def _of_checkpoint(name: str, form: Any) -> Callable[[Path], Subject]:
    def subject(folder: Path) -> Subject:
        place = _training(folder)
        path = Path(place.path, "checkpoints", name)

        def read(content: bytes) -> None:
            path.write_bytes(content)
            _use_checkpoints(place)

        return Subject(path.read_bytes(), form, read)

    return subject


def signed_checkpoint_tensors(folder: Path) -> Subject:
    place = _training(folder)
    tensors = Path(place.path, "checkpoints", "epoch-00001.safetensors")
    manifest = Path(place.path, "checkpoints", "epoch-00001.json")
    stated = json.loads(manifest.read_bytes())

    def read(content: bytes) -> None:
        tensors.write_bytes(content)
        new = {"sha256": digest(content), "size": len(content)}
        manifest.write_text(json.dumps(stated | new))
        _use_checkpoints(place)

    return Subject(tensors.read_bytes(), "safetensors", read)


def weights(folder: Path) -> Subject:
    place = _training(folder)
    module = build(NETWORK)

    def read(content: bytes) -> None:
        tensors, _ = read_weights(content, "w")
        load_weights(module, tensors)

    return Subject(place.read("weights.safetensors"), "safetensors", read)


def study(folder: Path) -> Subject:
    place = Folder(str(folder))
    identity = {"seed": 1, "recipe": {"epochs": 3}, "ranges": {"macro.x": [1, 2]}}
    StudyFile(
        name="study",
        created="2026-01-01T00:00:00+00:00",
        identity=identity,
        network=NETWORK.model_dump(mode="json"),
        data="pydoc",
        data_summary="a few",
        study_storage="optuna.journal",
        versions={"python": "3.11"},
    ).write(place)

    def read(content: bytes) -> None:
        (folder / STUDY).write_bytes(content)
        found = StudyFile.read(place)
        with suppress(ConfigError):
            require_same("study", found.identity, identity)

    return Subject(place.read(STUDY), "yaml", read)


def ranges(folder: Path) -> Subject:
    path = folder / "ranges.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)

    def read(content: bytes) -> None:
        path.write_bytes(content)
        for found in read_space(path).values():
            _ = found.distribution, found.ends, str(found)

    choices = {"macro.scale": [1, "a", [2]], "recipe.x": {"low": 1, "high": 10, "log": True}}
    return Subject(yaml.safe_dump(choices).encode(), "yaml", read)


def image_table(folder: Path) -> Subject:
    folder.mkdir(parents=True, exist_ok=True)
    pictures = [encoded(image) for image in random_pixels(6, 5, 5, 3)]
    for name in ("train.parquet", "valid.parquet"):
        write_parquet(folder / name, pictures, [0, 1, 2, 0, 1, 2], {"classes": "a,b,c"})
    path = folder / "train.parquet"
    options = {"train_per_class": 2, "valid_per_class": 1}

    def read(content: bytes) -> None:
        path.write_bytes(content)
        parquet(request(f"parquet:{folder}", **options))
        with open_table(Folder(str(folder)), path.name) as table:
            for group in range(len(table.group_sizes())):
                list(table.scan(group))

    return Subject(path.read_bytes(), "parquet", read)


_CHECKPOINT = "epoch-00001"

SUBJECTS: dict[str, Callable[[Path], Subject]] = {
    "network file, images": _network(_image_network()),
    "network file, text": _network(NETWORK),
    "train.yaml": _of_training("train.yaml", "yaml"),
    "network of a training": _of_training("network.json", "json"),
    "history": _of_training("history.parquet", "parquet"),
    "checkpoint manifest": _of_checkpoint(f"{_CHECKPOINT}.json", "json"),
    "checkpoint tensors": _of_checkpoint(f"{_CHECKPOINT}.safetensors", "safetensors"),
    "checkpoint tensors, signed again": signed_checkpoint_tensors,
    "weights": weights,
    "tune.yaml": study,
    "ranges of a study": ranges,
    "image table": image_table,
}
"""By name; each takes a folder of its own."""
