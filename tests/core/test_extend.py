"""A run can be given more rounds or more searches; nothing else of it may change."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from autoshrink_ray import run_search
from autoshrink_ray.errors import ConfigError
from tests.core.processes import quick
from tests.core.runs import Notes, content, decisions, interrupted, results, what_was_decided


def without_end(found: Any) -> list[dict[str, Any]]:
    """Whether a search ends there is no part of a round's outcome."""
    return [{**decision, "final": None} for decision in what_was_decided(found)]


def test_more_rounds(storage: Path) -> None:
    whole = run_search(quick(storage, name="whole", keep_fraction=0.3))
    short = run_search(quick(storage, keep_fraction=0.6))
    kept = results(short)
    assert len(kept) < len(results(whole))
    notes = Notes()
    longer = run_search(quick(storage, keep_fraction=0.3), extend=True, observers=[notes])
    assert longer.status == "finished"
    assert without_end(decisions(longer)) == without_end(decisions(whole))
    assert results(longer) == results(whole)
    assert len(notes.evaluations) == len(results(whole)) - len(kept), "only what is new"
    assert longer.best == whole.best
    assert longer.file.identity == whole.file.identity
    assert longer.file.created == short.file.created
    assert longer.file.config["keep_fraction"] == 0.3
    assert run_search(quick(storage, keep_fraction=0.3)).status == "finished"


def test_more_searches(storage: Path) -> None:
    whole = run_search(quick(storage, name="whole", searches=3))
    run_search(quick(storage))
    wider = run_search(quick(storage, searches=3), extend=True)
    assert decisions(wider) == decisions(whole)
    assert results(wider) == results(whole)


@pytest.mark.parametrize("at", [1, 8])
def test_a_run_that_was_interrupted_is_extended(storage: Path, at: int) -> None:
    """Before and after it was extended."""
    whole = run_search(quick(storage, name="whole", keep_fraction=0.3, searches=2))
    interrupted(quick(storage, keep_fraction=0.6), at)
    interrupted(quick(storage, keep_fraction=0.3, searches=2), at, extend=True)
    run = run_search(quick(storage, keep_fraction=0.3, searches=2))
    assert decisions(run) == decisions(whole)
    assert results(run) == results(whole)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"keep_fraction": 0.3}, "keep_fraction was 0.6, now 0.3"),
        ({"searches": 3}, "searches was 2, now 3"),
        ({"searches": 3, "seed": 1}, "searches was 2, now 3; seed was 0, now 1"),
    ],
)
def test_nothing_is_extended_unasked(storage: Path, changes: dict[str, Any], message: str) -> None:
    settings = {"keep_fraction": 0.6, "searches": 2}
    run_search(quick(storage, **settings))
    before = content(storage)
    with pytest.raises(ConfigError) as caught:
        run_search(quick(storage, **(settings | changes)))
    assert message in str(caught.value) or "seed was 0, now 1; searches" in str(caught.value)
    assert "--extend lets keep_fraction be smaller and searches more" in str(caught.value)
    assert content(storage) == before


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"keep_fraction": 0.9}, "keep_fraction was 0.6, now 0.9"),
        ({"searches": 1}, "searches was 2, now 1"),
        ({"seed": 1, "searches": 3}, "seed was 0, now 1"),
        ({"candidates": 4, "keep_fraction": 0.3}, "candidates was 3, now 4"),
        ({"cost_weight": 0.5, "searches": 3}, "cost_weight was 0.1, now 0.5"),
    ],
)
def test_less_or_something_else_is_no_extension(
    storage: Path, changes: dict[str, Any], message: str
) -> None:
    settings = {"keep_fraction": 0.6, "searches": 2}
    run_search(quick(storage, **settings))
    before = content(storage)
    with pytest.raises(ConfigError) as caught:
        run_search(quick(storage, **(settings | changes)), extend=True)
    assert message in str(caught.value)
    assert content(storage) == before


def test_a_run_that_is_as_asked_needs_no_extension(storage: Path) -> None:
    run_search(quick(storage))
    before = content(storage)
    notes = Notes()
    run_search(quick(storage), extend=True, observers=[notes])
    assert (notes.heard, content(storage)) == ([], before)
    with pytest.raises(ConfigError, match="a run that is there, and 'fresh' is none"):
        run_search(quick(storage, name="fresh"), extend=True)
    assert content(storage) == before


def test_a_longer_run_has_to_begin_as_this_one(storage: Path) -> None:
    """Where no edge was to go, the first round was the initial cell itself."""
    run_search(quick(storage, nodes=3, keep_fraction=0.9))
    before = content(storage)
    with pytest.raises(ConfigError, match="its first round would have been another one"):
        run_search(quick(storage, nodes=3, keep_fraction=0.3), extend=True)
    assert content(storage) == before
    assert run_search(quick(storage, nodes=3, keep_fraction=0.9)).status == "finished"
