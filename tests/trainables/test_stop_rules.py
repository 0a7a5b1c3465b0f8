from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from trainables.stop_rules import (
    GOES_ON,
    ImageEpoch,
    ImageStopRules,
    MovingAverage,
    TextEpoch,
    TextStopRules,
    without_improvement,
)


def image_end(
    accuracies: Sequence[float], rules: ImageStopRules | None = None
) -> tuple[int, str] | None:
    """Epoch and rule that end a training with these accuracies; None if none does."""
    rules = rules or ImageStopRules()
    history: list[ImageEpoch] = []
    for accuracy in accuracies:
        history.append(ImageEpoch(accuracy, loss=1.0, training_loss=1.0))
        if reason := rules.stop_reason(history):
            return len(history), reason
    return None


def text_end(losses: Sequence[float], rules: TextStopRules | None = None) -> tuple[int, str] | None:
    rules = rules or TextStopRules()
    history: list[TextEpoch] = []
    for loss in losses:
        history.append(TextEpoch(loss, training_loss=loss))
        if reason := rules.stop_reason(history):
            return len(history), reason
    return None


def test_moving_average_starts_at_its_first_value() -> None:
    average = MovingAverage(0.9)
    assert average.update(2.0) == 2.0
    assert average.update(1.0) == pytest.approx(1.9)
    assert average.update(1.0) == pytest.approx(1.81)
    assert average.value == pytest.approx(1.81)


@given(
    st.floats(0, 0.999),
    st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=30),
)
def test_moving_average_is_the_weighted_sum(decay: float, values: list[float]) -> None:
    average = MovingAverage(decay)
    for value in values:
        average.update(value)
    first, *rest = reversed(values)  # newest first
    weights = [(1 - decay) * decay**age for age in range(len(rest))] + [decay ** len(rest)]
    expected = sum(w * v for w, v in zip(weights, [first, *rest], strict=True))
    assert average.value == pytest.approx(expected, abs=1e-6)


def test_twenty_epochs_are_the_most() -> None:
    assert image_end([0.3 + 0.01 * epoch for epoch in range(30)]) == (20, "epochs")


@pytest.mark.parametrize(
    ("accuracies", "end"),
    [
        ([0.5, 0.4, 0.4, 0.4, 0.4], None),
        ([0.5, 0.4, 0.4, 0.4, 0.4, 0.4], (6, "no_improvement")),
        ([0.5, 0.5, 0.5, 0.5, 0.5, 0.5], (6, "no_improvement")),  # equal is not better
        ([0.5, 0.4, 0.4, 0.4, 0.4, 0.6, 0.5, 0.5, 0.5, 0.5], None),  # starts to count again
        ([0.5, 0.4, 0.4, 0.4, 0.4, 0.6, 0.5, 0.5, 0.5, 0.5, 0.5], (11, "no_improvement")),
    ],
)
def test_five_epochs_without_a_better_accuracy(
    accuracies: list[float], end: tuple[int, str] | None
) -> None:
    assert image_end(accuracies) == end


@pytest.mark.parametrize(
    ("accuracies", "end"),
    [
        ([0.1, 0.11, 0.12, 0.19], (4, "slow_start")),
        ([0.1, 0.11, 0.12, 0.2], None),
        ([0.1, 0.3, 0.12, 0.19], (4, "slow_start")),  # the fourth epoch's, not the best
        ([0.1, 0.11, 0.12, 0.2, 0.1], None),  # asked once
    ],
)
def test_slow_start_is_asked_about_after_the_fourth_epoch(
    accuracies: list[float], end: tuple[int, str] | None
) -> None:
    assert image_end(accuracies) == end


@pytest.mark.parametrize(("loss", "reason"), [(3.0, GOES_ON), (3.1, "overfitting")])
def test_validation_loss_above_three_times_training_loss(loss: float, reason: str) -> None:
    assert ImageStopRules().stop_reason([ImageEpoch(0.5, loss, training_loss=1.0)]) == reason
    assert TextStopRules().stop_reason([TextEpoch(loss, training_loss=1.0)]) == reason


def test_image_rules_are_asked_in_order() -> None:
    all_at_once = ImageEpoch(0.1, loss=9.0, training_loss=1.0)
    everything = ImageStopRules(epochs=4, patience=3)
    assert everything.stop_reason([all_at_once] * 4) == "no_improvement"
    assert ImageStopRules(epochs=4).stop_reason([all_at_once] * 4) == "slow_start"
    fast = ImageEpoch(0.5, loss=9.0, training_loss=1.0)
    assert ImageStopRules(epochs=4).stop_reason([fast] * 4) == "overfitting"


def test_ten_epochs_of_text_are_the_most() -> None:
    assert text_end([6 - 0.1 * epoch for epoch in range(20)]) == (10, "epochs")


@pytest.mark.parametrize(
    ("losses", "end"),
    [
        ([5.0, 5.1, 5.1, 5.1], None),
        ([5.0, 5.1, 5.1, 5.1, 5.1], (5, "no_improvement")),
        ([5.0, 5.0, 5.0, 5.0, 5.0], (5, "no_improvement")),
        ([5.0, 5.1, 5.1, 5.1, 4.9, 5.0, 5.0, 5.0], None),
    ],
)
def test_four_epochs_without_a_better_loss(
    losses: list[float], end: tuple[int, str] | None
) -> None:
    assert text_end(losses) == end


@given(st.lists(st.integers(0, 5), min_size=1, max_size=12))
def test_without_improvement_counts_from_the_first_best(values: list[int]) -> None:
    waited, best = 0, float("inf")
    for value in values:
        waited, best = (0, value) if value < best else (waited + 1, best)
    assert without_improvement(values) == waited


@pytest.mark.parametrize(
    ("rules", "setting"),
    [
        (ImageStopRules, {"epochs": 0}),
        (ImageStopRules, {"patience": 0}),
        (ImageStopRules, {"slow_start_epoch": 0}),
        (ImageStopRules, {"slow_start_accuracy": 1.1}),
        (ImageStopRules, {"diverged_ratio": 0}),
        (ImageStopRules, {"diverged_ratio": float("inf")}),
        (ImageStopRules, {"converged_accuracy": -0.1}),
        (ImageStopRules, {"average_decay": 1.0}),
        (TextStopRules, {"epochs": 0}),
        (TextStopRules, {"patience": 0}),
        (TextStopRules, {"diverged_ratio": float("nan")}),
        (TextStopRules, {"average_decay": -0.1}),
    ],
)
def test_settings_out_of_range_are_refused(rules: Any, setting: dict[str, float]) -> None:
    with pytest.raises(ValidationError, match=next(iter(setting))):
        rules(**setting)
