"""Hypothesis strategies of whole networks, small enough to build many of them."""

from __future__ import annotations

from hypothesis import strategies as st

from autoshrink_ray.contracts import ImageShape, TextShape
from search_spaces import cnn, rnn
from search_spaces.network import NetworkFile
from tests.strategies import unpruned_topologies

image_shapes = st.builds(
    ImageShape,
    channels=st.integers(1, 3),
    height=st.integers(1, 13),
    width=st.integers(1, 13),
    classes=st.integers(2, 5),
)


@st.composite
def image_macros(draw: st.DrawFn) -> cnn.CnnMacro:
    """One to three stages of one to three cells; widths down to the smallest."""
    stages = draw(st.integers(1, 3))

    def each(values: st.SearchStrategy[object]) -> st.SearchStrategy[tuple[object, ...]]:
        return st.tuples(*[values] * stages)

    return cnn.CnnMacro.model_validate(
        {
            "stem_filters": draw(st.integers(1, 12)),
            "stem_stride": draw(st.sampled_from([1, 2])),
            "base_width": draw(st.integers(1, 10)),
            "scale": draw(each(st.sampled_from([0.5, 1, 1.5, 2]))),
            "channel_scale": draw(st.sampled_from([0.3, 1, 1.4])),
            "pools": draw(each(st.integers(1, 3))),
            "replicate": draw(st.none() | each(st.integers(1, 3))),
            "head_filters": draw(st.sampled_from([0, 10])),
            "activation": draw(st.sampled_from(["relu", "swish"])),
            "initializer": draw(st.sampled_from(["glorot_normal", "fan_out_normal"])),
        }
    )


@st.composite
def image_networks(draw: st.DrawFn) -> NetworkFile:
    """Any cell of up to five nodes in any network around it."""
    topology = draw(unpruned_topologies(tuple(cnn.OPERATIONS), max_nodes=5))
    macro, shape = draw(image_macros()), draw(image_shapes)
    return NetworkFile.of("cnn", topology, macro, shape, recipe="digits")


@st.composite
def text_networks(draw: st.DrawFn) -> NetworkFile:
    """Any recurrent cell of up to six nodes, with and without dropout."""
    topology = draw(unpruned_topologies(tuple(rnn.ACTIVATIONS), max_nodes=6))
    rates = [name for name in rnn.RnnMacro.model_fields if name.startswith("dropout")]
    dropout = {name: draw(st.sampled_from([0.0, 0.5])) for name in rates}
    macro = rnn.RnnMacro(hidden_size=draw(st.integers(1, 9)), **dropout)
    shape = TextShape(draw(st.integers(2, 20)))
    return NetworkFile.of("rnn", topology, macro, shape, recipe="ptb")
