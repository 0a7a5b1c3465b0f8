"""`verify` where candidates were trained again: by itself, or because their evaluation was lost."""

from __future__ import annotations

from pathlib import Path

import pytest

from autoshrink_ray import Run, run_search
from autoshrink_ray.verify import verify
from tests.core.processes import noisy, quick
from tests.core.runs import decisions, killed
from tests.core.verifying import (
    CHECKS,
    change,
    configure,
    contradiction,
    names,
    object_of,
    set_in,
)
from tests.plugins.table import Proxy


class Fast(Proxy):
    """Settings as `--fast` makes them."""

    deterministic: bool = False


@pytest.mark.parametrize("noise", [0.0, 0.25])
def test_an_evaluation_that_was_lost_and_measured_again_is_no_contradiction(
    storage: Path, noise: float
) -> None:
    before = decisions(run_search(quick(storage)))
    folder = storage / "run"
    object_of(folder, "round-002-candidate-0001").unlink()
    for end in (folder / "ledger").glob("*.end.json"):
        end.unlink()
    with noisy(noise):
        assert decisions(run_search(quick(storage))) == before
    answers = {check.name: check.answer for check in verify(Run(str(folder)))}
    assert list(answers) == CHECKS
    assert "lost after that and measured again: 1," in answers["decisions"]
    if noise:
        assert "with another score: 1 (search 0, round 2, candidate 1: " in answers["decisions"]
    else:
        assert answers["decisions"].endswith("with another score: 0")


def test_training_again_finds_what_the_ledger_alone_cannot_tell(storage: Path) -> None:
    """Everything follows from the measurements, and these were not what training gives."""
    with noisy(0.01):
        run_search(quick(storage))
    folder = storage / "run"
    assert names(folder) == CHECKS
    said = contradiction(folder, re_evaluate=1)
    assert " gave {'accuracy': " in said
    assert " and now gives {'accuracy': " in said


def test_a_run_without_deterministic_algorithms_is_told_that_differences_are_expected(
    storage: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.plugins.table.TableTask.Proxy", Fast)
    run_search(quick(storage, name="same"))
    with noisy(0.01):
        run_search(quick(storage))
    answers = {
        name: list(verify(Run(str(storage / name)), re_evaluate=2))[-1].answer
        for name in ("run", "same")
    }
    assert answers["run"].startswith("0 of the 2 trainings that were repeated give the same")
    assert answers["same"].startswith("2 of the 2 trainings that were repeated give the same")
    assert all("differences are expected" in answer for answer in answers.values())
    assert " and now gives {'accuracy': " in answers["run"]


def test_a_changed_curve_of_an_open_round_is_found_by_training_again(storage: Path) -> None:
    killed(quick(storage), 2)
    folder = storage / "run"
    change(object_of(folder, "round-001-candidate-0001"), set_in("measurement", "curve", to=[0.5]))
    assert names(folder) == CHECKS
    assert "candidate 1 gave" in contradiction(folder, re_evaluate=2)


def test_the_seed_chooses_what_is_trained_again(storage: Path) -> None:
    with noisy(0.01):
        run_search(quick(storage))
    said = {contradiction(storage / "run", re_evaluate=1, seed=seed) for seed in range(6)}
    assert len(said) > 1
    assert contradiction(storage / "run", re_evaluate=1, seed=3) in said


def test_a_time_limit_of_the_run_does_not_end_the_check(storage: Path) -> None:
    """The limit ends the process that trains, which here is the one that checks."""
    killed(quick(storage), 3)
    configure(storage / "run", "config", trial_timeout=1e-6, executor="tune")
    assert names(storage / "run", re_evaluate=3) == [*CHECKS, "measurements"]
