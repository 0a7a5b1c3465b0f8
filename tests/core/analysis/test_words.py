"""Why an edge went, in words."""

from __future__ import annotations

from pathlib import Path

from autoshrink_ray.analysis import Noise, round_view, why
from autoshrink_ray.objective import OBJECTIVES
from autoshrink_ray.records import Evaluation
from tests.contracts.scoring import failed
from tests.core.analysis.handmade import (
    candidates,
    decided,
    evaluated,
    measured,
    run_of,
    shrink_identity,
)

NOISE = Noise(0.05, "a guess")


def said(folder: Path, results: list[Evaluation], *, closed: bool = True) -> str:
    records = [*results, decided(results)] if closed else results
    run = run_of(folder, records)
    return why(round_view(run, 0, 1), NOISE, OBJECTIVES["accuracy"])


def test_a_closed_round(tmp_path: Path) -> None:
    """0.8 - 0 against 0.85 - 0.1 * log10(2): behind by 0.05 * 0.1 + ..."""
    drawn = candidates()
    results = [
        evaluated(drawn[0], measured(0.80)),
        evaluated(drawn[1], measured(0.85, 1e7)),
        evaluated(drawn[2], measured(0.50)),
    ]
    one, two = ("-".join(map(str, c.removed or ())) for c in drawn[:2])
    assert said(tmp_path, results) == (
        f"Edge {one} went: without it the cell scores 0.8000, the best of 3. "
        f"Its accuracy gives 0.8000 points, its cost takes 0.0000. "
        f"It leads {two} by 0.0500, 1.0 times the noise (a guess). "
        f"Of that lead -0.0500 is quality and +0.1000 cost."
    )


def test_a_lead_below_the_noise_is_called_chance(tmp_path: Path) -> None:
    results = [evaluated(c, measured(0.5 + c.index / 100)) for c in candidates()]
    assert "by 0.0100, 0.2 times the noise (a guess), so chance may" in said(tmp_path, results)


def test_a_tie(tmp_path: Path) -> None:
    results = [evaluated(c, measured(0.5)) for c in candidates()]
    assert "It ties with" in said(tmp_path, results)


def test_an_open_round(tmp_path: Path) -> None:
    text = said(tmp_path, [evaluated(candidates()[0], measured(0.5))], closed=False)
    assert "leads so far, with 2 candidates to come: without it the cell scores 0.5000" in text
    assert "no rival with a usable score" in text


def test_a_round_of_failures(tmp_path: Path) -> None:
    text = said(tmp_path, [evaluated(c, failed()) for c in candidates()], closed=False)
    assert text == "Nothing is decided: 3 of 3 candidates failed."


def test_a_round_without_results(tmp_path: Path) -> None:
    first = [evaluated(c, measured(0.5 + c.index / 10)) for c in candidates()]
    run = run_of(tmp_path, [*first, decided(first)])
    text = why(round_view(run, 0, 2), NOISE, OBJECTIVES["accuracy"])
    assert text == "Nothing is decided: none of 3 candidates is evaluated."


def test_a_random_search_removes_no_edge(tmp_path: Path) -> None:
    plain = [c.model_copy(update={"removed": None}) for c in candidates()]
    results = [evaluated(c, measured(0.5 + c.index / 10)) for c in plain]
    identity = shrink_identity(keep_fraction=None, budget=3)
    run = run_of(tmp_path, [*results, decided(results, None)], identity=identity)
    text = why(round_view(run, 0, 1), NOISE, OBJECTIVES["accuracy"])
    assert text.startswith("Candidate 2 won: it scores 0.7000.")
    assert "leads candidate 1 by 0.1000" in text
