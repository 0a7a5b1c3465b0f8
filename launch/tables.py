"""How runs and cells look in a terminal."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from autoshrink_ray.records import Decision
from autoshrink_ray.results import Run, SearchResult
from autoshrink_ray.topology import Topology
from autoshrink_ray.wording import edge, metrics_text


def print_run(console: Console, run: Run) -> None:
    """The rounds of all searches, the answer, and where to look further."""
    for search in run.searches:
        console.print(rounds_table(run, search))
    if run.best is None:
        console.print(f"{run.status}: no round is decided yet")
    else:
        console.print(f"[bold]Best cell[/bold] (round {run.best.round}, {metrics_text(run.best)})")
        console.print(cell_text(run.best.topology), highlight=False, markup=False)
    if len(run.machines) > 1:
        kinds = "; ".join(run.machines)
        console.print(
            f"trained on different machines, so last digits may not be comparable: {kinds}",
            highlight=False,
            markup=False,
        )
    for damage in run.ledger.damaged:
        console.print(f"damaged: {damage.name}: {damage.reason}", highlight=False, markup=False)
    if run.message:
        console.print(f"{run.status}: {run.message}", highlight=False, markup=False)
    location = escape(run.folder.location)
    console.print(
        f"\n[bold]Look further[/bold]\n"
        f"  autoshrink-ray explain {location}\n"
        f"  autoshrink-ray report {location}\n"
        f"  autoshrink-ray best {location} -o best.cell.json\n"
        f"  autoshrink-ray tensorboard {location}\n"
        f"  {location}/evaluations.parquet  (all evaluations, for pandas, polars or DuckDB)",
        highlight=False,
        soft_wrap=True,
    )


def rounds_table(run: Run, search: SearchResult) -> Table:
    """One row per closed round, the best one marked."""
    quality = run.objective.quality_metric
    table = Table(
        title=f"{escape(run.name)}: search {search.number}, seed {search.seed}, {search.status}"
    )
    for name in ("round", "edge gone", "tried", "edges", "score", quality, "MACs", "params"):
        table.add_column(name, justify="right")
    best = search.best
    for decision in search.rounds:
        is_best = best is not None and decision.round == best.round
        table.add_row(*_round_cells(decision, quality), style="bold green" if is_best else "")
    return table


def _round_cells(decision: Decision, quality: str) -> list[str]:
    metrics = decision.metrics
    return [
        str(decision.round),
        edge(decision.removed) or "-",
        str(len(decision.ranking) + len(decision.failed)),
        str(len(decision.topology.edges)),
        f"{decision.score:.4f}",
        f"{metrics[quality]:.4f}",
        f"{int(metrics['macs']):,}" if "macs" in metrics else "-",
        f"{int(metrics['params']):,}" if "params" in metrics else "-",
    ]


def cell_text(topology: Topology) -> str:
    """A cell as lines: each node, its operation, its inputs, and whether it is an output."""
    lines = []
    for node in sorted(topology.reachable - {0}):
        inputs = ", ".join(map(str, topology.predecessors(node)))
        leaf = "  -> output" if node in topology.leaves else ""
        lines.append(f"  node {node}: {topology.ops[node]:<9} of {inputs}{leaf}")
    return "\n".join(lines)
