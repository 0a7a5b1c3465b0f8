"""The comparison that lets an exported file through, or not."""

from __future__ import annotations

import dataclasses
import math
import re
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from autoshrink_ray import register_space
from autoshrink_ray.errors import ConfigError, DataError, RunError
from search_spaces.network import NetworkFile
from tests.trainables.exporting import image_network, real_inputs, text_network, trained
from trainables.export.card import Parity
from trainables.export.parity import check_parity
from trainables.export.unit import Runner, Tensors, Unit, sequences, unit


def unit_of(network: NetworkFile) -> Unit:
    return unit(network, trained(network)[1])


def check(network: NetworkFile, run: Runner, tolerance: float = 1e-3) -> Parity:
    calls = sequences(network, real_inputs(network))
    return check_parity(unit_of(network), run, calls, tolerance, "test")


def off_by(own: Unit, difference: float, output: int = 0) -> Runner:
    """Runs `own` and changes one number of one output."""

    def run(inputs: Tensors) -> Tensors:
        outputs = [tensor.clone() for tensor in own(inputs)]
        outputs[output].view(-1)[-1] += difference
        return tuple(outputs)

    return run


def test_what_is_equal_passes() -> None:
    network = image_network()
    parity = check(network, unit_of(network))
    assert (parity.largest_difference, parity.same_predictions) == (0, True)
    assert (parity.inputs, parity.batch_sizes) == (9, (1, 8))


def test_differences_up_to_the_tolerance_pass_and_are_told() -> None:
    network = image_network()
    parity = check(network, off_by(unit_of(network), 0.25), tolerance=0.3)
    assert parity.largest_difference == pytest.approx(0.25)


def test_large_outputs_may_differ_in_proportion() -> None:
    network = image_network()
    own = unit_of(network)
    large = dataclasses.replace(own, module=_Times(own.module, 1e6))
    calls = sequences(network, real_inputs(network))
    parity = check_parity(large, off_by(large, 1.0), calls, 1e-3, "test")
    assert parity.largest_output > 1e4
    with pytest.raises(RunError, match=r"allowed is .* \(tolerance 1e-07, largest output"):
        check_parity(large, off_by(large, 1.0), calls, 1e-7, "test")


def test_an_infinite_output_is_refused() -> None:
    network = image_network()
    own = unit_of(network)
    endless = dataclasses.replace(own, module=_Times(own.module, math.inf))
    with pytest.raises(RunError, match="does not compute what the network does"):
        check_parity(endless, own, sequences(network, real_inputs(network)), 1e-3, "test")


class _Times(nn.Module):
    def __init__(self, module: nn.Module, factor: float) -> None:
        super().__init__()
        self.module, self.factor = module, factor

    def forward(self, images: Tensor) -> Any:
        return self.module(images) * self.factor


def test_other_predictions_are_told() -> None:
    network = image_network()
    parity = check(network, off_by(unit_of(network), 100.0), tolerance=200)
    assert not parity.same_predictions


@pytest.mark.parametrize("difference", [0.25, float("nan"), float("inf")])
def test_a_larger_difference_is_refused_with_both_numbers(difference: float) -> None:
    network = image_network()
    told = re.escape(f"largest difference on real inputs is {difference:.3g}, allowed is 0.001")
    with pytest.raises(RunError, match=told):
        check(network, off_by(unit_of(network), difference))


def test_a_difference_in_the_state_counts() -> None:
    network = text_network()
    with pytest.raises(RunError, match="largest difference"):
        check(network, off_by(unit_of(network), 0.25, output=1))


def test_the_state_is_carried_through_the_words() -> None:
    network = text_network()
    own = unit_of(network)

    def forgetful(inputs: Tensors) -> Tensors:
        return own((inputs[0], torch.zeros_like(inputs[1])))

    with pytest.raises(RunError, match="largest difference"):
        check(network, forgetful)


def test_another_shape_is_refused() -> None:
    network = image_network()
    own = unit_of(network)
    with pytest.raises(RunError, match=r"logits has shape \(1, 1\), the network's \(1, 10\)"):
        check(network, lambda inputs: (own(inputs)[0][:, :1],))


def test_a_step_at_a_time_is_the_whole_segment_at_once() -> None:
    network = text_network()
    module, weights, _ = trained(network)
    step = unit(network, weights)
    words, state = real_inputs(network, 20), step.state(3)
    expected, last = module(words, *state)
    for row, logits in zip(words, expected, strict=True):
        got, *state = step((row, *state))
        torch.testing.assert_close(got, logits.detach())
    torch.testing.assert_close(state[0], last.detach())


def test_building_a_unit_leaves_the_random_numbers_alone() -> None:
    network = image_network()
    weights = trained(network)[1]
    before = torch.random.get_rng_state()
    unit(network, weights)
    assert torch.equal(before, torch.random.get_rng_state())


@pytest.mark.parametrize(
    "inputs", [torch.zeros(9, 3), torch.zeros(9, 2, dtype=torch.int64), torch.zeros(0, 3).long()]
)
def test_words_are_whole_numbers_in_three_columns_or_more(inputs: Tensor) -> None:
    with pytest.raises(DataError, match="checked with words, int64"):
        sequences(text_network(), inputs)


def test_a_network_for_another_task_is_refused() -> None:
    register_space("space-of-mine", "tests.trainables.exporting:OTHER_TASK")
    parts = image_network().model_dump() | {"space": "space-of-mine"}
    with pytest.raises(ConfigError, match="task image or text can be exported, got 'mine'"):
        unit(NetworkFile.model_validate(parts), {})
