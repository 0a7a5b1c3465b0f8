"""A run in a notebook: pandas, figures and a table."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import matplotlib as mpl
import pandas as pd
import pytest
from matplotlib.figure import Figure
from PIL import Image

from autoshrink_ray import Run, run_search
from autoshrink_ray.errors import ConfigError
from autoshrink_ray.plots import to_png, to_svg
from tests.contracts.scoring import failed
from tests.core.analysis.handmade import (
    candidates,
    evaluated,
    measured,
    run_of,
    shrink_identity,
)
from tests.core.analysis.test_rounds import table_run

PLOTS: dict[str, Callable[[Run], Figure]] = {
    "score": Run.plot_score,
    "pareto": Run.plot_pareto,
    "edges": Run.plot_edges,
    "round": lambda run: run.plot_round(1),
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return run_search(table_run(str(tmp_path_factory.mktemp("runs")), searches=2))


def test_evaluations_are_a_data_frame(run: Run) -> None:
    frame = run.evaluations
    assert isinstance(frame, pd.DataFrame)
    assert len(frame) == run.table.num_rows
    assert list(frame.columns) == run.table.column_names
    assert run.best is not None
    assert frame["score"].max() == pytest.approx(run.best.score)


def test_the_front_is_what_no_evaluation_beats(run: Run) -> None:
    front, frame = run.pareto(), run.evaluations
    assert list(front["macs"]) == sorted(front["macs"])
    assert list(front.columns[:5]) == ["search", "round", "index", "edges", "macs"]
    for row in front.itertuples():
        better = frame[(frame["accuracy"] >= row.accuracy) & (frame["macs"] <= row.macs)]
        assert set(better["accuracy"]) == {row.accuracy}
        assert set(better["macs"]) == {row.macs}


@pytest.mark.parametrize("plot", PLOTS)
def test_figures_are_drawn_as_png_and_svg(run: Run, plot: str) -> None:
    figure = PLOTS[plot](run)
    assert figure.axes
    image = Image.open(io.BytesIO(to_png(figure)))
    assert min(image.size) > 100
    assert len(set(image.convert("L").get_flattened_data())) > 20, "something is drawn"
    assert ElementTree.fromstring(to_svg(figure)).tag == "{http://www.w3.org/2000/svg}svg"
    assert to_svg(PLOTS[plot](run)) == to_svg(PLOTS[plot](run))
    assert figure._repr_png_()[:4] == b"\x89PNG"  # type: ignore[attr-defined]


@pytest.mark.parametrize("plot", ["score", "pareto", "edges"])
def test_a_run_that_has_nothing_is_drawn(tmp_path: Path, plot: str) -> None:
    figure = PLOTS[plot](run_of(tmp_path, []))
    assert not figure.axes
    assert len(figure.texts) == 1
    assert to_png(figure)


def test_a_round_of_failures_is_drawn(tmp_path: Path) -> None:
    run = run_of(tmp_path, [evaluated(c, failed()) for c in candidates()])
    assert "no candidate" in run.plot_round(1).texts[0].get_text()


def test_a_text_search_has_better_cells_higher_up(tmp_path: Path) -> None:
    metrics = {"perplexity": 100.0, "macs": 1.0, "cost": 1e6}
    identity = shrink_identity(objective="perplexity", cost_weight=1.0)
    results = [evaluated(candidates()[0], measured(0, metrics=metrics))]
    (axes,) = run_of(tmp_path, results, identity=identity).plot_pareto().axes
    assert axes.yaxis_inverted()


def test_a_random_search_is_drawn(tmp_path: Path) -> None:
    run = run_search(table_run(str(tmp_path), algorithm="random", budget=4))
    assert run.plot_score().axes
    assert run.plot_round(1).axes
    assert not run.plot_edges().axes, "no edge was tried"


def test_what_is_not_there_is_not_drawn(run: Run) -> None:
    with pytest.raises(ConfigError, match="no round 99; choose one of 1, 2"):
        run.plot_round(99)
    with pytest.raises(ConfigError, match="no search 2; choose one of 0, 1"):
        run.plot_edges(2)


def test_a_run_shows_itself(run: Run) -> None:
    page = ElementTree.fromstring(f"<div>{run._repr_html_()}</div>")
    words = [cell.text for cell in page.iter("td")]
    assert {"run", "table", "finished"} <= set(words)
    rounds = sum(len(search.rounds) for search in run.searches)
    assert len(page.findall("details/table/tr")) == rounds + len(run.searches)


def test_a_run_that_is_not_finished_shows_itself(tmp_path: Path) -> None:
    run = run_of(tmp_path, [evaluated(candidates()[0], failed("a < b"))])
    assert "none yet" in run._repr_html_()
    assert "1, 1 of them failed" in run._repr_html_()


def test_a_damaged_run_says_so_and_nothing_of_it_is_markup(tmp_path: Path) -> None:
    run = run_of(tmp_path / "one", [], identity=shrink_identity(space="<script>"))
    assert "&lt;script&gt;" in run._repr_html_()
    assert "<script>" not in run._repr_html_()
    (tmp_path / "one" / "run.yaml").write_text("name: [<b>")
    text = Run(str(tmp_path / "one"))._repr_html_()
    assert "damaged" in text
    assert "<b>" not in text


def test_no_figure_touches_pyplot() -> None:
    code = "import sys, autoshrink_ray.plots; sys.exit('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_importing_the_package_loads_neither_matplotlib_nor_pandas() -> None:
    code = "import sys, autoshrink_ray; sys.exit(bool({'matplotlib', 'pandas'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_drawing_leaves_matplotlibs_settings_alone(run: Run) -> None:
    before = dict(mpl.rcParams)
    to_svg(run.plot_score())
    assert dict(mpl.rcParams) == before
