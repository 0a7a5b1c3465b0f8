"""The streams of a search: what is in them, and that they never depend on what happened to it."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tensorboard.plugins.custom_scalar import layout_pb2
from tensorboard.plugins.hparams import metadata

from autoshrink_ray import Candidate, Evaluation, Measurement, Run, SearchConfig, Topology
from autoshrink_ray import run_search as search
from autoshrink_ray.errors import StorageError
from autoshrink_ray.objective import objective
from autoshrink_ray.policies.base import rank
from autoshrink_ray.tensorboard import candidates as candidates_module
from autoshrink_ray.tensorboard import tags
from autoshrink_ray.tensorboard.candidates import Best
from autoshrink_ray.tensorboard.events import EventFile
from tests.core.boards import hparams, log, pictures, rows, scalars, shown, streams
from tests.core.processes import table
from tests.core.runs import Notes, decisions, interrupted, killed
from tests.plugins.table import TableSpace


def run_search(config: SearchConfig, **changes: Any) -> Run:
    """A search that is told of nothing that went wrong."""
    notes = Notes()
    run = search(config, observers=[notes], **changes)
    assert notes.notices == []
    return run


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A search of a few rounds, with a candidate that failed and one that was copied."""
    config = table(tmp_path_factory.mktemp("board"))
    key = TableSpace().initial(5, 0).without((0, 3)).key
    return run_search(config, proxy={"diverges": [key]}, candidates=10)


def test_a_round_is_a_step_of_the_search(full: Run) -> None:
    stream = scalars(streams(log(full))["search"])
    for number, decision in enumerate(decisions(full), 1):
        values = {
            tag: dict(found)[number] for tag, found in stream.items() if number in dict(found)
        }
        ranked = [line.score for line in decision.ranking]
        expected = {
            "score/best": decision.score,
            "score/mean": sum(ranked) / len(ranked),
            "quality/accuracy": decision.metrics["accuracy"],
            "cost/MACs": decision.metrics["macs"],
            "cost/params": decision.metrics["params"],
            "cost/edges left": len(decision.topology.edges),
            "work/failures": len(decision.failed),
        }
        for tag, value in expected.items():
            assert math.isclose(values[tag], value, rel_tol=1e-6), tag
        assert values["work/workers busy"] <= 1 + 1e-6
        cached = [e for e in evaluations(full, number) if e.cached]
        assert values["work/cache hits"] == len(cached)
    assert sum(value for _, value in stream["work/failures"]) == 1


def evaluations(run: Run, number: int | None = None) -> list[Evaluation]:
    found = run.ledger.evaluations.values()
    return [e for e in found if number in (None, e.candidate.round)]


def test_an_evaluation_is_a_step_with_what_is_best_by_then(full: Run) -> None:
    stream = scalars(streams(log(full))["search"])
    scores = [full.objective.score(e.measurement.metrics) for e in evaluations(full)]
    assert [step for step, _ in stream[tags.FAILED_SO_FAR]] == list(range(1, len(scores) + 1))
    usable = {step: score for step, score in enumerate(scores, 1) if math.isfinite(score)}
    assert dict(stream[tags.SCORE]) == pytest.approx(usable)
    assert stream[tags.BEST_SO_FAR][-1][1] == pytest.approx(max(usable.values()))
    best = [value for _, value in stream[tags.BEST_SO_FAR]]
    assert best == sorted(best)


def test_each_round_has_its_picture_and_the_run_its_figures(full: Run) -> None:
    found = pictures(streams(log(full))["search"])
    count = len(decisions(full))
    assert found[tags.CELL] == list(range(1, count + 1))
    assert (found[tags.IMPORTANCE][-1], found[tags.PARETO][-1]) == (count, count)


def test_the_configuration_and_each_better_cell_are_texts(full: Run) -> None:
    stream = streams(log(full))["search"]
    (configuration,) = stream.Tensors(tags.CONFIGURATION)
    assert "algorithm: shrink" in configuration.tensor_proto.string_val[0].decode()
    assert full.best is not None
    last = stream.Tensors(tags.FOUND)[-1]
    assert last.step == full.best.round
    assert full.cell(full.best).to_json().decode().splitlines()[1] in (
        last.tensor_proto.string_val[0].decode()
    )


def test_every_candidate_has_a_stream_and_a_row(full: Run) -> None:
    found = rows(log(full))
    assert len(found) == len(evaluations(full))
    for evaluation in evaluations(full):
        candidate, metrics = evaluation.candidate, evaluation.measurement.metrics
        name = f"round-{candidate.round:02d}/candidate-{candidate.index:02d}"
        assert candidate.removed is not None
        expected = {
            "search": 0,
            "round": candidate.round,
            "candidate": candidate.index,
            "removed": "{}-{}".format(*candidate.removed),
            "edges": len(candidate.topology.edges),
            "status": evaluation.measurement.status,
        }
        costs = {name: metrics[name] for name in ("macs", "params") if evaluation.complete}
        assert found[name] == expected | costs


def test_a_candidates_stream_has_its_curve_and_its_result(full: Run) -> None:
    everything = streams(log(full))
    for evaluation in evaluations(full):
        candidate, measurement = evaluation.candidate, evaluation.measurement
        stream = everything[f"round-{candidate.round:02d}/candidate-{candidate.index:02d}"]
        expected: dict[str, Any] = {}
        if evaluation.complete:
            score = full.objective.score(measurement.metrics)
            accuracy = measurement.metrics["accuracy"]
            expected = {
                "curve/accuracy": list(enumerate(measurement.curve, 1)),
                "result/score": [(candidate.round, pytest.approx(score))],
                "result/accuracy": [(candidate.round, pytest.approx(accuracy))],
            }
            expected["curve/accuracy"] = [
                (s, pytest.approx(v)) for s, v in expected["curve/accuracy"]
            ]
        assert scalars(stream) == expected


def test_the_tables_columns_are_said_once_for_all_rows(full: Run) -> None:
    said = [hparams(stream).get(metadata.EXPERIMENT_TAG) for stream in streams(log(full)).values()]
    (content,) = filter(None, said)
    experiment = metadata.parse_experiment_plugin_data(content)
    named = {info.name for info in experiment.hparam_infos}
    for cells in rows(log(full)).values():
        assert cells.keys() <= named
    front = {info.name for info in experiment.hparam_infos if info.differs}
    assert front == {"round", "removed", "edges", "macs", "params"}
    assert [i.display_name for i in experiment.metric_infos] == ["score", "accuracy"]


def test_every_chart_of_the_layout_has_data(full: Run) -> None:
    everything = streams(log(full))
    (event,) = everything["search"].Tensors("custom_scalars__config__")
    layout = layout_pb2.Layout.FromString(event.tensor_proto.string_val[0])
    there = {f"^{tag}$" for stream in everything.values() for tag in scalars(stream)}
    for category in layout.category:
        for chart in category.chart:
            wanted = {pattern.replace("\\", "") for pattern in chart.multiline.tag}
            assert wanted <= there, chart.title


@pytest.mark.parametrize("mode", ["full", "summary"])
@pytest.mark.parametrize("at", [1, 3, 4, 8])
@pytest.mark.parametrize("stop", [killed, interrupted])
def test_a_run_that_was_stopped_shows_what_an_undisturbed_one_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str, at: int, stop: Any
) -> None:
    monkeypatch.setattr(candidates_module, "BEST", 4)
    config = table(tmp_path).model_copy(update={"tensorboard": mode})
    whole = run_search(config, name="whole")
    stop(config, at)
    again = run_search(config)
    assert shown(log(again)) == shown(log(whole))
    assert files_of_searches(again) == 1, "of the first start nothing is left"


def files_of_searches(run: Run) -> int:
    return len(list((log(run) / "search").iterdir()))


def test_files_that_are_right_are_left_alone_and_others_replaced(tmp_path: Path) -> None:
    config = table(tmp_path)
    killed(config, 5)
    place = log(Run("run", str(tmp_path)))
    right = {path: path.stat().st_ino for path in place.rglob("candidate-*/*")}
    stale = place / "round-01" / "candidate-01" / "events.out.tfevents.0000000001.stale"
    stale.write_bytes(b"")
    (place / "mine.txt").write_text("mine")
    run_search(config)
    assert right
    assert {path: path.stat().st_ino for path in right} == right
    assert not stale.exists()
    assert (place / "mine.txt").exists()


def test_another_mode_shows_less_or_more_from_then_on(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(candidates_module, "BEST", 2)
    config = table(tmp_path)
    killed(config, 7, tensorboard="full")
    run = run_search(config, tensorboard="summary")
    assert set(rows(log(run))) == expected_in_summary(run, 2)


def expected_in_summary(run: Run, size: int) -> set[str]:
    """Streams of the winners and of the best candidates."""
    found = rank_of(evaluations(run))[:size] + [
        run.ledger.evaluations[d.search, d.round, d.winner] for d in decisions(run)
    ]
    places = {e.candidate.place for e in found}
    return {f"round-{number:02d}/candidate-{index:02d}" for _, number, index in places}


def rank_of(found: list[Evaluation]) -> list[Evaluation]:
    """By score, of equal ones the earlier, without those that have none."""
    score = objective("accuracy").score
    usable = [e for e in found if e.complete and math.isfinite(score(e.measurement.metrics))]
    return sorted(usable, key=lambda e: (-score(e.measurement.metrics), e.candidate.place))


@pytest.mark.parametrize("size", [1, 5])
def test_a_summary_has_the_winners_and_the_best(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    monkeypatch.setattr(candidates_module, "BEST", size)
    run = run_search(table(tmp_path), tensorboard="summary")
    assert set(rows(log(run))) == expected_in_summary(run, size)
    per_stream = [len(list(folder.iterdir())) for folder in log(run).rglob("candidate-*")]
    assert set(per_stream) <= {0, 1}, "each file is written once"


measurements = st.floats(0, 1).map(
    lambda accuracy: Measurement(status="complete", metrics={"accuracy": accuracy, "macs": 10.0})
) | st.sampled_from(
    [
        Measurement(status="failed", reason="diverged"),
        Measurement(status="complete", metrics={"accuracy": 0.5, "macs": 0.0}),
    ]
)


@given(st.lists(measurements, max_size=30), st.integers(1, 6), st.randoms())
def test_the_best_are_those_of_the_ranking_in_whatever_order_they_come(
    found: list[Measurement], size: int, order: Any
) -> None:
    cell = Topology.complete(("a", "b"))
    all_of_them = [
        Evaluation(
            candidate=Candidate(search=0, round=1 + number // 7, index=number % 7, topology=cell),
            seed=0,
            measurement=measurement,
        )
        for number, measurement in enumerate(found)
    ]
    best = Best(objective("accuracy"), size)
    for evaluation in order.sample(all_of_them, len(all_of_them)):
        best.add(evaluation)
    assert best.places == {e.candidate.place for e in rank_of(all_of_them)[:size]}


def test_several_searches_have_a_stream_each(tmp_path: Path) -> None:
    config = table(tmp_path)
    run_search(config)
    run = run_search(config, searches=2, extend=True)
    found = streams(log(run))
    assert {name for name in found if "/" not in name} == {"search", "search-000", "search-001"}
    assert len(rows(log(run))) == len(evaluations(run))
    assert all(name.startswith("search-00") for name in rows(log(run)))
    assert scalars(found["search"]) == {}
    for number in range(2):
        alone = run_search(config, name=f"alone-{number}", seed=number)
        assert (
            scalars(found[f"search-00{number}"]).keys()
            == scalars(streams(log(alone))["search"]).keys()
        )
        best = scalars(found[f"search-00{number}"])["score/best"]
        assert best == scalars(streams(log(alone))["search"])["score/best"]


def test_a_random_search_is_shown_evaluation_by_evaluation(tmp_path: Path) -> None:
    settings = {"algorithm": "random", "budget": 6, "space": "table", "name": "random"}
    plugins = {"plugins": ["tests.plugins.table"], "executor": "in-process"}
    run = run_search(SearchConfig.of(settings | plugins | {"storage": str(tmp_path)}))
    stream = streams(log(run))["search"]
    assert len(scalars(stream)[tags.SCORE]) == 6
    assert pictures(stream)[tags.CELL] == [1]
    assert {cells["removed"] for cells in rows(log(run)).values()} == {"none"}


def test_off_writes_nothing(tmp_path: Path) -> None:
    run = run_search(table(tmp_path), tensorboard="off")
    assert not log(run).exists()


def test_storage_that_fails_is_told_once_and_the_search_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = run_search(table(tmp_path / "whole"))

    def full_disk(self: EventFile) -> None:
        raise StorageError("no space left")

    config, notes = table(tmp_path), Notes()
    with monkeypatch.context() as patch:
        patch.setattr(EventFile, "flush", full_disk)
        run = search(config, observers=[notes])
    assert decisions(run) == decisions(expected)
    (notice,) = notes.notices
    assert "TensorBoard does not show all of this run (StorageError: no space left)" in notice


def test_what_could_not_be_written_for_a_time_is_there_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = run_search(table(tmp_path / "whole"))
    flush, calls = EventFile.flush, iter(range(10**6))

    def sometimes(self: EventFile) -> None:
        if next(calls) in range(3, 7):
            raise StorageError("no space left")
        flush(self)

    monkeypatch.setattr(EventFile, "flush", sometimes)
    run = search(table(tmp_path))
    assert shown(log(run)) == shown(log(whole))


def test_an_evaluation_that_was_lost_and_made_again_is_shown_in_its_place(tmp_path: Path) -> None:
    config = table(tmp_path)
    whole = run_search(config, name="whole")
    run = run_search(config)
    winner = run.ledger.decisions[0, 1].winner
    (lost,) = Path(run.folder.path).rglob(f"round-001-candidate-{(winner + 1) % 3:04d}.json")
    lost.unlink()
    again = run_search(config)
    assert shown(log(again)) == shown(log(whole))


def test_streams_are_as_the_ranking_says(full: Run) -> None:
    found = rank(evaluations(full, 1), full.objective)
    assert scalars(streams(log(full))["search"])["score/best"][0][1] == pytest.approx(found[0][1])
