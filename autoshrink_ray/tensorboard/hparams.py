"""The HPARAMS page: its columns, once for a run, and a row for each candidate.

TensorBoard takes the columns from a stream's own rows where nothing says what they are, and then
shows those of an arbitrary row. So the run says it: each row has all columns.
"""

from __future__ import annotations

import math

from google.protobuf.struct_pb2 import ListValue
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.hparams import api_pb2, metadata
from tensorboard.plugins.hparams.plugin_data_pb2 import (
    HParamsPluginData,
    SessionEndInfo,
    SessionStartInfo,
)

from autoshrink_ray.objective import Objective
from autoshrink_ray.records import Evaluation
from autoshrink_ray.results import Run
from autoshrink_ray.tensorboard import tags

_NUMBER = api_pb2.DATA_TYPE_FLOAT64
_STRING = api_pb2.DATA_TYPE_STRING

_COLUMNS = {
    "search": _NUMBER,
    "round": _NUMBER,
    "candidate": _NUMBER,
    "removed": _STRING,
    "edges": _NUMBER,
    "macs": _NUMBER,
    "params": _NUMBER,
    "status": _STRING,
}
"""What a row says of its candidate; TensorBoard sorts them by name."""

_IN_FRONT = {"round", "removed", "edges", "macs", "params"}
"""The five that the page shows unasked, as columns that differ; the others it shows on a click."""

_TITLES = {"macs": "MACs", "removed": "removed edge"}


def results(evaluation: Evaluation, objective: Objective) -> dict[str, float]:
    """What a candidate reached, by tag; empty if it failed or its score is not finite."""
    metrics = evaluation.measurement.metrics
    score = objective.score(metrics) if evaluation.complete else math.nan
    if not math.isfinite(score):
        return {}
    quality = objective.quality_metric
    return {tags.result("score"): score, tags.result(quality): metrics[quality]}


def columns(run: Run) -> Summary.Value:
    """The table's columns, the same for all rows of a run."""
    experiment = api_pb2.Experiment(
        name=run.name,
        description=f"{run.space} on {run.file.data_summary}",
        hparam_infos=[
            api_pb2.HParamInfo(
                name=name,
                display_name=_TITLES.get(name, name),
                type=kind,
                domain_discrete=_domain(name, int(run.file.identity["nodes"])),
                differs=name in _IN_FRONT,
            )
            for name, kind in _COLUMNS.items()
        ],
        metric_infos=[
            api_pb2.MetricInfo(name=api_pb2.MetricName(tag=tags.result(name)), display_name=name)
            for name in ("score", run.objective.quality_metric)
        ],
    )
    return _value(metadata.EXPERIMENT_TAG, HParamsPluginData(experiment=experiment))


def _domain(column: str, nodes: int) -> ListValue | None:
    """Values that a column of words can have."""
    words = {
        "removed": ["none", *(f"{i}-{j}" for j in range(nodes) for i in range(j))],
        "status": ["complete", "failed"],
    }
    if column not in words:
        return None
    domain = ListValue()
    domain.extend(words[column])
    return domain


def row(evaluation: Evaluation) -> list[Summary.Value]:
    """One candidate's row; what a candidate that failed does not have is left empty.

    It is called as its stream. TensorBoard would make one row of equal names that are given here,
    also where they come from several runs.
    """
    start = SessionStartInfo(start_time_secs=evaluation.started)
    for column, value in _cells(evaluation).items():
        kind = "string_value" if isinstance(value, str) else "number_value"
        setattr(start.hparams[column], kind, value)
    status = api_pb2.STATUS_SUCCESS if evaluation.complete else api_pb2.STATUS_FAILURE
    end = SessionEndInfo(status=status, end_time_secs=evaluation.ended)
    return [
        _value(metadata.SESSION_START_INFO_TAG, HParamsPluginData(session_start_info=start)),
        _value(metadata.SESSION_END_INFO_TAG, HParamsPluginData(session_end_info=end)),
    ]


def _cells(evaluation: Evaluation) -> dict[str, str | float]:
    candidate, metrics = evaluation.candidate, evaluation.measurement.metrics
    search, number, index = candidate.place
    removed = "-".join(map(str, candidate.removed)) if candidate.removed else "none"
    costs: dict[str, str | float] = {n: metrics[n] for n in ("macs", "params") if n in metrics}
    return {
        "search": search,
        "round": number,
        "candidate": index,
        "removed": removed,
        "edges": len(candidate.topology.edges),
        **costs,
        "status": evaluation.measurement.status,
    }


def _value(tag: str, content: HParamsPluginData) -> Summary.Value:
    return Summary.Value(
        tag=tag,
        metadata=metadata.create_summary_metadata(content),
        tensor=metadata.NULL_TENSOR,
    )
