"""What a user sees of a search, on a screen and without one."""

from __future__ import annotations

import io
import re
import sys
from itertools import groupby
from typing import Any

import pytest
from rich.console import Console

from autoshrink_ray import RunObserver, SearchConfig, run_search
from autoshrink_ray.panel import Panel, clock
from autoshrink_ray.progress import ConsoleProgress
from autoshrink_ray.standing import OpenRound, Snapshot
from autoshrink_ray.terminal import LiveConsole
from autoshrink_ray.work import Activity

BARS = re.compile("[━╸╺]+")


@pytest.fixture
def table(tiny: SearchConfig) -> SearchConfig:
    """Rounds of up to three candidates that take no time."""
    settings = {"space": "table", "plugins": ("tests.plugins.table",), "nodes": 4, "candidates": 3}
    changes = {"data": None, "macro": {}, "proxy": {}, "tensorboard": "full", **settings}
    return SearchConfig.of(tiny.model_dump(exclude_unset=True) | changes)


def screen(width: int = 100, **options: Any) -> Console:
    return Console(file=io.StringIO(), force_terminal=True, width=width, **options)


def drawn(renderable: Any, width: int = 100) -> list[str]:
    """Lines of something as they would be on a screen, without colours and bars."""
    console = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None)
    with console.capture() as capture:
        console.print(renderable)
    lines = capture.get().splitlines()
    assert all(len(line) <= width - len("^C") for line in lines), "what is typed is echoed there"
    return [" ".join(BARS.sub(" ", line).split()) for line in lines]


class Looks(RunObserver):
    """Looks at the screen whenever what is being trained has changed."""

    def __init__(self, progress: ConsoleProgress) -> None:
        self._progress = progress
        self.seen: list[list[str]] = []
        self.activities: list[Activity] = []

    def on_activity(self, activity: Activity) -> None:
        self.activities.append(activity)
        self.seen.append(drawn(self._progress.live()))


def looked_at(config: SearchConfig, **changes: Any) -> Looks:
    with ConsoleProgress(screen()) as progress:
        looks = Looks(progress)
        run_search(config, observers=[progress, looks], **changes)
        looks.seen.append(drawn(progress.live()))
    return looks


def test_the_view_shows_what_is_done_in_training_and_waiting(table: SearchConfig) -> None:
    begin, first, between, second = looked_at(table).seen[:4]
    assert begin[0] == "round 1 0 done, 0 running, 3 queued 6 edges, ends at 1"
    assert begin[1:3] == ["all 0 of at most 14", "best no round is decided yet"]
    assert begin[3].startswith("workers 0 busy of at most 1, 0 trained in 0:0")
    assert first[0] == "round 1 0 done, 1 running, 2 queued 6 edges, ends at 1"
    assert first[3].startswith("workers 1 busy of at most 1")
    assert between[0] == "round 1 1 done, 0 running, 2 queued 6 edges, ends at 1"
    assert between[1].startswith("all 1 of at most 14 about 0:0")
    assert second[0] == "round 1 1 done, 1 running, 1 queued 6 edges, ends at 1"


def test_the_view_shows_the_best_so_far_and_ends_with_nothing_left(table: SearchConfig) -> None:
    looks = looked_at(table)
    run = run_search(table)
    last = looks.seen[-1]
    evaluations = len(run.ledger.evaluations)
    assert run.best is not None
    assert last[0] == f"all {evaluations} of {evaluations}"
    assert last[1].startswith(f"best score {run.best.score:.4f}, accuracy")
    assert last[1].endswith(f"MACs, round {run.best.round}")


def test_each_training_is_heard_of_as_it_begins_and_ends(table: SearchConfig) -> None:
    looks = looked_at(table, searches=2)
    busy = [activity.busy for activity, _ in groupby(looks.activities)]
    trained = int(len(busy) / 2)
    assert busy == [0] + [1, 0] * trained
    assert {activity.at_once for activity in looks.activities} == {1}
    assert all(sum(a.running.values()) == a.busy for a in looks.activities)
    assert {search for a in looks.activities for search in a.running} == {0, 1}


def test_a_search_in_one_trial_runs_until_it_is_finished(table: SearchConfig) -> None:
    looks = looked_at(table, granularity="search")
    assert [dict(a.running) for a, _ in groupby(looks.activities)] == [{}, {0: 1}, {}]


def snapshot(searches: int, **changes: Any) -> Snapshot:
    """A run in which every search is in its first round."""
    rounds = tuple(OpenRound(number, 1, 10, 4, 2, 28, 1) for number in range(searches))
    left = 200 * searches
    values = {"searches": searches, "done": 4 * searches, "left": left, "is_exact": False}
    more = {"best": None, "trained": 4, "busy": 8, "at_once": 8, "eta": 3661.0}
    return Snapshot(**{"rounds": rounds, **values, **more, **changes})


@pytest.mark.parametrize("searches", [1, 2, 4, 5, 200])
@pytest.mark.parametrize("width", [20, 40, 60, 80, 100, 200])
def test_the_view_has_eight_lines_at_most_and_fits(searches: int, width: int) -> None:
    lines = drawn(Panel(snapshot(searches), 5.0), width)
    assert len(lines) <= 8
    assert lines[-1].startswith("workers")
    assert any("others" in line for line in lines) == (searches > 4)


def test_a_terminal_of_sixty_columns_shows_all_that_changes() -> None:
    assert drawn(Panel(snapshot(2), 5.0), 60) == [
        "search 0, round 1 4 done, 2 running, 4 queued",
        "search 1, round 1 4 done, 2 running, 4 queued",
        "all about 1:01:01 left",
        "best no round is decided yet",
        "workers 8 busy of at most 8, 4 trained in 0:05",
    ]


def test_searches_without_a_line_are_counted() -> None:
    found = snapshot(9)
    some = snapshot(9, rounds=found.rounds[:6])
    assert "others 2 under way, 3 finished" in drawn(Panel(some, 5.0))
    few = snapshot(9, rounds=found.rounds[:2])
    assert "others 7 finished" in drawn(Panel(few, 5.0))


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0:00"), (59.6, "1:00"), (754, "12:34"), (3723, "1:02:03")]
)
def test_times_are_written_as_people_do(seconds: float, text: str) -> None:
    assert clock(seconds) == text


def printed(config: SearchConfig, console: Console) -> str:
    with ConsoleProgress(console) as progress:
        run_search(config, observers=[progress])
    file = console.file
    assert isinstance(file, io.StringIO)
    return file.getvalue()


def test_on_a_screen_decisions_scroll_past_above_the_view(table: SearchConfig) -> None:
    shown = printed(table, screen())
    assert "\x1b[?25l" in shown, "the cursor is hidden while there is a view"
    assert shown.count("\x1b[?25h") == 1
    assert re.search(r"round 1: edge \d-\d of 3 tried goes, score ", shown)


@pytest.mark.parametrize(
    "console", [{"width": 60}, {"force_terminal": True, "_environ": {"TERM": "dumb"}}]
)
def test_without_a_screen_there_are_lines_and_no_escape_codes(
    table: SearchConfig, console: dict[str, Any]
) -> None:
    lines = printed(table, Console(file=io.StringIO(), **console)).splitlines()
    assert not [line for line in lines if "\x1b" in line or "\r" in line]
    assert lines[1] == "table on nothing"
    assert lines[2].startswith("to watch it: autoshrink-ray tensorboard ")
    assert all(re.match(r"round \d+: edge ", line) for line in lines[3:])
    assert len(lines) > 5


@pytest.mark.parametrize("console", [{}, {"force_terminal": True}])
def test_names_with_brackets_are_shown_as_they_are(
    table: SearchConfig, storage: Any, console: dict[str, Any]
) -> None:
    odd = table.model_copy(update={"storage": str(storage / "[red]x["), "name": "[b]"[1]})
    assert "[red]x[" in printed(odd, Console(file=io.StringIO(), width=500, **console))


def test_a_live_line_with_brackets_is_shown_as_it_is() -> None:
    with LiveConsole(screen()) as console:
        console.show("[red]loss[/blue] 3")
        assert drawn(console.live())[0].endswith("[red]loss[/blue] 3")


def test_quiet_prints_nothing_and_leaves_what_others_print_alone(
    table: SearchConfig, capsys: pytest.CaptureFixture[str]
) -> None:
    class Loud(RunObserver):
        def on_decision(self, decision: Any) -> None:
            print("from a plug-in", file=sys.stderr)

    console = screen(quiet=True)
    with ConsoleProgress(console) as progress:
        run_search(table, observers=[progress, Loud()])
    assert isinstance(console.file, io.StringIO)
    assert console.file.getvalue() == ""
    assert "from a plug-in" in capsys.readouterr().err
