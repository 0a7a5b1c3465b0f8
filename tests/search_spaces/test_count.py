import pytest
import torch
from hypothesis import given, settings
from torch import nn

from autoshrink_ray.files import CellFile
from autoshrink_ray.topology import Topology
from search_spaces import CELLS, build
from search_spaces.count import count
from search_spaces.derive import derive
from search_spaces.network import NetworkFile
from tests.search_spaces.networks import image_networks, text_networks

SHRINK = CELLS["shrink-cnn-a"].cell
DIGITS = derive(SHRINK, "digits")

small = settings(deadline=None, max_examples=30)


@small
@given(image_networks())
def test_both_counts_of_an_image_network_agree(network: NetworkFile) -> None:
    counts = count(network)
    assert counts.costs == network.costs
    assert counts.differences(network.costs) == []


@small
@given(text_networks())
def test_both_counts_of_a_language_model_agree(network: NetworkFile) -> None:
    counts = count(network)
    assert counts.differences(network.costs) == []
    assert counts.costs.keys() == {"macs", "decoder_macs", "params", "params_without_bn"}


@pytest.mark.parametrize("name", ["shrink-cnn-a", "shrink-cnn-b"])
def test_published_image_networks_count_to_the_unit(name: str) -> None:
    costs = count(CELLS[name].network).costs
    assert (costs["params_without_bn"], costs["macs"]) == (3_600_981, 383_677_672)


def test_published_language_model_counts_to_the_unit() -> None:
    assert count(CELLS["shrink-rnn"].network).costs["params"] == 23_000_700


def test_a_contradiction_is_put_into_words() -> None:
    wrong = {**DIGITS.costs, "macs": 7}
    (difference,) = count(DIGITS).differences(wrong)
    assert difference == f"macs is {DIGITS.costs['macs']:,} in the built network and 7 in its costs"


def test_layers_of_a_tiny_network_by_hand() -> None:
    cell = CellFile.of("cnn", Topology(("sep3x3", "conv1x1"), ((0, 1),)))
    macro = {"scale": [1], "pools": [2], "replicate": None, "stem_filters": 4, "base_width": 8}
    network = derive(cell, "digits", macro=macro, input={"height": 5, "width": 3, "classes": 2})
    rows = [(row.name, row.kind, row.output, row.params, row.macs) for row in count(network).layers]
    assert rows == [
        ("stem.conv", "Conv", (1, 4, 5, 3), 9 * 4, 5 * 3 * 9 * 4),
        ("stem.norm", "BatchNorm2d", (1, 4, 5, 3), 2 * 4, 0),
        ("stages.0.0.nodes.1.conv", "Conv", (1, 8, 3, 2), 4 * 8, 3 * 2 * 4 * 8),
        ("stages.0.0.nodes.1.norm", "BatchNorm2d", (1, 8, 3, 2), 2 * 8, 0),
        ("stages.0.0.shortcut.conv", "ProjectionConv", (1, 8, 3, 2), 4 * 8, 3 * 2 * 4 * 8),
        ("stages.0.0.shortcut.norm", "BatchNorm2d", (1, 8, 3, 2), 2 * 8, 0),
        ("head.classifier", "Classifier", (1, 2), 8 * 2 + 2, 8 * 2),
    ]


@pytest.mark.parametrize("name", ["shrink-rnn", "shrink-cnn-b"])
def test_layers_add_up(name: str) -> None:
    counts = count(CELLS[name].network)
    macs = counts.costs["macs"] + counts.costs.get("decoder_macs", 0)
    assert sum(layer.macs for layer in counts.layers) == macs
    assert sum(layer.params for layer in counts.layers) == counts.costs["params"]
    assert all(layer.macs >= 0 and layer.params >= 0 for layer in counts.layers)


def kept_bytes(module: nn.Module, *inputs: torch.Tensor) -> int:
    """What autograd really keeps on the CPU, apart from the network's own tensors."""
    own = {t.untyped_storage().data_ptr() for t in (*module.parameters(), *module.buffers())}
    kept: dict[int, torch.Tensor] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        _ = module(*inputs)
    return sum(t.untyped_storage().nbytes() for pointer, t in kept.items() if pointer not in own)


@pytest.mark.parametrize("activation", ["relu", "swish"])
def test_activation_memory_is_what_another_image_takes(activation: str) -> None:
    network = derive(SHRINK, "digits", macro={"activation": activation})
    module = build(network)
    two, three = (kept_bytes(module, torch.randn(batch, 1, 8, 8)) for batch in (2, 3))
    assert count(network).activation_bytes == three - two
    assert two / 2 == pytest.approx(three - two, rel=0.02)


def test_activation_memory_is_what_another_word_takes() -> None:
    network = derive(CELLS["shrink-rnn"].cell, "ptb", macro={"hidden_size": 5})
    module = build(network)
    words = [torch.zeros(1, batch, dtype=torch.long) for batch in (2, 3)]
    two, three = (kept_bytes(module, w, module.initial_state(w.shape[1])) for w in words)
    assert count(network).activation_bytes == three - two


def test_counting_draws_no_random_numbers() -> None:
    before = torch.get_rng_state()
    count(DIGITS)
    assert torch.equal(before, torch.get_rng_state())
