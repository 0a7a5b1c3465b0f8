"""What TensorBoard's pages show of a real run, as a user sees it."""

from __future__ import annotations

import math

import pytest

from autoshrink_ray import Evaluation, Run
from tests.browser.pages import Page

pytestmark = pytest.mark.browser

OF_THE_SEARCH = {
    *("score/best", "score/mean", "quality/accuracy", "cost/MACs", "cost/params"),
    *("cost/edges left", "work/seconds", "work/workers busy", "work/failures", "work/cache hits"),
}

OF_EVALUATIONS = {
    *("evaluations/score", "evaluations/best score", "evaluations/failures"),
    *("evaluations/cache hits", "curve/accuracy", "result/score", "result/accuracy"),
}


@pytest.fixture(autouse=True)
def no_complaints(page: Page) -> None:
    """Of the tests before."""
    assert page.complaints() == []


def tags_shown(page: Page) -> set[str]:
    """Tags of the cards that are there."""
    return {
        text.partition("tag: ")[2].partition(" step")[0] for text in page.texts("tf-card-heading")
    }


def rows(run: Run) -> list[Evaluation]:
    return list(run.ledger.evaluations.values())


@pytest.mark.parametrize(
    ("pattern", "tags"),
    [
        ("(score|quality|cost|work)/", OF_THE_SEARCH),
        ("(evaluations|curve|result)/", OF_EVALUATIONS),
    ],
)
def test_scalars_of_the_search_and_of_each_candidate(
    page: Page, pattern: str, tags: set[str]
) -> None:
    page.open("scalars", tagFilter=f"%5E{pattern}")

    page.wait(lambda: tags <= tags_shown(page), f"charts of {tags}")
    page.wait(lambda: page.look("vz-line-chart2 >>> path.line", "1"), "a line in a chart")


def test_every_candidate_has_a_stream_in_its_round(page: Page, run: Run) -> None:
    page.open("scalars")
    expected = {"search"} | {
        f"round-{e.candidate.round:02d}/candidate-{e.candidate.index:02d}" for e in rows(run)
    }

    def streams() -> set[str]:
        words = " ".join(page.texts("tf-runs-selector")).split()
        return {word for word in words if word == "search" or "/candidate-" in word}

    page.wait(lambda: streams() >= expected, "all streams")
    assert streams() == expected


def test_images_of_cells_edges_and_the_front(page: Page) -> None:
    page.open("images", tagFilter=".")
    tags = {"cell", "edge importance", "quality against MACs"}
    page.wait(
        lambda: len(page.look("tf-image-loader >>> img", "e.naturalWidth")) >= len(tags), "pictures"
    )
    page.wait(
        lambda: min(page.look("tf-image-loader >>> img", "e.naturalWidth")) > 200, "their content"
    )
    assert tags_shown(page) == tags


def test_there_is_a_picture_of_each_round(page: Page, run: Run) -> None:
    page.open("images", tagFilter="%5Ecell$")
    rounds = len(run.searches[0].rounds)
    slider = "tf-image-loader >>> paper-slider"
    page.wait(lambda: (page.look(slider, "e.max") or [0])[0] == rounds - 1, "a step a round")


def test_hparams_has_a_row_for_each_candidate_and_all_columns(page: Page, run: Run) -> None:
    page.open("hparams")
    page.wait(lambda: len(table(page)) == len(rows(run)), "all rows")
    shown = table(page)
    for evaluation in rows(run):
        candidate, metrics = evaluation.candidate, evaluation.measurement.metrics
        row = shown[f"round-{candidate.round:02d}/candidate-{candidate.index:02d}"]
        assert row["removed edge"] == "-".join(map(str, candidate.removed or ()))
        expected = {
            "round": candidate.round,
            "edges": len(candidate.topology.edges),
            "MACs": metrics["macs"],
            "params": metrics["params"],
            "score": run.objective.score(metrics),
            "accuracy": metrics["accuracy"],
        }
        assert row.keys() == {"Trial ID", "Show Metrics", "removed edge", *expected}
        for name, value in expected.items():
            assert math.isclose(float(row[name]), value, rel_tol=1e-3), (name, row)


def table(page: Page) -> dict[str, dict[str, str]]:
    """The table's rows by the name of their trial."""
    cells = "[...e.querySelectorAll('th, td')].map(cell => text(cell))"
    lines = [[" ".join(t.split()) for t in line] for line in page.look("vaadin-grid >>> tr", cells)]
    titles = lines[0] if lines else []
    rows = (dict(zip(titles, line, strict=False)) for line in lines[1:])
    return {row["Trial ID"]: row for row in rows if row.get("Trial ID")}


def test_parallel_coordinates_have_an_axis_a_column_and_a_line_a_candidate(
    page: Page, run: Run
) -> None:
    page.open("hparams")
    page.wait(lambda: page.texts("paper-tab"), "the views")
    page.click("paper-tab", "PARALLEL COORDINATES VIEW")
    plot = "tf-hparams-parallel-coords-plot"
    page.wait(lambda: page.look(f"{plot} >>> .foreground path", "1"), "lines")
    assert len(page.look(f"{plot} >>> .foreground path", "1")) == len(rows(run))
    assert len(page.look(f"{plot} >>> .axis", "1")) == 7


def test_custom_scalars_put_the_important_charts_first(page: Page) -> None:
    page.open("custom_scalars")
    cards = "tf-custom-scalar-multi-line-chart-card"
    page.wait(lambda: len(page.look(cards, "1")) == 8, "charts")
    assert page.texts(f"{cards} >>> tf-card-heading")[:4] == [
        "score by round",
        "accuracy of each round's winner",
        "MACs of each round's winner",
        "edges left",
    ]
    page.wait(lambda: page.look(f"{cards} >>> path.line", "1"), "a line in a chart")


def test_the_configuration_and_the_cell_are_there_as_text(page: Page, run: Run) -> None:
    page.open("text", tagFilter=".")
    best = run.best
    assert best is not None
    edges = ", ".join(f"{i}-{j}" for i, j in best.topology.edges)
    page.wait(lambda: edges in " ".join(page.texts("tf-text-loader")), "the cell's edges")
    assert "train_per_class: 8" in " ".join(page.texts("tf-text-loader"))


def test_no_page_has_complained(page: Page) -> None:
    assert page.complaints() == []
