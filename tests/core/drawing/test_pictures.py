"""Pictures of cells, as a reader of SVG and PNG gets them."""

from __future__ import annotations

import io
import math
import re
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from autoshrink_ray.drawing import Picture, cell_picture, colours
from autoshrink_ray.drawing.cell import short
from autoshrink_ray.errors import ConfigError, TopologyError
from autoshrink_ray.topology import Edge, Topology
from tests.strategies import relabellings, topologies

SVG = "{http://www.w3.org/2000/svg}"
FORK = Topology(("a", "sep3x3", "conv1x1", "relu"), ((0, 1), (0, 2), (1, 3)))
COMPLETE = Topology.complete(("sep3x3", "conv1x1") * 4)


def parsed(picture: Picture) -> ElementTree.Element:
    return ElementTree.fromstring(picture.svg())


def elements(picture: Picture, role: str) -> list[ElementTree.Element]:
    return [element for element in parsed(picture).iter() if element.get("class") == role]


def tips(picture: Picture, role: str) -> dict[str, ElementTree.Element]:
    found = {element.findtext(f"{SVG}title"): element for element in elements(picture, role)}
    return {tip: element for tip, element in found.items() if tip is not None}


def words(picture: Picture, role: str) -> list[str | None]:
    return [element.text for element in elements(picture, role)]


def image(content: bytes) -> Image.Image:
    with Image.open(io.BytesIO(content)) as opened:
        return opened.convert("RGB")


def test_an_svg_says_what_it_shows() -> None:
    root = parsed(cell_picture(FORK, title="A cell"))
    assert root.get("role") == "img"
    assert root.findtext(f"{SVG}title") == "A cell"
    assert root.findtext(f"{SVG}desc") == (
        "Node 0 is the input; node 1 is sep3x3 of 0; node 2 is conv1x1 of 0; "
        "node 3 is relu of 1; outputs: 2, 3."
    )
    assert parsed(cell_picture(FORK)).findtext(f"{SVG}title") == "Cell of 4 nodes and 3 edges"


def test_every_node_edge_and_leaf_is_drawn() -> None:
    picture = cell_picture(FORK)
    assert len(elements(picture, "leaf")) == 2
    assert sorted(tips(picture, "edge")) == ["edge 0 to 1", "edge 0 to 2", "edge 1 to 3"]
    assert len(elements(picture, "arrow")) == 3
    assert words(picture, "label") == ["input", "sep 3x3", "conv 1x1", "relu"]
    assert words(picture, "number") == ["1", "2", "3"]
    assert words(picture, "legend") == ["conv 1x1", "relu", "sep 3x3", "output"]


@given(topologies("ab"), st.data())
def test_what_is_left_of_a_cell_keeps_its_places(whole: Topology, data: st.DataObject) -> None:
    left = whole
    for _ in range(data.draw(st.integers(0, len(whole.edges) - 1))):
        left = left.without(data.draw(st.sampled_from(left.edges))) if left.edges else left
    before, after = (
        {tip: place_of(shape) for tip, shape in tips(picture, "node").items()}
        for picture in (cell_picture(whole), cell_picture(left, within=whole))
    )
    assert after.items() <= before.items()
    assert len(after) == len(left.reachable - {0})
    assert len(tips(cell_picture(left, within=whole), "edge")) == len(left.edges)


def place_of(shape: ElementTree.Element) -> tuple[str | None, str | None]:
    return shape.get("x"), shape.get("y")


def test_a_larger_cell_has_all_edges() -> None:
    with pytest.raises(TopologyError, match=r"has all edges of the cell, got none of \[\(0, 1\)"):
        cell_picture(COMPLETE, within=COMPLETE.without((0, 1)))


def test_a_removed_edge_is_dashed_and_crossed_out() -> None:
    picture = cell_picture(FORK, removed=(0, 2))
    gone = tips(picture, "edge")["edge 0 to 2, removed"]
    assert gone.get("stroke") == colours.REMOVED
    dashed = [e for e in elements(picture, "edge") if e.get("stroke-dasharray")]
    assert [e.findtext(f"{SVG}title") for e in dashed] == ["edge 0 to 2, removed"]
    assert len(elements(picture, "removed")) == 2 * 2  # a cross on the edge, one in the legend
    assert "removed" in words(picture, "legend")


def test_values_colour_the_edges_that_were_tried() -> None:
    picture = cell_picture(FORK, values={(0, 1): 0.25, (0, 2): 0.75})
    edges = tips(picture, "edge")
    assert edges["edge 0 to 1, score 0.25"].get("stroke") == colours.on_scale(0)
    assert edges["edge 0 to 2, score 0.75"].get("stroke") == colours.on_scale(1)
    assert edges["edge 1 to 3"].get("stroke") == colours.FAINT
    texts = [element.text for element in parsed(picture).iter(f"{SVG}text")]
    assert {"score", "0.25", "0.75", "not tried"} <= set(texts)


def test_equal_values_have_one_colour() -> None:
    picture = cell_picture(FORK, values={(0, 1): 0.5, (0, 2): 0.5})
    strokes = [element.get("stroke") for element in elements(picture, "edge")]
    assert sorted(strokes) == sorted([colours.FAINT, *2 * [colours.on_scale(1)]])  # type: ignore[type-var]


@pytest.mark.parametrize(
    ("removed", "values", "message"),
    [
        ((1, 2), {}, r"is one of the cell's \(0, 1\), \(0, 2\), \(1, 3\), got \(1, 2\)"),
        (None, {(2, 3): 1.0}, r"got \(2, 3\)"),
        (None, {(0, 1): math.nan}, r"is finite, got nan for \(0, 1\)"),
        (None, {(0, 1): math.inf}, "is finite, got inf"),
    ],
)
def test_marks_that_fit_no_edge_are_refused(
    removed: Edge | None, values: dict[Edge, float], message: str
) -> None:
    with pytest.raises(TopologyError, match=message):
        cell_picture(FORK, removed=removed, values=values)


HOSTILE = ("x", "<script>alert(1)</script>", "\"'&]]>", "\0\x1b[31m\ud800\n", "操作" * 20)


def test_hostile_names_stay_text() -> None:
    picture = cell_picture(Topology.complete(HOSTILE), title="<b>&\0")
    svg = picture.svg()
    svg.encode()
    root = ElementTree.fromstring(svg)
    assert {e.tag.removeprefix(SVG) for e in root.iter()} <= {
        *("svg", "title", "desc", "rect", "path", "polygon", "text")
    }
    assert "node 1: <script>alert(1)</script>" in tips(picture, "node")
    assert image(picture.png(1.0)).size == (picture.width, picture.height)


NAMES = st.text(min_size=1, max_size=30).filter(lambda name: not set(name) & set("|:, "))


@settings(max_examples=40)
@given(st.lists(NAMES, min_size=2, max_size=5), st.text(max_size=20))
def test_any_names_give_well_formed_pictures(names: list[str], title: str) -> None:
    picture = cell_picture(Topology.complete(tuple(names)), title=title)
    parsed(picture)
    assert image(picture.png(0.5)).size == (round(picture.width / 2), round(picture.height / 2))


@settings(max_examples=30)
@given(topologies(("a", "b"), max_nodes=12))
def test_the_same_topology_gives_the_same_bytes(topology: Topology) -> None:
    from autoshrink_ray.drawing.layout import layout

    first = cell_picture(topology)
    layout.cache_clear()
    second = cell_picture(Topology(topology.ops, topology.edges))
    assert first.svg() == second.svg()
    assert first.png(1.0) == second.png(1.0)


@settings(max_examples=30)
@given(st.data())
def test_renumbered_nodes_keep_labels_and_outputs(data: st.DataObject) -> None:
    topology = data.draw(topologies(("a", "b")))
    other = data.draw(relabellings(topology))
    pictures = [cell_picture(topology), cell_picture(other)]
    for role in ("label", "leaf", "edge"):
        counts = [sorted(map(str, words(picture, role))) for picture in pictures]
        assert counts[0] == counts[1]


def test_a_cell_without_edges_is_its_input() -> None:
    picture = cell_picture(Topology(("a", "b"), ()))
    assert words(picture, "label") == ["input"]
    assert len(elements(picture, "leaf")) == 1
    assert image(picture.png(1.0)).size == (picture.width, picture.height)


@pytest.mark.parametrize("scale", [0.5, 1.0, 2.0])
def test_a_png_has_the_pictures_size_and_shows_it(scale: float) -> None:
    picture = cell_picture(COMPLETE)
    drawn = image(picture.png(scale))
    assert drawn.size == (round(picture.width * scale), round(picture.height * scale))
    assert drawn.getpixel((0, 0)) == (255, 255, 255)
    counts = {colour: count for count, colour in drawn.getcolors(1 << 20) or []}
    for tone in colours.tones(COMPLETE.ops).values():
        assert counts[rgb(tone.fill)] > 500 * scale * scale


def test_both_formats_put_a_node_in_one_place() -> None:
    picture = cell_picture(FORK)
    drawn = image(picture.png(1.0))
    for tip, element in tips(picture, "node").items():
        x, y, width = (float(element.get(name, "")) for name in ("x", "y", "width"))
        assert drawn.getpixel((round(x + width / 2), round(y + 5))) == rgb(
            element.get("fill", "")
        ), tip


@pytest.mark.parametrize("scale", [0.0, -1.0, math.nan, math.inf, 1e6])
def test_an_image_of_no_size_or_too_large_is_refused(scale: float) -> None:
    with pytest.raises(ConfigError, match="scale of an image is above 0"):
        cell_picture(FORK).png(scale)


def test_pictures_share_a_page_without_identifiers() -> None:
    assert not re.search(r"\b(id|href|style|url)\b *[=(]", cell_picture(COMPLETE).svg())


def test_short_labels() -> None:
    names = ["sep3x3", "conv1x1", "conv_3x3", "tanh", "3x3", "a1", "identity", "averagepooling"]
    assert list(map(short, names)) == [
        *("sep 3x3", "conv 1x1", "conv 3x3", "tanh", "3x3", "a1", "identity", "averagepool…")
    ]


def rgb(colour: str) -> tuple[int, ...]:
    return tuple(int(colour[start : start + 2], 16) for start in (1, 3, 5))


def contrast(one: str, other: str) -> float:
    """WCAG 2.2's contrast ratio."""
    lights = sorted(map(luminance, (one, other)))
    return (lights[1] + 0.05) / (lights[0] + 0.05)


def luminance(colour: str) -> float:
    parts = [channel / 255 for channel in rgb(colour)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return sum(w * p for w, p in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def test_lines_stand_out_from_paper_and_text_from_nodes() -> None:
    every = colours.tones(map(str, range(8))).values()
    assert len(set(every)) == 8
    for tone in every:
        assert contrast(tone.line, colours.PAPER) >= 3
        assert contrast(colours.INK, tone.fill) >= 7
        assert contrast(colours.QUIET, tone.fill) >= 4.5
    assert contrast(colours.PAPER, colours.INPUT) >= 4.5
    assert contrast(colours.REMOVED, colours.PAPER) >= 4.5


def test_an_operations_tone_follows_from_its_name() -> None:
    assert colours.tones(["sep3x3"])["sep3x3"] == colours.tones(COMPLETE.ops)["sep3x3"]
    rnn = ["relu", "tanh", "sigmoid", "identity"]
    assert all(colours.tones([name])[name] == colours.tones(rnn)[name] for name in rnn)
    assert len(colours.tones(map(str, range(20)))) == 20


def test_the_scale_darkens_with_the_score() -> None:
    lights = [luminance(colours.on_scale(step / 20)) for step in range(21)]
    assert lights == sorted(lights, reverse=True)
    assert colours.on_scale(-1) == colours.on_scale(0)
    assert colours.on_scale(2) == colours.on_scale(1)
