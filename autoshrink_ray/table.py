"""The flat table of all evaluations, for pandas, polars and DuckDB."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pyarrow as pa
from pyarrow import parquet

from autoshrink_ray import files
from autoshrink_ray.errors import FileFormatError, LedgerError
from autoshrink_ray.ledger import LedgerContents
from autoshrink_ray.objective import Objective
from autoshrink_ray.records import Evaluation

COUNTS = {"macs", "params", "params_without_bn", "cost", "decoder_macs"}

CIRCUMSTANCES = frozenset(
    {
        *("seconds", "cached", "attempts", "lost_seconds", "node", "device", "build"),
        *("queued", "started", "ended"),
    }
)
"""Columns that tell how a result came about: no decision depends on them."""

_MOST = 2**63
"""What a column of counts cannot hold any more."""

_COLUMNS: list[tuple[str, pa.DataType, Callable[[Evaluation], Any]]] = [
    ("search", pa.int32(), lambda e: e.candidate.search),
    ("round", pa.int32(), lambda e: e.candidate.round),
    ("index", pa.int32(), lambda e: e.candidate.index),
    ("removed", pa.list_(pa.int32()), lambda e: e.candidate.removed),
    ("edges", pa.list_(pa.list_(pa.int32())), lambda e: e.candidate.topology.edges),
    ("ops", pa.list_(pa.string()), lambda e: e.candidate.topology.ops),
    ("key", pa.string(), lambda e: e.candidate.topology.key),
    ("seed", pa.int64(), lambda e: e.seed),
    ("status", pa.string(), lambda e: e.measurement.status),
    ("reason", pa.string(), lambda e: e.measurement.reason),
    ("epochs", pa.int32(), lambda e: e.measurement.epochs),
    ("stop_reason", pa.string(), lambda e: e.measurement.stop_reason),
    ("seconds", pa.float64(), lambda e: e.measurement.seconds),
    ("cached", pa.bool_(), lambda e: e.cached),
    ("attempts", pa.int32(), lambda e: e.attempts),
    ("lost_seconds", pa.float64(), lambda e: e.lost_seconds),
    ("node", pa.string(), lambda e: e.node),
    ("device", pa.string(), lambda e: e.measurement.device),
    ("build", pa.string(), lambda e: e.measurement.build),
    ("queued", pa.timestamp("us", tz="UTC"), lambda e: _microseconds(e.queued)),
    ("started", pa.timestamp("us", tz="UTC"), lambda e: _microseconds(e.started)),
    ("ended", pa.timestamp("us", tz="UTC"), lambda e: _microseconds(e.ended)),
    ("curve", pa.list_(pa.float64()), lambda e: e.measurement.curve),
]


def evaluations_table(contents: LedgerContents, objective: Objective) -> pa.Table:
    """One row per evaluation, by search, round and place in the draw.

    Failed evaluations have null metrics and a null score.
    """
    rows = [evaluation for _, evaluation in sorted(contents.evaluations.items())]
    columns = {name: _column(name, kind, read, rows) for name, kind, read in _COLUMNS}
    names = {name for evaluation in rows for name in evaluation.measurement.metrics}
    always = {objective.quality_metric, objective.cost_metric, "macs", "params"}
    for name in sorted(names | always):
        kind = pa.int64() if name in COUNTS else pa.float64()
        columns[name] = pa.array([_metric(e, name) for e in rows], kind)
    columns["score"] = pa.array([_score(e, objective) for e in rows], pa.float64())
    return pa.table(columns)


def _column(
    name: str, kind: pa.DataType, read: Callable[[Evaluation], Any], rows: list[Evaluation]
) -> pa.Array:
    try:
        return pa.array([read(evaluation) for evaluation in rows], kind)
    except (pa.ArrowException, ValueError, OverflowError) as error:
        raise LedgerError(f"the ledger holds a {name} that is none: {error}") from error


def to_parquet(table: pa.Table) -> bytes:
    """A Parquet file's content."""
    sink = pa.BufferOutputStream()
    parquet.write_table(table, sink)
    return bytes(sink.getvalue())


def from_parquet(content: bytes) -> pa.Table:
    """The table in a Parquet file's content.

    Raises:
        FileFormatError: If it holds none.
    """
    try:
        return parquet.read_table(pa.BufferReader(content))
    except (pa.ArrowException, OSError) as error:
        raise FileFormatError(f"{files.EVALUATIONS} is damaged: {error}") from error


def _metric(evaluation: Evaluation, name: str) -> float | int | None:
    value = evaluation.measurement.metrics.get(name) if evaluation.complete else None
    if value is None or name not in COUNTS:
        return value
    return int(value) if abs(value) < _MOST else None


def _score(evaluation: Evaluation, objective: Objective) -> float | None:
    score = objective.score(evaluation.measurement.metrics) if evaluation.complete else math.nan
    return score if math.isfinite(score) else None


def _microseconds(seconds: float) -> int:
    return round(seconds * 1_000_000)
