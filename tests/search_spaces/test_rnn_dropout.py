"""Dropout around the recurrent cell: words, embeddings, outputs."""

import pytest
import torch

from search_spaces.rnn import RnnMacro
from tests.search_spaces.test_rnn import SMOOTH, B, T, built, tokens

WIDE = RnnMacro(hidden_size=40)


def dropping(**rates):
    """A language model in training, and its embeddings with values that are not small."""
    model = built(SMOOTH, macro=RnnMacro(**(WIDE.model_dump() | rates)))
    torch.nn.init.normal_(model.embedding.weight, mean=3.0)
    return model


def cell_input(model, text):
    """What the cell reads: (T, B, H)."""
    read = []
    with model.cell.register_forward_pre_hook(lambda _, inputs: read.append(inputs[0].detach())):
        model.features(text, model.initial_state(text.shape[1]))
    return read[0]


def test_whole_words_are_dropped_wherever_a_segment_has_them():
    model = dropping(dropout_words=0.5)
    text = tokens(length=40, batch=6)
    embedded = model.embedding(text).detach()
    dropped = set()
    for _ in range(20):
        read = cell_input(model, text)
        kept = read.abs().sum(dim=2) > 0
        words = {word: kept[text == word] for word in text.unique().tolist()}
        assert all(same.all() or not same.any() for same in words.values())
        torch.testing.assert_close(read[kept], embedded[kept] / 0.5)
        dropped.add(tuple(bool(same.any()) for same in words.values()))
    assert len(dropped) > 10  # every segment draws its own


def test_embedding_dropout_is_one_mask_for_all_words_of_a_sequence():
    model = dropping(dropout_embedding=0.25)
    text = tokens(length=10, batch=3)
    embedded = model.embedding(text).detach()
    read = cell_input(model, text)
    kept = read != 0
    assert torch.equal(kept, kept[:1].expand_as(kept))
    assert 0.6 < kept.float().mean() < 0.9
    assert not torch.equal(kept[0, 0], kept[0, 1])
    torch.testing.assert_close(read[kept], embedded[kept] / 0.75)
    assert not torch.equal(cell_input(model, text) != 0, kept)


def test_output_dropout_is_one_mask_for_all_outputs_of_a_sequence():
    model = dropping(dropout_output=0.75)
    outputs = torch.rand(10, 3, 40) + 1
    dropped = model.drop_output(outputs)
    kept = dropped != 0
    assert torch.equal(kept, kept[:1].expand_as(kept))
    assert 0.1 < kept.float().mean() < 0.4
    assert not torch.equal(kept[0, 0], kept[0, 1])
    torch.testing.assert_close(dropped[kept], outputs[kept] / 0.25)


def test_only_the_decoder_reads_the_dropped_outputs():
    model = dropping(dropout_output=0.5)
    text = tokens()
    torch.manual_seed(5)
    outputs, state = model.features(text, model.initial_state(B))
    dropped = model.drop_output(outputs)
    torch.manual_seed(5)
    logits, same_state = model(text, model.initial_state(B))
    torch.testing.assert_close(logits, dropped @ model.embedding.weight.T + model.decoder_bias)
    assert torch.equal(same_state, state)
    assert torch.equal(state, outputs[-1])


def test_the_decoder_reads_all_words_embeddings():
    """Words that are dropped as inputs can still be predicted."""
    model = dropping(dropout_words=0.5)
    outputs = torch.rand(T, B, 40)
    model.features = lambda tokens, state: (outputs, state)
    logits, _ = model(tokens(), model.initial_state(B))
    torch.testing.assert_close(logits, outputs @ model.embedding.weight.T + model.decoder_bias)


@pytest.mark.parametrize("place", ["words", "embedding", "input", "hidden", "output"])
def test_each_dropout_acts_in_training_only(place):
    model = dropping(**{f"dropout_{place}": 0.5})
    plain = dropping()
    text, state = tokens(), torch.ones(B, 40)
    first, second = model(text, state)[0], model(text, state)[0]
    assert not torch.allclose(first, second)
    assert torch.equal(model.eval()(text, state)[0], plain.eval()(text, state)[0])
