"""`autoshrink-ray report`, as a user types it."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from autoshrink_ray import SearchConfig, run_search
from autoshrink_ray.storage import Folder
from launch import cli
from tests.core.report.reading import Element, check_accessible, check_alone, read
from tests.core.runs import TABLE
from tests.core.test_outage import Line, line, uri

__all__ = ["line"]

RUNNER = CliRunner()


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with the runs `first` and `second` in its storage."""
    monkeypatch.chdir(tmp_path)
    for seed, name in enumerate(("first", "second")):
        run_search(SearchConfig.of(TABLE | {"name": name, "seed": seed}))
    return tmp_path


def call(*arguments: str) -> Result:
    return RUNNER.invoke(cli.app, [*arguments])


def page(path: Path) -> Element:
    found = read(path.read_text(encoding="utf-8"))
    check_alone(found)
    check_accessible(found)
    return found


def links(found: Element) -> list[str]:
    return [a.attributes["href"] for a in found.part("files").all("a")]


def test_a_report_lies_in_the_runs_folder_and_links_to_its_neighbours(place: Path) -> None:
    done = call("report", "first")
    assert done.exit_code == 0, done.output
    target = place / "runs" / "first" / "report.html"
    assert done.output.replace("\n", "") == f"wrote {target}"
    assert all((target.parent / link).exists() for link in links(page(target)))
    assert len(links(page(target))) == 4
    assert call("verify", "first").exit_code == 0, "a report does not disturb a run"


def test_another_place_gets_links_to_the_folder(place: Path) -> None:
    assert call("report", "runs/first", "-o", "out/mine.html").exit_code == 0
    uris = links(page(place / "out" / "mine.html"))
    assert uris == [
        f"{(place / 'runs' / 'first').as_uri()}/{name}"
        for name in ("best.cell.json", "evaluations.parquet", "run.yaml", "ledger/")
    ]


def test_storage_and_uris(place: Path) -> None:
    uri = (place / "by-uri.html").as_uri()
    assert call("report", "first", "--storage", (place / "runs").as_uri(), "-o", uri).exit_code == 0
    assert page(place / "by-uri.html").all("h1")[0].text == "first"
    beside = (place / "runs" / "first" / "x.html").as_uri()
    assert call("report", "first", "-o", beside).exit_code == 0
    assert links(page(place / "runs" / "first" / "x.html"))[0] == "best.cell.json"


def test_several_runs_are_compared_in_the_working_directory(place: Path) -> None:
    done = call("report", "first", "second")
    assert done.output == "wrote report.html\n"
    assert page(place / "report.html").all("h1")[0].text == "first, second"
    assert call("report", "first", "second", "-o", "both.html").exit_code == 0
    assert (place / "both.html").read_text() == (place / "report.html").read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("nothing", "no run at"),
        ("first first", "a comparison names each run once"),
        ("first runs/first", "a comparison names each run once"),
        ("first nothing", "no run at"),
        ("broken", "run.yaml is damaged"),
        ("first broken", "run.yaml is damaged"),
        ("first -o runs/first/run.yaml/x.html", "cannot write"),
        ("", "Missing argument 'RUN...'"),
    ],
)
def test_bad_input_is_explained(place: Path, arguments: str, message: str) -> None:
    broken = place / "runs" / "broken"
    broken.mkdir()
    (broken / "run.yaml").write_text("name: [")
    done = call("report", *arguments.split())
    assert message in " ".join(done.output.replace("│", " ").split())
    assert done.exit_code == 2
    assert "Traceback" not in done.output
    assert not (place / "report.html").exists()


def test_help_shows_examples() -> None:
    assert "autoshrink-ray report first second third" in call("report", "--help").output


def test_an_object_store_gets_its_report_and_is_linked_only_from_within(
    line: Line, tmp_path: Path
) -> None:
    run_search(SearchConfig.of(TABLE | {"name": "far"}), storage=uri(line, "runs"))
    assert call("report", uri(line, "runs/far")).exit_code == 0
    found = read(Folder(uri(line, "runs/far")).read("report.html").decode())
    assert links(found)[0] == "best.cell.json"
    here = tmp_path / "here.html"
    assert call("report", "far", "--storage", uri(line, "runs"), "-o", str(here)).exit_code == 0
    assert links(page(here)) == []
