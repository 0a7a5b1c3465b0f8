"""The TEXT page: what the run was asked for, and the cell that it has found."""

from __future__ import annotations

from collections.abc import Mapping

import yaml

from autoshrink_ray.records import Decision
from autoshrink_ray.results import Run
from autoshrink_ray.wording import edge


def configuration(run: Run) -> str:
    """A run's configuration and circumstances, in Markdown."""
    file = run.file
    facts = {"run": run.name, "created": file.created, "data": file.data_summary} | file.versions
    return "\n\n".join(
        [
            _table(facts),
            "Configuration:",
            _code(yaml.safe_dump(file.config, sort_keys=False)),
        ]
    )


def found_cell(run: Run, decision: Decision) -> str:
    """The cell of a round's winner, in Markdown."""
    facts = {
        "search": decision.search,
        "round": decision.round,
        "score": f"{decision.score:.6g}",
        **{name: f"{value:.10g}" for name, value in decision.metrics.items()},
        "edges": ", ".join(edge(pair) for pair in decision.topology.edges),
        "operations": ", ".join(decision.topology.ops),
    }
    cell = run.cell(decision).to_json().decode()
    return "\n\n".join([_table(facts), "As a file:", _code(cell)])


def _table(facts: Mapping[str, object]) -> str:
    head, *rows = ((name, _cell(str(value))) for name, value in facts.items())
    lines = [head, ("---", "---"), *rows]
    return "\n".join(f"| {left} | {right} |" for left, right in lines)


def _cell(value: str) -> str:
    return " ".join(value.split()).replace("|", "\\|")


def _code(content: str) -> str:
    """As code: indented, so that nothing in it can end it."""
    return "\n".join(f"    {line}" for line in content.splitlines())
