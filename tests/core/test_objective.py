"""Both formulas to the number, and no score for what has none."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoshrink_ray.errors import ConfigError
from autoshrink_ray.objective import OBJECTIVES, Objective, objective

ACCURACY, PERPLEXITY = OBJECTIVES["accuracy"], OBJECTIVES["perplexity"]


@pytest.mark.parametrize(
    ("accuracy", "macs", "score"),
    [
        (0.75, 1e6, 0.75),  # a million costs nothing
        (0.75, 1e7, 0.65),
        (0.75, 1e5, 0.85),
        (0.8, 5_000_000, 0.7301029995663981),
        (0.0, 1, 0.6),
    ],
)
def test_accuracy_minus_a_tenth_of_the_logarithm_of_macs(
    accuracy: float, macs: float, score: float
) -> None:
    metrics = {"accuracy": accuracy, "macs": macs}
    assert ACCURACY.score(metrics) == pytest.approx(score, abs=1e-12)


@pytest.mark.parametrize(
    ("perplexity", "cost", "score"),
    [
        (200, 1e6, 0.0),
        (120, 15 * 100**2, 20 + 0.8239087409443188),  # 15 edges, 100 hidden units
        (120, 4 * 100**2, 20 + 1.3979400086720377),
        (300, 1e7, -26.0),
    ],
)
def test_a_quarter_of_the_perplexity_below_200_minus_the_logarithm_of_cost(
    perplexity: float, cost: float, score: float
) -> None:
    metrics = {"perplexity": perplexity, "cost": cost, "macs": 1.0}
    assert PERPLEXITY.score(metrics) == pytest.approx(score, abs=1e-12)


@pytest.mark.parametrize(
    "metrics",
    [
        {},
        {"accuracy": 0.5},
        {"macs": 1e6},
        {"accuracy": 0.5, "cost": 1e6},
        {"accuracy": 0.5, "macs": 0},
        {"accuracy": 0.5, "macs": -1},
        {"accuracy": 0.5, "macs": math.inf},
        {"accuracy": 0.5, "macs": math.nan},
        {"accuracy": math.nan, "macs": 1e6},
        {"accuracy": math.inf, "macs": 1e6},
        {"accuracy": -math.inf, "macs": 1e6},
    ],
)
def test_what_is_missing_or_not_finite_has_no_score(metrics: dict[str, float]) -> None:
    assert math.isnan(ACCURACY.score(metrics))


numbers = st.floats(0, 1e6)
counts = st.integers(1, 10**15)


@given(st.sampled_from([ACCURACY, PERPLEXITY]), numbers, counts)
def test_the_score_is_quality_minus_cost(chosen: Objective, quality: float, count: int) -> None:
    metrics = {chosen.quality_metric: quality, chosen.cost_metric: count}
    assert chosen.score(metrics) == chosen.quality_term(metrics) - chosen.cost_term(metrics)


@given(numbers, numbers, counts, counts)
def test_better_and_cheaper_scores_higher(a: float, b: float, c: int, d: int) -> None:
    (low, high), (small, large) = sorted((a, b)), sorted((c, d))
    assert ACCURACY.score({"accuracy": high, "macs": small}) >= ACCURACY.score(
        {"accuracy": low, "macs": large}
    )
    assert PERPLEXITY.score({"perplexity": low, "cost": small}) >= PERPLEXITY.score(
        {"perplexity": high, "cost": large}
    )


def test_the_weight_of_cost_can_be_chosen() -> None:
    metrics = {"accuracy": 0.5, "macs": 1e8}
    assert objective("accuracy").score(metrics) == pytest.approx(0.3)
    assert objective("accuracy", 0.25).score(metrics) == pytest.approx(0.0)
    assert objective("accuracy", 0).score(metrics) == 0.5
    assert objective("accuracy") is ACCURACY


def test_unknown_objective() -> None:
    with pytest.raises(ConfigError, match=r"unknown objective 'bleu'; .* accuracy, perplexity"):
        objective("bleu")
