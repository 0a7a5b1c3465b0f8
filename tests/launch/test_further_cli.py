"""The commands that a report shows, typed as they stand there."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from autoshrink_ray import Run, SearchConfig, run_search
from launch import cli
from launch.further import commands
from tests.core.report.reading import read
from tests.trainables.data.files import encoded, write_image_folder, write_parquet
from tests.trainables.data.test_downloads import write_cifar10, write_fashion_mnist
from trainables.final import trainer
from trainables.final.config import TrainConfig, TrainPlan

IMAGES = {"epochs": 1, "batch_size": 4, "train_per_class": 2, "valid_per_class": 1}
WORDS = {"epochs": 1, "batch_size": 4, "valid_batch_size": 4}


def call(*arguments: str) -> Result:
    return CliRunner().invoke(cli.app, [*arguments], env={"COLUMNS": "200"})


def pictures(count: int, size: int = 12, channels: int = 3) -> list[bytes]:
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (count, size, size, channels), np.uint8)
    return [encoded(image) for image in images]


def tables(place: Path) -> None:
    place.mkdir()
    for name, count in (("train", 30), ("valid", 6)):
        labels = [number % 3 for number in range(count)]
        write_parquet(place / f"{name}.parquet", pictures(count), labels)


def sizes_that_differ(place: Path) -> None:
    place.mkdir()
    mixed = [*pictures(2, 9), *pictures(2, 12), *pictures(2, 15)]
    for name in ("train", "valid"):
        write_parquet(place / f"{name}.parquet", mixed, [0, 1, 0, 1, 0, 1])


def folders(place: Path) -> None:
    for name in ("train", "valid"):
        write_image_folder(place / name, {"cats": pictures(4), "dogs": pictures(4)}, "png")


def texts(place: Path) -> None:
    place.mkdir()
    for name in ("train", "valid", "test"):
        (place / f"{name}.txt").write_text("the cat sat on the mat\n" * 40)


def nothing(place: Path) -> None:
    """For data that need no files."""


Writer = Callable[[Path], Any]

SOURCES: list[tuple[str, str, Writer, dict[str, Any]]] = [
    ("cnn", "digits", nothing, {}),
    ("cnn", "parquet:a place's data", tables, {}),
    ("cnn", "parquet:mixed", sizes_that_differ, {"image_size": 8}),
    ("cnn", "imagefolder:folders", folders, {}),
    ("cnn", "cifar10", write_cifar10, {"data_dir": "down loads"}),
    ("cnn", "fashion-mnist", write_fashion_mnist, {"data_dir": "more"}),
    ("cnn", "stripes:20", nothing, {}),
    ("rnn", "text:words", texts, {}),
    ("rnn", "pydoc", nothing, {}),
]


def searched(space: str, data: str, proxy: dict[str, Any]) -> Run:
    """A run of one cell."""
    settings = {"space": space, "data": data, "nodes": 2, "executor": "in-process", "name": "tiny"}
    own = {"proxy": (IMAGES if space == "cnn" else WORDS) | proxy, "tensorboard": "off"}
    small = {"stem_filters": 4, "base_width": 4} if space == "cnn" else {"hidden_size": 4}
    plugins = {"plugins": ["tests.plugins.stripes"], "macro": small}
    return run_search(SearchConfig.of(settings | own | plugins))


class PlanMadeError(Exception):
    """In place of a training that takes long."""


@pytest.mark.parametrize(("space", "data", "write", "proxy"), SOURCES)
def test_the_commands_that_a_report_shows_work_for_any_data(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    space: str,
    data: str,
    write: Writer,
    proxy: dict[str, Any],
) -> None:
    """Up to the training, whose plan is made and whose data are read and checked."""
    home = tmp_path / "a home"
    home.mkdir()
    monkeypatch.chdir(home)
    write(Path(proxy.get("data_dir") or data.partition(":")[2] or "none"))
    searched(space, data, proxy)
    assert call("report", "tiny").exit_code == 0
    text = Path("runs", "tiny", "report.html").read_text(encoding="utf-8")
    shown = [code.text for code in read(text).part("answer").all("code")]
    best, derive, train = (shlex.split(line)[1:] for line in shown)

    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    for arguments in (best, derive):
        done = call(*arguments)
        assert done.exit_code == 0, done.output
    plans: list[TrainPlan] = []

    def planned(network: Any, observers: Any, **config: Any) -> None:
        plans.append(TrainPlan.of(network, TrainConfig.of(config)))
        plans[-1].load_data()
        raise PlanMadeError

    monkeypatch.setattr(trainer, "train", planned)
    done = call(*train)
    assert isinstance(done.exception, PlanMadeError), done.output
    (plan,) = plans
    assert (plan.config.name, plan.config.storage) == ("tiny-trained", "runs")
    assert str(plan.config.data).partition(":")[0] == data.partition(":")[0]


@pytest.fixture
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """A run on data that are neither images nor text."""
    monkeypatch.chdir(tmp_path)
    own = {"space": "table", "plugins": ["tests.plugins.table"], "nodes": 3, "candidates": 1}
    return run_search(
        SearchConfig.of(own | {"executor": "in-process", "name": "n" * 100, "tensorboard": "off"})
    )


def seen(run: Run, summary: str, **config: Any) -> Run:
    """The run as if its search had seen other data."""
    object.__setattr__(run.file, "data_summary", summary)
    run.file.config.update(config)
    return run


def test_data_that_full_training_does_not_know_get_the_cell_alone(table: Run) -> None:
    (best,) = commands(table)
    assert call(*shlex.split(best.line)[1:]).exit_code == 0
    assert Path(f"{'n' * 100}.cell.json").exists()


def test_the_commands_of_an_own_space_name_its_plugins(table: Run) -> None:
    _, derive, train = commands(seen(table, "4 images of 8 x 8 x 1, 2 classes"))
    assert "--preset PRESET --channels 1 --classes 2 --image-size 8" in derive.line
    assert "--plugin tests.plugins.table" in derive.line
    assert "PRESET is one that fits" in derive.purpose
    assert "--data nothing --plugin tests.plugins.table" in train.line
    assert f"--name {'n' * 92}-trained" in train.line, "a name has at most 100 letters"


@pytest.mark.parametrize(
    ("data", "summary", "preset"),
    [
        ("text:ptb", "9 words, vocabulary of 10,000", "ptb"),
        ("text:ptb", "9 words, vocabulary of 9,999", "ptb --vocabulary 9999"),
        ("cifar10", "9 images of 32 x 32 x 3, 10 classes", "cifar"),
        ("parquet:images", "9 images of 32 x 32 x 3, 100 classes", "cifar --classes 100"),
        ("parquet:images", "9 images of 300 x 224 x 3, 1,000 classes", "imagenet --image-size 300"),
        ("parquet:images", "9 images of 224 x 224 x 3, 1,000 classes", "imagenet"),
        ("imagefolder:i", "9 images of 8 x 8 x 3, 10 classes", "digits --channels 3"),
    ],
)
def test_the_preset_fits_space_and_data(table: Run, data: str, summary: str, preset: str) -> None:
    space = "search_spaces.rnn:SPACE" if data.startswith("text") else "search_spaces.cnn:SPACE"
    run = seen(table, summary, space=space, data=data)
    assert f" --preset {preset} --plugin" in commands(run)[1].line
    assert f" --data {data} " in commands(run)[2].line


def test_a_size_that_the_search_chose_is_not_the_images_own(table: Run) -> None:
    run = seen(
        table,
        "9 images of 32 x 32 x 3, 1,000 classes",
        space="search_spaces.cnn:SPACE",
        data="parquet:s3://bucket/images",
        proxy={"image_size": 32},
    )
    _, derive, train = commands(run)
    assert " --preset imagenet --plugin" in derive.line
    assert "--data parquet:s3://bucket/images --set image_size=224 " in train.line
