"""What a study found: the best trial, the front, and the files that other programs read."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

import pyarrow as pa
import yaml
from optuna.trial import FrozenTrial, TrialState

from autoshrink_ray.objective import pareto_front
from autoshrink_ray.storage import Folder
from autoshrink_ray.table import to_parquet
from search_spaces.network import NetworkFile
from trainables.tuning import record
from trainables.tuning.plan import TuningPlan
from trainables.tuning.search import PARAMS, REASON
from trainables.tuning.space import Choice
from trainables.tuning.trials import AGAIN_FOR, MACS, ended

STATES = {
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "stopped",
    TrialState.FAIL: "failed",
    TrialState.RUNNING: "running",
    TrialState.WAITING: "waiting",
}
"""What our files call the state of an Optuna trial."""


_TIME = pa.timestamp("us", tz="UTC")


@dataclass(frozen=True)
class TuningResult:
    """A study as it is now.

    Attributes:
        name: Its name.
        folder: Where its files are.
        study_storage: Optuna's storage, without a password.
        plan: What it does.
        trials: All trials by number.
    """

    name: str
    folder: Folder
    study_storage: str
    plan: TuningPlan
    trials: Sequence[FrozenTrial]

    @cached_property
    def complete(self) -> list[FrozenTrial]:
        """Trials that were trained to their end."""
        return [trial for trial in self.trials if trial.state == TrialState.COMPLETE]

    @cached_property
    def ended(self) -> list[FrozenTrial]:
        """Trials that count; see `trials.ended`."""
        return ended(self.trials)

    @cached_property
    def ranking(self) -> list[FrozenTrial]:
        """Complete trials, the best quality first; of equal ones that with fewest MACs."""
        return sorted(self.complete, key=self._rank, reverse=True)

    @property
    def best(self) -> FrozenTrial | None:
        """First of the ranking; None where no trial is complete."""
        return self.ranking[0] if self.ranking else None

    def _rank(self, trial: FrozenTrial) -> tuple[float, int, int]:
        return self._points(trial), -trial.user_attrs[MACS], -trial.number

    def _points(self, trial: FrozenTrial) -> float:
        return self.plan.objective.quality.points(trial.values[0])

    @property
    def front(self) -> list[FrozenTrial]:
        """Complete trials that no other beats in both quality and MACs, fewest MACs first."""
        points = [(self._points(trial), float(trial.user_attrs[MACS])) for trial in self.complete]
        return [self.complete[place] for place in pareto_front(points)]

    def settings(self, trial: FrozenTrial) -> dict[str, Any]:
        """Values of the varied settings, by key."""
        ranges = self.plan.ranges
        return {key: ranges[key].value(label) for key, label in trial.params.items()}

    def network(self, trial: FrozenTrial) -> NetworkFile:
        """The network of a trial, with what is known of it."""
        network = self.plan.subject.variant(self.settings(trial)).network
        origin = {"study": self.name, **self.card(trial)}
        return network.model_copy(update={"provenance": {**network.provenance, **origin}})

    def card(self, trial: FrozenTrial) -> dict[str, Any]:
        """A trial as plain data: number, quality, costs, settings."""
        return {
            "trial": trial.number,
            self.plan.objective.quality.metric: trial.values[0],
            MACS: trial.user_attrs[MACS],
            PARAMS: trial.user_attrs[PARAMS],
            "settings": json.loads(json.dumps(self.settings(trial))),
        }

    def recipe_changes(self, trial: FrozenTrial) -> dict[str, Any]:
        """Recipe settings of a trial that differ from its recipe's own."""
        varied = self.settings(trial).items()
        mine = {k.removeprefix("recipe."): v for k, v in varied if k.startswith("recipe.")}
        return {**self.plan.config.settings, **mine}


def write_results(result: TuningResult) -> None:
    """Writes the table of trials, the best network and recipe, and the front.

    Raises:
        StorageError: If one cannot be written.
    """
    folder = result.folder
    folder.write(record.TRIALS, to_parquet(trials_table(result)))
    if result.best is not None:
        folder.write(record.BEST_NETWORK, result.network(result.best).to_json())
        recipe = {
            "recipe": result.plan.training.config.recipe,
            "settings": result.recipe_changes(result.best),
        }
        folder.write(record.BEST_RECIPE, yaml.safe_dump(_plain(recipe), sort_keys=False).encode())
    if result.plan.objective.with_macs:
        _write_front(result)


def _write_front(result: TuningResult) -> None:
    cards = []
    for place, trial in enumerate(result.front):
        name = record.front_network(place)
        result.folder.write(name, result.network(trial).to_json())
        changes = result.recipe_changes(trial)
        cards.append({"network": name, **result.card(trial), "recipe_settings": changes})
    content = json.dumps({"schema_version": 1, "front": cards}, indent=2) + "\n"
    result.folder.write(record.FRONT, content.encode())
    current = {card["network"] for card in cards}
    for name in list(result.folder.files(record.FRONT_NETWORKS)):
        if name not in current:
            result.folder.remove(name)


def trials_table(result: TuningResult) -> pa.Table:
    """One row for each trial, by number; a column for each varied setting."""
    trials = result.trials
    quality = result.plan.objective.quality.metric
    columns: dict[str, pa.Array] = {
        "number": pa.array([trial.number for trial in trials], pa.int32()),
        "state": pa.array([STATES[trial.state] for trial in trials], pa.string()),
        quality: pa.array([_quality(trial) for trial in trials], pa.float64()),
        MACS: _attributes(trials, MACS, pa.int64()),
        PARAMS: _attributes(trials, PARAMS, pa.int64()),
    }
    for key, found in result.plan.ranges.items():
        labels = [trial.params.get(key) for trial in trials]
        if isinstance(found, Choice) and any(isinstance(label, str) for label in found.labels):
            labels = [None if label is None else str(label) for label in labels]
        columns[key] = pa.array(labels)
    columns |= {
        "epochs": _attributes(trials, "epochs", pa.int32()),
        "seconds": _attributes(trials, "seconds", pa.float64()),
        "device": _attributes(trials, "device", pa.string()),
        REASON: _attributes(trials, REASON, pa.string()),
        AGAIN_FOR: _attributes(trials, AGAIN_FOR, pa.int32()),
        "started": pa.array([_utc(trial.datetime_start) for trial in trials], _TIME),
        "ended": pa.array([_utc(trial.datetime_complete) for trial in trials], _TIME),
    }
    return pa.table(columns)


def _quality(trial: FrozenTrial) -> float | None:
    return float(trial.values[0]) if trial.values else None


def _utc(moment: datetime | None) -> datetime | None:
    """Optuna's times are local and do not say so."""
    return moment.astimezone(UTC) if moment else None


def _attributes(trials: Sequence[FrozenTrial], name: str, kind: pa.DataType) -> pa.Array:
    return pa.array([trial.user_attrs.get(name) for trial in trials], kind)


def _plain(settings: Mapping[str, Any]) -> Any:
    """Without tuples, which YAML would write with a tag of Python's."""
    return json.loads(json.dumps(settings))
