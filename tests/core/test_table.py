"""`evaluations.parquet`: the columns that other programs may count on."""

from __future__ import annotations

from datetime import UTC, datetime

import pyarrow as pa
import pytest
from pyarrow import parquet

from autoshrink_ray.ledger import LedgerContents
from autoshrink_ray.objective import OBJECTIVES
from autoshrink_ray.records import Candidate, Evaluation, Measurement
from autoshrink_ray.table import evaluations_table, to_parquet
from autoshrink_ray.topology import Topology
from tests.contracts.scoring import complete, failed

CELL = Topology(("b", "a", "b"), ((0, 1), (0, 2)))
ACCURACY, PERPLEXITY = OBJECTIVES["accuracy"], OBJECTIVES["perplexity"]

TYPES = {
    "search": pa.int32(),
    "round": pa.int32(),
    "index": pa.int32(),
    "removed": pa.list_(pa.int32()),
    "edges": pa.list_(pa.list_(pa.int32())),
    "ops": pa.list_(pa.string()),
    "key": pa.string(),
    "seed": pa.int64(),
    "status": pa.string(),
    "macs": pa.int64(),
    "params": pa.int64(),
    "score": pa.float64(),
    "epochs": pa.int32(),
    "seconds": pa.float64(),
    "cached": pa.bool_(),
    "stop_reason": pa.string(),
    "attempts": pa.int32(),
    "lost_seconds": pa.float64(),
    "node": pa.string(),
    "device": pa.string(),
    "queued": pa.timestamp("us", tz="UTC"),
    "started": pa.timestamp("us", tz="UTC"),
    "ended": pa.timestamp("us", tz="UTC"),
    "curve": pa.list_(pa.float64()),
}


def table(*evaluations: Evaluation, objective: str = "accuracy") -> pa.Table:
    contents = LedgerContents(evaluations={e.candidate.place: e for e in evaluations})
    return evaluations_table(contents, OBJECTIVES[objective])


def evaluated(
    index: int, measurement: Measurement, *, search: int = 0, removed: tuple[int, int] | None = None
) -> Evaluation:
    candidate = Candidate(search=search, round=2, index=index, topology=CELL, removed=removed)
    return Evaluation(
        candidate=candidate,
        seed=2**63 - 1,
        measurement=measurement,
        attempts=3,
        lost_seconds=1.5,
        node="here",
        queued=1700000000.5,
        started=1700000001.0,
        ended=1700000002.25,
    )


PERPLEXITY_RESULT = Measurement(
    status="complete",
    metrics={"perplexity": 120.0, "macs": 3.3e6, "params": 5e5, "cost": 1e6, "decoder_macs": 9.0},
)


@pytest.mark.parametrize(
    ("objective", "measurement", "quality"),
    [("accuracy", complete(0.5), "accuracy"), ("perplexity", PERPLEXITY_RESULT, "perplexity")],
)
@pytest.mark.parametrize("empty", [False, True])
def test_columns_and_their_types(
    objective: str, measurement: Measurement, quality: str, empty: bool
) -> None:
    """The same ones before the first evaluation."""
    rows = [] if empty else [evaluated(0, measurement), evaluated(1, failed())]
    found = table(*rows, objective=objective)
    types = TYPES | {quality: pa.float64()}
    if quality == "perplexity":
        types["cost"] = pa.int64()
    assert {name: found.schema.field(name).type for name in types} == types
    assert found.num_rows == len(rows)


def test_parquet_keeps_everything() -> None:
    found = table(evaluated(0, complete(0.5), removed=(0, 2)), evaluated(1, failed()))
    again = parquet.read_table(pa.BufferReader(to_parquet(found)))
    assert again.equals(found)


def test_a_row_says_what_was_evaluated_and_how() -> None:
    measurement = complete(0.5, macs=12345)
    (row,) = table(evaluated(7, measurement, search=3, removed=(1, 2))).to_pylist()
    assert (row["search"], row["round"], row["index"]) == (3, 2, 7)
    assert row["removed"] == [1, 2]
    assert row["edges"] == [[0, 1], [0, 2]]
    assert row["ops"] == ["b", "a", "b"], "the search's own numbering"
    assert row["key"] == CELL.key
    assert row["seed"] == 2**63 - 1
    assert row["status"] == "complete"
    assert row["accuracy"] == 0.5
    assert row["macs"] == 12345
    assert row["score"] == ACCURACY.score(measurement.metrics)
    assert (row["epochs"], row["stop_reason"], row["seconds"]) == (2, "epochs", 0.5)
    assert row["curve"] == [0.25, 0.5]
    assert row["lost_seconds"] == 1.5
    assert (row["attempts"], row["node"], row["device"], row["cached"]) == (3, "here", "cpu", False)
    assert row["queued"] == datetime(2023, 11, 14, 22, 13, 20, 500_000, UTC)
    assert row["ended"] == datetime(2023, 11, 14, 22, 13, 22, 250_000, UTC)


def test_a_language_models_row_has_true_macs_and_the_cost_of_its_score() -> None:
    (row,) = table(evaluated(0, PERPLEXITY_RESULT), objective="perplexity").to_pylist()
    assert (row["perplexity"], row["macs"], row["cost"]) == (120.0, 3_300_000, 1_000_000)
    assert row["score"] == PERPLEXITY.score(PERPLEXITY_RESULT.metrics) == 20.0
    assert row["decoder_macs"] == 9


def test_a_failed_row_has_a_reason_and_no_numbers() -> None:
    """Not even where the measurement has some."""
    measurement = failed("diverged").model_copy(update={"metrics": complete(0.9).metrics})
    good, bad = table(evaluated(0, complete(0.5)), evaluated(1, measurement)).to_pylist()
    assert (bad["status"], bad["reason"]) == ("failed", "diverged")
    assert bad["accuracy"] is bad["macs"] is bad["params"] is bad["score"] is None
    assert bad["key"] == good["key"]


def test_a_score_that_is_not_finite_is_null() -> None:
    (row,) = table(evaluated(0, complete(0.5, macs=0))).to_pylist()
    assert row["status"] == "complete"
    assert row["macs"] == 0
    assert row["score"] is None


def test_rows_are_in_the_order_of_the_draw() -> None:
    found = table(
        evaluated(1, complete(0.5), search=1),
        evaluated(10, complete(0.5)),
        evaluated(2, complete(0.5)),
    )
    assert found.select(["search", "index"]).to_pylist() == [
        {"search": 0, "index": 2},
        {"search": 0, "index": 10},
        {"search": 1, "index": 1},
    ]


def test_candidates_without_a_parent_have_no_removed_edge() -> None:
    (row,) = table(evaluated(0, complete(0.5))).to_pylist()
    assert row["removed"] is None
