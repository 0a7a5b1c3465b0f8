import pytest

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
