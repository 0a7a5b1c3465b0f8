"""What a round was to try, also where no evaluation tells it yet, or any more."""

from __future__ import annotations

from typing import Any

from autoshrink_ray.policies.random import RandomPolicy
from autoshrink_ray.policies.shrink import draw, last_size
from autoshrink_ray.records import Candidate
from autoshrink_ray.results import Run
from autoshrink_ray.topology import Topology


def parent_of(run: Run, search: int, number: int) -> Topology | None:
    """The cell that a round's candidates come from.

    None where they have no parent, as in a random search, and where the record does not tell it.
    """
    decision = run.ledger.decisions.get((search, number))
    if decision is not None or not run.shrinks:
        return decision.parent if decision else None
    before = run.ledger.decisions.get((search, number - 1))
    if before is not None:
        return before.topology
    return _complete_cell(run, search) if number == 1 else None


def drawn(run: Run, search: int, number: int) -> dict[int, Candidate]:
    """A round's candidates by their place in the draw, as evaluations or the seed tell them.

    Nothing of the search's space is imported. So the candidates of a search's first round are
    known only when one of them is evaluated.
    """
    evaluations = run.ledger.evaluations.items()
    known = {key[2]: e.candidate for key, e in evaluations if key[:2] == (search, number)}
    decision = run.ledger.decisions.get((search, number))
    wanted = None if decision is None else len(decision.ranking) + len(decision.failed)
    if wanted is not None and len(known) >= wanted:
        return known
    return _by_seed(run, search, number) | known


def _by_seed(run: Run, search: int, number: int) -> dict[int, Candidate]:
    if run.shrinks:
        return _shrink_draw(run, search, number)
    return _random_draw(run, search) if number == 1 else {}


def _shrink_draw(run: Run, search: int, number: int) -> dict[int, Candidate]:
    parent, identity = parent_of(run, search, number), run.file.identity
    candidates = _count(identity.get("candidates"))
    if parent is None or not candidates:
        return {}
    nodes = identity["nodes"]
    cells = draw(
        parent,
        number,
        candidates=candidates,
        size=last_size(identity["keep_fraction"], nodes * (nodes - 1) // 2),
        seed=run.searches[search].seed,
    )
    return {
        index: Candidate(search=search, round=number, index=index, topology=cell, removed=edge)
        for index, (cell, edge) in enumerate(cells)
    }


def _random_draw(run: Run, search: int) -> dict[int, Candidate]:
    initial, budget = _complete_cell(run, search), _count(run.file.identity.get("budget"))
    if initial is None or not budget:
        return {}
    policy = RandomPolicy(
        initial,
        budget=budget,
        objective=run.objective,
        seed=run.searches[search].seed,
        search=search,
    )
    return {candidate.index: candidate for candidate in policy.propose()}


def _complete_cell(run: Run, search: int) -> Topology | None:
    """Where a search starts; its operations are those of any cell of it."""
    cells = (e.candidate.topology for key, e in run.ledger.evaluations.items() if key[0] == search)
    decided = (d.topology for key, d in run.ledger.decisions.items() if key[0] == search)
    cell = next(cells, None) or next(decided, None)
    return None if cell is None else Topology.complete(cell.ops)


def _count(value: Any) -> int:
    return value if isinstance(value, int) and value > 0 else 0
