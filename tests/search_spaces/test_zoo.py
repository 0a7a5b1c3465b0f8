import pytest

from autoshrink_ray.contracts import ImageShape, TextShape
from autoshrink_ray.files import CellFile
from search_spaces import CELLS, cnn, rnn

SPACES = {space.name: space for space in (cnn.SPACE, rnn.SPACE)}


def test_zoo_has_the_cells_of_the_paper():
    assert list(CELLS) == ["shrink-cnn-a", "shrink-cnn-b", "shrink-rnn"]


@pytest.mark.parametrize("name", CELLS)
def test_cell_is_pruned_and_belongs_to_its_space(name):
    cell = CELLS[name]
    assert cell.name == name
    SPACES[cell.space].check(cell.topology)
    assert cell.topology == cell.topology.pruned()
    assert cell.description
    assert "1911.09251" in cell.source
    assert all(value > 0 for value in cell.published.values())


def test_shrink_cnn_is_as_published():
    cell = CELLS["shrink-cnn-a"].topology
    assert cell.leaves == (3, 4)
    assert [cell.predecessors(node) for node in range(1, 5)] == [(0,), (0,), (0, 1), (0, 2)]
    assert cell.ops[1:] == ("sep3x3", "sep3x3", "sep3x3", "conv1x1")
    assert CELLS["shrink-cnn-b"].topology == cell


def test_shrink_rnn_is_as_published():
    cell = CELLS["shrink-rnn"].topology
    assert cell.leaves == (4, 5)
    assert len(cell.edges) == 12
    assert cell.predecessors(4) == (0, 1, 2, 3)
    assert cell.predecessors(5) == (0, 1, 2, 3)
    assert cell.ops == ("tanh", "identity", "sigmoid", "sigmoid", "tanh", "identity")


@pytest.mark.parametrize("name", ["shrink-cnn-a", "shrink-cnn-b"])
def test_published_image_networks_have_their_published_costs(name):
    network = CELLS[name].network
    assert network.costs["params_without_bn"] == 3_600_981
    assert network.costs["macs"] == 383_677_672
    assert network.shape == ImageShape(3, 224, 224, classes=1001)
    assert network.recipe == "imagenet"
    assert network.macro["activation"] == {"shrink-cnn-a": "relu", "shrink-cnn-b": "swish"}[name]


def test_published_language_model_has_its_published_cost():
    network = CELLS["shrink-rnn"].network
    assert network.costs["params"] == 23_000_700
    assert network.shape == TextShape(10_000)
    assert network.recipe == "ptb"


@pytest.mark.parametrize("name", CELLS)
def test_network_is_of_the_cell_and_knows_where_it_is_from(name):
    entry = CELLS[name]
    assert entry.network.topology == entry.cell.topology == entry.topology
    assert entry.network.provenance["cell"]["provenance"]["name"] == name
    assert CellFile.from_json(entry.cell.to_json(), name) == entry.cell
