"""A study in the terminal: a line for each trial, a live line where there is a screen, a table."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from typing import Any

from optuna.trial import FrozenTrial, TrialState
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from autoshrink_ray.contracts import ProxyData
from autoshrink_ray.terminal import LiveConsole
from trainables.tuning import record
from trainables.tuning.results import TuningResult
from trainables.tuning.search import PARAMS, REASON
from trainables.tuning.trials import MACS

_SHOWN = 5
"""Rows of the final table where trials are compared by quality alone."""

_HOW = {TrialState.COMPLETE: "", TrialState.PRUNED: " stopped early", TrialState.FAIL: " failed"}


class StudyProgress(LiveConsole):
    """Prints what happens; a `TuningObserver`.

    Args:
        console: Where to print.
    """

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self._quality = ""
        self._ended = 0
        self._best: float | None = None
        self._result: TuningResult | None = None

    def on_start(self, result: TuningResult, data: ProxyData) -> None:
        self._result = result
        self._quality = result.plan.objective.quality.metric
        self._ended = len(result.ended)
        self._best = result.best.values[0] if result.best else None
        self.say(result.folder.location)
        self.say(f"{result.plan.config.trials} trials on {data.summary}")
        for key, found in result.plan.ranges.items():
            self.say(f"  {key}: {found}")
        if self._ended:
            self.say(f"going on after {self._ended} trials")

    def on_trial(self, trial: FrozenTrial) -> None:
        self._ended += 1
        what = f"trial {trial.number}{_HOW[trial.state]}: {self._outcome(trial)}"
        self.say(f"{what} ({labels(trial.params)})")
        if trial.state == TrialState.COMPLETE and self._result is not None:
            quality = self._result.plan.objective.quality
            self._best = quality.better(self._best, trial.values[0])
        best = "" if self._best is None else f" · best {self._quality} {self._best:.4f}"
        self.show(f"{self._ended} trials ended, {self.seconds:.0f} s{best}")

    def on_note(self, text: str) -> None:
        self.say(text)

    def _outcome(self, trial: FrozenTrial) -> str:
        if trial.state == TrialState.FAIL:
            return str(trial.user_attrs.get(REASON, "unknown reason"))
        value = f"{self._quality} {trial.values[0]:.4f}" if trial.values else "no result"
        attributes = trial.user_attrs
        return (
            f"{value}, {attributes[MACS]:,} MACs, "
            f"{_epochs(attributes['epochs'])}, {attributes['seconds']:.1f} s"
        )

    def say_how_to_go_on(self) -> None:
        """Names the study, if it has begun: its name is all that is needed to go on."""
        if self._result is not None:
            self.say(f"give --name {self._result.name} to go on with it")


def labels(params: Mapping[str, Any]) -> str:
    """Settings as people write them, without the section before the key."""
    texts = []
    for key, label in params.items():
        value = f"{label:.4g}" if isinstance(label, float) else str(label)
        texts.append(f"{key.partition('.')[2]} {value}")
    return ", ".join(texts)


def print_result(console: Console, result: TuningResult) -> None:
    """The best trials or the front, and what to do with them."""
    console.print(trials_to_choose_from(result))
    best = result.best
    if best is None:
        return
    place = result.folder.location
    lines = ["", "Train the best network in full", f"  {train_command(result, best)}"]
    if result.plan.objective.with_macs:
        lines += ["Networks of the front", f"  {place}/{record.FRONT}"]
    lines += [
        "Look further",
        f"  {place}/{record.TRIALS}  (all trials, for pandas, polars or DuckDB)",
        f"  optuna-dashboard {shlex.quote(result.study_storage)}",
    ]
    for line in lines:
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def trials_to_choose_from(result: TuningResult) -> Table:
    """The front, or the best trials, the best one marked."""
    with_macs = result.plan.objective.with_macs
    rows = result.front if with_macs else result.ranking[:_SHOWN]
    title = "front of" if with_macs else "best trials of"
    table = Table(title=f"{title} {escape(result.name)}, {len(result.ended)} trials")
    quality = result.plan.objective.quality.metric
    for name in ("trial", quality, "MACs", "params", "epochs", "settings"):
        table.add_column(name, justify="left" if name == "settings" else "right")
    for trial in rows:
        attributes = trial.user_attrs
        table.add_row(
            str(trial.number),
            f"{trial.values[0]:.4f}",
            f"{attributes[MACS]:,}",
            f"{attributes[PARAMS]:,}",
            str(attributes["epochs"]),
            escape(labels(trial.params)),
            style="bold green" if trial is result.best else "",
        )
    return table


def train_command(result: TuningResult, trial: FrozenTrial) -> str:
    """The command that trains the best trial's network as the trial did, and keeps it."""
    config = result.plan.training.config
    options: list[tuple[str, Any]] = [
        ("--data", config.data),
        ("--data-dir", config.data_dir),
        ("--recipe", config.recipe),
        *(("--set", f"{k}={_as_yaml(v)}") for k, v in result.recipe_changes(trial).items()),
        ("--seed", config.seed),
        *result.plan.config.train_resources,
        *(("--plugin", module) for module in config.plugins),
    ]
    words = ["autoshrink-ray", "train", f"{result.folder.location}/{record.BEST_NETWORK}"]
    for option, value in options:
        words += [option, str(value)] if value is not None else []
    return shlex.join(words)


def _as_yaml(value: Any) -> str:
    """As `--set` reads it; JSON is YAML."""
    return value if isinstance(value, str) else json.dumps(value)


def _epochs(count: int) -> str:
    return f"{count} epoch" if count == 1 else f"{count} epochs"
