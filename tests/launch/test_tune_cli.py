"""`tune` as a user types it: what is refused."""

from __future__ import annotations

import shlex
from itertools import pairwise
from pathlib import Path

import pytest
from click.testing import Result
from optuna.trial import create_trial
from typer.testing import CliRunner

from autoshrink_ray.storage import Folder
from launch.cli import app
from launch.options import recipe_settings
from launch.studies import train_command
from tests.trainables.tuning import digits_network, small_config
from trainables.final.image_recipe import ImageRecipe
from trainables.final.recipes import recipe
from trainables.tuning.plan import TuningPlan
from trainables.tuning.results import TuningResult
from trainables.tuning.space import Choice


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder of the test's own, with a network in it."""
    monkeypatch.chdir(tmp_path)
    Path("network.json").write_bytes(digits_network().to_json())


def tune(arguments: str) -> Result:
    return CliRunner().invoke(app, ["tune", *shlex.split(arguments)], env={"COLUMNS": "300"})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--trials 0", "trials: Input should be greater than or equal to 1, got 0"),
        ("--trials 2 --objective speed", "objective: Input should be 'quality' or"),
        ("--trials 2 --vary macro.colour=1:2", "unknown key 'macro.colour' to vary; choose from"),
        ("--trials 2 --vary recipe.l2=2:1", "recipe.l2: low is below high, got 2 and 1"),
        ("--trials 2 --vary recipe.l2", "--vary is KEY=LOW:HIGH"),
        ("--trials 2 --space none.yaml", "cannot read the configuration file none.yaml"),
        ("--trials 2 --vary recipe.l2=0:1 --set l2=1", "recipe.l2 is varied and set"),
        ("--trials 2 --set colour=1", "unknown recipe setting colour"),
        ("--trials 2 --recipe ptb", "recipe 'ptb' is for text networks"),
        ("--trials 2 --preset digits", "network.json"),
        ("--trials 2 --data fashion", "unknown data set 'fashion'"),
        ("--trials 2 --data pydoc", "pydoc"),
        ("--trials 2 --objective quality-macs --grace-epochs 1", "grace_epochs belongs to"),
        ("--trials 2 --population 8", "population belongs to objective quality-macs"),
        ("--trials 2 --study-storage nodb://x", "a study storage is a database URL"),
        ("--trials 2 --study-storage sqlite:////no/x.db", "cannot be used: "),
        ("--trials 2 --storage network.json", "cannot write"),
        ("--trials 2 --name taken", "the name 'taken' belongs to something else"),
        ("--trials 2 --cpus-per-trial 0", "cpus_per_trial: "),
        ("--trials 2 --set l2=2020-13-45", "--set l2=VALUE takes a value as in YAML, got '2020"),
        ("--trials 2 --vary recipe.l2=2020-01-01,2021-01-01", "recipe.l2: "),
        ("--trials 2 --reduction-factor 1e200", "reduction_factor: Input should be less than"),
        ("--trials 2 --reduction-factor 1.0000001", "reduction_factor: Input should be greater"),
        ("--trials 2 --vary recipe.mean=[0.4],[0.5]", "recipe.mean cannot be varied: the data are"),
        (
            "--trials 2 --vary recipe.batch_size=8,2000",
            "batch_size = 2000: the training images fill",
        ),
        ("--trials 2 --plugin no.such.module", "a plug-in is an importable module"),
    ],
)
def test_bad_input_gives_one_message_and_exit_code_2(arguments: str, message: str) -> None:
    Path("runs/taken").mkdir(parents=True)
    Path("runs/taken/run.yaml").touch()
    batch = "" if "batch_size" in arguments else "--set batch_size=16"
    done = tune(f"network.json {arguments} --set warmup_epochs=0 --epochs 2 {batch}")
    assert done.exit_code == 2
    assert message in " ".join(done.stderr.split())
    assert "Traceback" not in done.output
    assert not Path("runs/taken/tune.yaml").exists()


def test_a_network_that_is_not_there_is_named() -> None:
    done = tune("nothing.json --trials 2")
    assert done.exit_code == 2
    assert "no network at nothing.json" in done.stderr
    assert "a cell or a run becomes one with --preset" in done.stderr


def test_the_command_that_trains_the_best_network_gives_its_recipe_again(tmp_path: Path) -> None:
    ranges = {
        "recipe.ema_decay": {"values": [None, 0.5]},
        "recipe.crop_area": {"values": [None, [0.5, 1.0]]},
        "recipe.flip": {"values": [True, False]},
        "recipe.optimiser": {"values": ["sgd", "rmsprop_tf"]},
        "recipe.l2": {"low": 1e-7, "high": 1e-3},
    }
    config = small_config(tmp_path, ranges=ranges, settings={"colour_jitter": 0, "erasing": 1e-5})
    plan = TuningPlan.of(digits_network(), config)
    for place in (0, -1):
        params = {
            key: found.labels[place] if isinstance(found, Choice) else found.ends[place]
            for key, found in plan.ranges.items()
        }
        distributions = {key: found.distribution for key, found in plan.ranges.items()}
        trial = create_trial(params=params, distributions=distributions, value=0.5)
        result = TuningResult("study", Folder("runs/study"), "journal", plan, [trial])
        words = shlex.split(train_command(result, trial))
        sets = [word for option, word in pairwise(words) if option == "--set"]
        again = recipe(ImageRecipe, "digits", recipe_settings({"changes": sets}))
        assert again == plan.subject.variant(result.settings(trial)).recipe


def test_help_says_why_two_objectives_stop_no_trial() -> None:
    text = " ".join(tune("--help").stdout.replace("│", " ").split())
    assert "every trial is trained to its end, since trials stopped early cannot be" in text
