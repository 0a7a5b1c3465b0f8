"""How large a difference has to be."""

from __future__ import annotations

import math
import statistics
from pathlib import Path
from random import Random

import pytest

from autoshrink_ray.analysis import noise
from tests.contracts.scoring import failed
from tests.core.analysis.handmade import (
    candidates,
    decided,
    evaluated,
    measured,
    run_of,
    shrink_identity,
)

ONE = statistics.NormalDist().inv_cdf(0.75) * math.sqrt(6)
"""Median second difference of a curve whose noise is 1."""


def curves(folder: Path, *found: tuple[float, ...], **identity: object) -> object:
    """The noise of a run in which each candidate has one of these curves."""
    drawn = candidates(count=6)
    perplexity = {"perplexity": 150.0, "cost": 1e6, "macs": 1.0}
    changes = {"metrics": perplexity} if identity else {}
    results = [
        evaluated(drawn[place % 6], measured(0.5, curve=curve, **changes), seed=place).model_copy(
            update={"candidate": drawn[place % 6].model_copy(update={"index": place})}
        )
        for place, curve in enumerate(found)
    ]
    return noise(run_of(folder, results, identity=shrink_identity(**identity)))


def test_the_median_jump_at_the_ends_of_the_curves(tmp_path: Path) -> None:
    """Second differences 0.1, 0.2, 0.3, -0.4 and one that went wild."""
    ends = [(0.5, 0.5, 0.5 + jump) for jump in (0.1, 0.2, 0.3, -0.4, 90.0)]
    found = curves(tmp_path, *((0.9, 0.1, *end) for end in ends))
    assert found.value == pytest.approx(0.3 / ONE)
    assert found.source == "the jumps of 5 validation curves"
    assert found.units(0.3) == pytest.approx(ONE)
    assert found.units(None) is None


def test_a_steady_rise_is_no_noise(tmp_path: Path) -> None:
    """All curves are straight and all scores equal: nothing can be said."""
    found = curves(tmp_path, *[(0.25, 0.5, 0.75)] * 6)
    assert found.value is None
    assert found.units(1.0) is None


def test_perplexity_counts_in_points(tmp_path: Path) -> None:
    found = curves(tmp_path, *[(150.0, 150.0, 154.0)] * 5, objective="perplexity", cost_weight=1.0)
    assert found.value == pytest.approx(0.25 * 4 / ONE)


def test_it_finds_the_noise_that_was_put_in(tmp_path: Path) -> None:
    chance = Random(1)
    lines = [[0.5 + 0.01 * epoch for epoch in range(3)] for _ in range(400)]
    noisy = [tuple(value + chance.gauss(0, 0.02) for value in line) for line in lines]
    assert curves(tmp_path, *noisy).value == pytest.approx(0.02, rel=0.15)


def test_short_curves_leave_the_spread_of_rivals(tmp_path: Path) -> None:
    """0.5, 0.6, 0.7 in round 1, 0.2 and 0.4 in round 2: (2 * 0.01 + 0.02) / 3."""
    first = [evaluated(c, measured(0.5 + c.index / 10, curve=(0.1, 0.2))) for c in candidates()]
    end = decided(first)
    second = candidates(2, end.topology)
    rest = [evaluated(second[0], measured(0.2)), evaluated(second[1], measured(0.4))]
    found = noise(run_of(tmp_path, [*first, end, *rest]))
    assert found.value == pytest.approx(math.sqrt(0.04 / 3))
    assert found.source == "the spread of rivals in 2 rounds"


def test_copies_and_failures_count_for_nothing(tmp_path: Path) -> None:
    drawn = candidates(count=6)
    curve = (0.5, 0.5, 0.9)
    same = measured(0.5, curve=curve)
    results = [
        evaluated(drawn[0], same),
        *(
            evaluated(c.model_copy(update={"topology": drawn[0].topology}), same, cached=True)
            for c in drawn[1:5]
        ),
        evaluated(drawn[5], failed().model_copy(update={"curve": curve})),
    ]
    assert noise(run_of(tmp_path, results)).value is None


def test_a_run_without_results(tmp_path: Path) -> None:
    found = noise(run_of(tmp_path, []))
    assert (found.value, found.source) == (None, "no two results that differ")
