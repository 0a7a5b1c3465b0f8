"""The widest network of a budget, against a slow look at every width."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autoshrink_ray.errors import ConfigError
from autoshrink_ray.files import CellFile
from autoshrink_ray.topology import Topology
from search_spaces import CELLS, cnn
from search_spaces.derive import Derivation, derive
from search_spaces.fit import fit
from tests.strategies import unpruned_topologies

SHRINK_CNN = CELLS["shrink-cnn-a"].cell
SHRINK_RNN = CELLS["shrink-rnn"].cell
LARGEST_SCALE = 64


def steps(macro: cnn.CnnMacro) -> Iterator[int]:
    """Ten-thousandths of the channel scale: around each one where some width is a whole number."""
    factors = {macro.stem_filters, *(macro.base_width * scale for scale in macro.scale)}
    near = {
        round(channels / factor * 10_000) + offset
        for factor in factors
        for channels in range(int(LARGEST_SCALE * factor) + 1)
        for offset in (-1, 0, 1)
    }
    return (step for step in near if 1 <= step <= LARGEST_SCALE * 10_000)


def every_cost(derivation: Derivation, cost: str) -> set[int]:
    """Of every network that some channel scale of four decimals gives."""
    found: dict[Any, int] = {}
    for step in steps(derivation.macro):
        macro = derivation.macro.model_copy(update={"channel_scale": step / 10_000})
        if macro.plan not in found:
            topology, shape = derivation.cell.topology, derivation.shape
            found[macro.plan] = cnn.SPACE.cost(topology, macro, shape)[cost]
    return set(found.values())


@settings(deadline=None, max_examples=25)
@given(
    unpruned_topologies(tuple(cnn.OPERATIONS), max_nodes=5),
    st.fixed_dictionaries(
        {
            "stem_filters": st.sampled_from([1, 2, 4]),
            "base_width": st.sampled_from([1, 2]),
            "scale": st.tuples(*[st.sampled_from([0.5, 1, 1.5, 2])] * 2),
            "pools": st.sampled_from([(1, 1), (1, 2), (2, 1)]),
            "replicate": st.sampled_from([None, (1, 2)]),
        }
    ),
    st.sampled_from(["macs", "params"]),
    st.data(),
)
def test_no_reachable_cost_lies_between_the_network_and_its_budget(
    topology: Topology, macro: dict[str, Any], cost: str, data: st.DataObject
) -> None:
    cell = CellFile.of("cnn", topology)
    costs = every_cost(Derivation.of(cell, "digits", macro), cost)
    for _ in range(4):
        budget = data.draw(st.sampled_from(sorted(costs))) + data.draw(st.integers(-20, 20))
        if min(costs) <= budget <= max(costs):
            network = fit(cell, "digits", cost=cost, budget=budget, macro=macro)
            assert network.costs[cost] == max(value for value in costs if value <= budget)
    for outside in (min(costs) - 1, max(costs) + 1):
        reachable = f"{cost} can be {min(costs):,} to {max(costs):,} here"
        with pytest.raises(ConfigError, match=reachable):
            fit(cell, "digits", cost=cost, budget=outside, macro=macro)


ONE_EDGE = CellFile.of("cnn", Topology(("sep3x3", "sep3x3"), ((0, 1),)))
SAME_WIDTHS = {"base_width": 32, "scale": [1], "pools": [1], "replicate": None}


def test_a_wider_network_that_needs_no_projection_may_cost_less() -> None:
    """Stem and stage round differently: 10.4 channels are 12 in the one and 8 in the other."""
    narrow, wide = (
        derive(ONE_EDGE, "digits", macro={**SAME_WIDTHS, "channel_scale": channels / 32})
        for channels in (10.4, 11)
    )
    assert narrow.costs["macs"] > wide.costs["macs"]
    found = fit(ONE_EDGE, "digits", cost="macs", budget=wide.costs["macs"], macro=SAME_WIDTHS)
    assert found.costs["macs"] == wide.costs["macs"]


def test_the_published_network_is_found_again_with_its_round_scale() -> None:
    for cost in ("macs", "params"):
        published = CELLS["shrink-cnn-a"].network
        budget = published.costs[cost]
        found = fit(SHRINK_CNN, "imagenet", cost=cost, budget=budget, input={"classes": 1001})
        assert found.macro["channel_scale"] == 1.4
        assert found.sha256 == published.sha256


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 2000), st.sampled_from(["macs", "params"]), st.integers(0, 10**6))
def test_hidden_size_is_the_largest_that_fits(size: int, cost: str, more: int) -> None:
    budget = derive(SHRINK_RNN, "ptb", macro={"hidden_size": size}).costs[cost] + more
    found = fit(SHRINK_RNN, "ptb", cost=cost, budget=budget)
    wider = derive(SHRINK_RNN, "ptb", macro={"hidden_size": found.macro["hidden_size"] + 1})
    assert found.costs[cost] <= budget < wider.costs[cost]


def test_everything_else_stays_and_the_budget_is_recorded() -> None:
    found = fit(SHRINK_CNN, "cifar", cost="macs", budget=10**8, macro={"activation": "swish"})
    same = derive(
        SHRINK_CNN,
        "cifar",
        macro={"activation": "swish", "channel_scale": found.macro["channel_scale"]},
    )
    assert found.sha256 == same.sha256
    assert found.provenance["budget"] == {"macs": 10**8}


@pytest.mark.parametrize(
    ("cell", "preset", "changes", "message"),
    [
        (SHRINK_CNN, "cifar", {"macro": {"channel_scale": 2}}, "a budget decides channel_scale"),
        (SHRINK_RNN, "ptb", {"macro": {"hidden_size": 2}}, "a budget decides hidden_size"),
        (SHRINK_CNN, "cifar", {"cost": "seconds"}, "one of macs, params, got 'seconds'"),
        (SHRINK_RNN, "ptb", {"budget": 5}, "params can be 20,028 to 281,000,010,000 here, hidden"),
        (SHRINK_CNN, "ptb", {}, "preset 'ptb' is for text networks"),
    ],
)
def test_it_refuses(cell: CellFile, preset: str, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        fit(cell, preset, **{"cost": "params", "budget": 10**7, **changes})
