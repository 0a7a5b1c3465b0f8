"""What programs hear of a search while it goes."""

from __future__ import annotations

import io
import json
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoshrink_ray import Run, SearchConfig, run_search
from autoshrink_ray.json_progress import JsonProgress
from autoshrink_ray.plan import Plan
from autoshrink_ray.work import Activity
from tests.core.runs import TABLE, interrupted, killed
from tests.plugins.table import Nothing

NUMBERS = ("running", "queued", "busy", "at_once")


def told(config: SearchConfig, **changes: Any) -> list[dict[str, Any]]:
    """The events of a run."""
    stream = io.StringIO()
    run_search(config, observers=[JsonProgress(stream)], **changes)
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def activities(events: list[dict[str, Any]]) -> list[tuple[int, ...]]:
    return [tuple(e[name] for name in NUMBERS) for e in events if e["event"] == "activity"]


def config(folder: Path, **changes: Any) -> SearchConfig:
    return SearchConfig.of(TABLE | {"storage": str(folder), "name": "run"} | changes)


def test_programs_hear_how_many_are_running_and_queued(tmp_path: Path) -> None:
    events = told(config(tmp_path))
    assert [event["event"] for event in events[:5]] == [
        "start",
        "activity",
        "activity",
        "evaluation",
        "activity",
    ]
    assert activities(events)[:4] == [(0, 3, 0, 1), (1, 2, 1, 1), (0, 2, 0, 1), (1, 1, 1, 1)]
    assert activities(events)[-1] == (0, 0, 0, 1), "nothing is left at the end"


def test_an_activity_is_told_only_when_a_number_has_changed(tmp_path: Path) -> None:
    events = told(config(tmp_path, searches=2))
    found = activities(events)
    cached = [e["cached"] for e in events if e["event"] == "evaluation"]
    assert all(before != after for before, after in pairwise(found))
    assert len(found) <= 1 + 2 * cached.count(False) + cached.count(True)
    assert max(queued for _, queued, *_ in found) == 6, "of both searches together"


def test_a_run_that_goes_on_counts_what_is_left(tmp_path: Path) -> None:
    interrupted(config(tmp_path), 1)
    assert activities(told(config(tmp_path)))[:2] == [(0, 2, 0, 1), (1, 1, 1, 1)]


def test_a_search_in_one_trial_has_one_candidate_in_training_until_it_ends(tmp_path: Path) -> None:
    found = activities(told(config(tmp_path, granularity="search")))
    assert found[:4] == [(0, 3, 0, 1), (1, 2, 1, 1), (1, 1, 1, 1), (1, 0, 1, 1)]
    assert {running for running, *_ in found[1:-1]} == {1}
    assert found[-1] == (0, 0, 0, 1)


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run whose driver died with one of three candidates evaluated."""
    folder = tmp_path_factory.mktemp("begun")
    killed(config(folder), 1)
    return Run("run", str(folder))


@given(
    given_activities=st.lists(
        st.builds(Activity, st.just({0: 1}), st.integers(0, 2), st.integers(1, 2))
    )
)
def test_what_is_said_again_is_no_event(begun: Run, given_activities: list[Activity]) -> None:
    stream = io.StringIO()
    progress = JsonProgress(stream)
    progress.on_start(begun, Plan.of(SearchConfig.of(TABLE)), Nothing())
    for activity in given_activities:
        progress.on_activity(activity)
    heard = activities([json.loads(line) for line in stream.getvalue().splitlines()])
    expected = [(1, 1, a.busy, a.at_once) for a in given_activities]
    assert heard == [key for key, _ in groupby(expected)]
