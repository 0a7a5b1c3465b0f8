"""`autoshrink-ray draw`, as a user types it."""

from __future__ import annotations

import io
from pathlib import Path
from xml.etree import ElementTree

import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from autoshrink_ray import Run, SearchConfig, run_search
from autoshrink_ray.files import evaluation_name
from launch import cli
from search_spaces.zoo import CELLS
from tests.core.runs import TABLE, Death, Notes, crash

RUNNER = CliRunner()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which runs have finished: two searches, a random one, and one that was killed."""
    folder = tmp_path_factory.mktemp("draw")
    storage = str(folder / "runs")
    run_search(SearchConfig.of(TABLE | {"storage": storage, "name": "two", "searches": 2}))
    random = {"storage": storage, "name": "chance", "algorithm": "random", "budget": 3}
    without = {key: value for key, value in TABLE.items() if key != "candidates"}
    run_search(SearchConfig.of(without | random))
    for name, at in (("killed", 4), ("early", 1)):
        with pytest.raises(Death):
            run_search(
                SearchConfig.of(TABLE | {"storage": storage, "name": name}),
                observers=[Notes(at, crash)],
            )
    return folder


@pytest.fixture
def place(made: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(made)
    return made


def draw(*arguments: str) -> Result:
    return RUNNER.invoke(cli.app, ["draw", *arguments])


def svg(path: Path) -> ElementTree.Element:
    return ElementTree.fromstring(path.read_text())


def title(path: Path) -> str:
    return svg(path).findtext("{http://www.w3.org/2000/svg}title") or ""


def description(path: Path) -> str:
    return svg(path).findtext("{http://www.w3.org/2000/svg}desc") or ""


@pytest.mark.parametrize("name", sorted(CELLS))
def test_a_published_cell(place: Path, name: str) -> None:
    done = draw(name)
    assert done.exit_code == 0, done.output
    assert done.output == f"wrote {name}.cell.svg\n"
    nodes, edges = len(CELLS[name].topology.reachable), len(CELLS[name].topology.edges)
    assert title(place / f"{name}.cell.svg") == f"Cell of {nodes} nodes and {edges} edges"


def test_a_run_means_its_best_cell(place: Path) -> None:
    assert draw("two").exit_code == 0
    best = Run("two").best
    assert best is not None
    for node in best.topology.reachable - {0}:
        assert f"node {node} is {best.topology.ops[node]}" in description(place / "two.cell.svg")
    assert draw("runs/two", "-o", "same.svg").exit_code == 0
    assert (place / "same.svg").read_text() == (place / "two.cell.svg").read_text()


def test_a_cell_file_by_uri_and_into_a_uri(place: Path) -> None:
    assert RUNNER.invoke(cli.app, ["best", "two", "-o", "mine.cell.json"]).exit_code == 0
    assert draw("mine.cell.json").exit_code == 0
    uri = (place / "mine.cell.json").as_uri()
    assert draw(uri, "-o", (place / "by-uri.svg").as_uri()).exit_code == 0
    assert (place / "by-uri.svg").read_text() == (place / "mine.cell.svg").read_text()


def test_a_png_has_two_pixels_for_each_of_the_svg(place: Path) -> None:
    assert draw("shrink-rnn", "-o", "a.svg").exit_code == 0
    assert draw("shrink-rnn", "-o", "a.png").exit_code == 0
    root = svg(place / "a.svg")
    with Image.open(io.BytesIO((place / "a.png").read_bytes())) as opened:
        assert opened.size == (2 * int(root.get("width", "")), 2 * int(root.get("height", "")))


def test_a_round_shows_what_was_tried_and_what_went(place: Path) -> None:
    done = draw("two", "--search", "1", "--round", "2")
    assert done.output == "wrote two.round-002.svg\n"
    decision = Run("two").searches[1].rounds[1]
    assert decision.removed is not None
    source, target = decision.removed
    path = place / "two.round-002.svg"
    assert title(path) == (
        f"two, search 1, round 2: {source}-{target} goes, best score {decision.score:.4f}"
    )
    assert f"edge {source} to {target}, score {decision.score:.6g}, removed" in description(path)
    assert description(path).count(", score ") == len(decision.ranking)


def test_round_means_search_0_and_search_means_its_best_cell(place: Path) -> None:
    assert draw("two", "--round", "1", "-o", "a.svg").exit_code == 0
    assert title(place / "a.svg").startswith("two, search 0, round 1: ")
    assert draw("two", "--search", "1", "-o", "b.svg").exit_code == 0
    best = Run("two").searches[1].best
    assert best is not None
    assert f"and {len(best.topology.edges)} edges" in title(place / "b.svg")


def test_a_round_of_a_run_that_was_killed(place: Path) -> None:
    assert draw("killed", "--round", "1").exit_code == 0
    assert draw("killed", "--round", "2", "-o", "open.svg").exit_code == 0
    assert title(place / "open.svg").startswith("killed, search 0, round 2: open, best score ")
    assert "removed" not in description(place / "open.svg")


def test_what_a_decision_knows_of_a_lost_evaluation_is_shown(place: Path) -> None:
    decision = Run("killed").searches[0].rounds[0]
    loser = decision.ranking[-1].index
    (damaged,) = (place / "runs" / "killed").rglob(evaluation_name(1, loser))
    content = damaged.read_bytes()
    damaged.write_bytes(b"{}")
    done = draw("killed", "--round", "1", "-o", "lost.svg")
    damaged.write_bytes(content)
    assert done.exit_code == 0
    assert description(place / "lost.svg").count(", score ") == len(decision.ranking)


def test_failed_candidates_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    first = run_search(SearchConfig.of(TABLE | {"name": "all"}))
    worst = first.searches[0].rounds[0].ranking[-1].index
    key = first.ledger.evaluations[0, 1, worst].candidate.topology.key
    run_search(
        SearchConfig.of(
            TABLE | {"name": "some", "proxy": {"diverges": [key], "folder": str(tmp_path)}}
        )
    )
    assert draw("some", "--round", "1", "-o", "some.svg").exit_code == 0
    assert title(tmp_path / "some.svg").endswith(", 1 failed")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ("two -o a.jpg", 2, "ends in one of .svg, .png, got 'a.jpg'"),
        ("two -o svg", 2, "ends in one of .svg, .png, got 'svg'"),
        ("nothing", 2, "no cell at nothing"),
        ("two --round 99", 2, "search 0 of run 'two' has no round 99; choose one of 1, 2"),
        ("two --search 2", 2, "run 'two' has no search 2; choose one of 0, 1"),
        ("two --round 0", 2, "greater than or equal to 1"),
        ("chance --round 1", 2, "its algorithm is random"),
        ("shrink-rnn --round 1", 2, "--search and --round choose from a run, and shrink-rnn is"),
        ("nothing --search 0", 2, "choose from a run, and nothing is none"),
        ("early", 1, "has no decided round yet"),
        ("early --search 0", 1, "has no decided round yet"),
        ("early --round 2", 2, "search 0 of run 'early' has no round 2; "),
        ("broken.cell.json", 2, "broken.cell.json is not valid JSON"),
        ("two -o broken.cell.json/a.svg", 2, "cannot write"),
    ],
)
def test_bad_input_is_explained(place: Path, arguments: str, code: int, message: str) -> None:
    (place / "broken.cell.json").write_text("{")
    done = draw(*arguments.split())
    assert message in " ".join(done.output.replace("│", " ").split())
    assert done.exit_code == code
    assert "Traceback" not in done.output


def test_help_shows_examples() -> None:
    shown = draw("--help").output
    assert "autoshrink-ray draw first --round 3" in shown


def test_the_readmes_picture_is_what_draw_makes(place: Path) -> None:
    shown = Path(__file__).parents[2] / "docs" / "pictures" / "shrink-rnn.cell.svg"
    assert draw("shrink-rnn", "-o", "readme.svg").exit_code == 0
    assert (place / "readme.svg").read_text() == shown.read_text()
