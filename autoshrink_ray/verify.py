"""Checking a run end to end: that its answer follows from what is in its ledger."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from autoshrink_ray import files
from autoshrink_ray.conductor import Conductor, Search
from autoshrink_ray.config import SearchConfig
from autoshrink_ray.contracts import ProxyData
from autoshrink_ray.counting import Kept, Place, places_of
from autoshrink_ray.dispatch import final
from autoshrink_ray.errors import (
    AutoshrinkError,
    FileFormatError,
    LedgerError,
    RoundFailedError,
    StorageError,
    VerificationError,
)
from autoshrink_ray.files import CellFile
from autoshrink_ray.ledger import LedgerContents, MemoryLedger, read_objects
from autoshrink_ray.plan import Plan
from autoshrink_ray.records import Candidate, Decision, Evaluation, Measurement
from autoshrink_ray.results import Run
from autoshrink_ray.seeds import shuffled
from autoshrink_ray.table import CIRCUMSTANCES, from_parquet
from autoshrink_ray.topology import Topology
from autoshrink_ray.work import Task
from autoshrink_ray.worker import Worker


@dataclass(frozen=True)
class Check:
    """A question about a run.

    Attributes:
        name: What is asked.
        answer: What was found: how much of it holds.
    """

    name: str
    answer: str


def verify(run: Run, *, re_evaluate: int = 0, seed: int = 0) -> Iterator[Check]:
    """Checks a run; yields each check that holds, and stops at the first contradiction.

    Args:
        run: A run, finished or not.
        re_evaluate: How many evaluations to train again and compare, to the bit; a run that uses
            algorithms without that property is told how many differ.
        seed: Chooses them.

    Raises:
        VerificationError: At the first contradiction.
        UsageError: If the run cannot be read, or its space or data are not here.
    """
    objects, damaged = read_objects(run.folder)
    if damaged:
        raise VerificationError(f"ledger object {damaged[0].name} is damaged: {damaged[0].reason}")
    yield Check("checksums", f"{len(objects)} ledger objects are as they were written")
    plan = Plan.of(SearchConfig.of(run.file.config))
    _check_identity(run, plan)
    yield Check("configuration", "run.yaml's configuration has the identity that it states")
    cells = _check_cells(plan, objects)
    yield Check("cells", f"{cells} candidates are drawn from what the round before decided")
    yield Check("uses", f"{_check_uses(objects)} decisions rest on evaluations of their round")
    yield Check("decisions", _check_replay(plan, run, objects))
    yield Check("results", _check_results(run))
    if re_evaluate:
        yield Check("measurements", _check_measurements(run, plan, re_evaluate, seed))


def _check_identity(run: Run, plan: Plan) -> None:
    stated = run.file.identity
    given = plan.identity(str(stated["data_fingerprint"]))
    for key in sorted(stated.keys() | given.keys()):
        if stated.get(key) != given.get(key):
            raise VerificationError(
                f"run.yaml states {key} {stated.get(key)!r} in its identity, its configuration "
                f"gives {given.get(key)!r}"
            )


def _check_cells(plan: Plan, objects: list[Kept]) -> int:
    """Whether each candidate is a cell that the round before gave, without the edge it names."""
    candidates = [(o.name, o.record.candidate) for o in objects if isinstance(o.record, Evaluation)]
    decisions = [o.record for o in objects if isinstance(o.record, Decision)]
    parents: dict[tuple[int, int], list[Topology]] = {}
    for search in range(plan.config.searches):
        parents[search, 1] = [plan.initial(search)]
    for decision in decisions:
        parents.setdefault((decision.search, decision.round + 1), []).append(decision.topology)
    for name, candidate in candidates:
        known = parents.get((candidate.search, candidate.round), [])
        fits = not known or any(_comes_from(candidate, parent) for parent in known)
        if candidate.removed is not None and not fits:
            raise VerificationError(
                f"ledger object {name}: the candidate is not its parent minus edge "
                f"{candidate.removed}"
            )
    for decision in decisions:
        known = parents.get((decision.search, decision.round), [])
        if decision.parent is not None and decision.parent not in known:
            raise VerificationError(
                f"search {decision.search}, round {decision.round}: the parent is not what the "
                f"round before decided"
            )
    return len(candidates)


def _comes_from(candidate: Candidate, parent: Topology) -> bool:
    removed = candidate.removed
    return removed in parent.edges and candidate.topology == parent.without(removed)


def _check_uses(objects: list[Kept]) -> int:
    """Whether each decision names evaluations of its own round that exist, or once did."""
    evaluations = {o.name: o.record for o in objects if isinstance(o.record, Evaluation)}
    decisions = [o for o in objects if isinstance(o.record, Decision)]
    for kept in decisions:
        decision = kept.record
        if not isinstance(decision, Decision):
            continue
        found = [evaluations[name] for name in kept.uses if name in evaluations]
        places = {evaluation.candidate.place for evaluation in found}
        if any(place[:2] != (decision.search, decision.round) for place in places):
            raise VerificationError(f"ledger object {kept.name} uses another round's evaluation")
    return len(decisions)


def _check_replay(plan: Plan, run: Run, objects: list[Kept]) -> str:
    """The policy itself, fed from the ledger, has to draw and decide the same."""
    contents = run.ledger
    _check_lost(run)
    decided = 0
    asked: set[Place] = set()
    for number, search in enumerate(plan.searches()):
        decided += _replayed(number, search, contents)
        asked |= _asked(search)
    if decided != len(contents.decisions):
        raise VerificationError(
            f"{len(contents.decisions)} decisions are in the ledger, and the policy comes to "
            f"{decided} from its evaluations"
        )
    decided_once = {
        (o.record.search, o.record.round) for o in objects if isinstance(o.record, Decision)
    }
    for place, source in contents.sources.items():
        # Another driver's search may have gone on where the one that counts was at its end.
        is_of_another = (place[0], place[1] - 1) in decided_once - contents.decisions.keys()
        if place not in asked and not is_of_another:
            raise VerificationError(
                f"ledger object {source}: the search has no such candidate, by its configuration "
                f"and what was decided before"
            )
    return (
        f"{decided} decisions and all seeds follow from configuration and evaluations"
        f"{_of_remade(plan, contents)}"
    )


def _check_lost(run: Run) -> None:
    for place in run.ledger.lost:
        remedy = "start the run again under its name, and it is evaluated again"
        raise VerificationError(
            f"the evaluation of {_where(place)} is gone, on which the round's decision rests"
            f": {remedy}"
        )


def _asked(search: Search) -> set[Place]:
    """All places that a policy asked for an evaluation of."""
    closed = (place for decision in search.policy.decisions for place in places_of(decision))
    return {*closed, *(candidate.place for candidate in search.policy.propose())}


def _of_remade(plan: Plan, contents: LedgerContents) -> str:
    """What measuring lost evaluations again gave, beside what was decided on."""
    if not contents.remade:
        return ""
    differences = []
    for place in sorted(contents.remade):
        decision, again = contents.decisions[place[:2]], contents.evaluations[place]
        before = {line.index: line.score for line in decision.ranking}.get(place[2])
        now = plan.objective.score(again.measurement.metrics) if again.complete else None
        if before != now:
            differences.append(f"{_where(place)}: {before} then, {now} now")
    return (
        f"; lost after that and measured again: {len(contents.remade)}, of these with another "
        f"score: {len(differences)}{_listed(differences)}"
    )


def _listed(differences: list[str]) -> str:
    """The first few of them, in brackets."""
    return f" ({'; '.join(differences[:3])})" if differences else ""


def _where(place: Place) -> str:
    return f"search {place[0]}, round {place[1]}, candidate {place[2]}"


def _replayed(number: int, search: Search, contents: LedgerContents) -> int:
    """How many decisions of the ledger the policy of one search comes to."""
    ledger = MemoryLedger()
    try:
        Conductor({number: search}, ledger).replay(contents)
    except RoundFailedError:
        pass  # a round without a usable result is an outcome, and decides nothing
    except (LedgerError, ValueError) as error:
        raise VerificationError(str(error)) from error
    except AutoshrinkError as error:
        raise VerificationError(f"the run cannot be replayed: {error}") from error
    # a driver may have died before it wrote its last decision
    return len(search.policy.decisions) - len(ledger.decisions)


def _check_results(run: Run) -> str:
    """Whether the files that other programs read say what the ledger says."""
    if run.last_end != "finished" or run.best is None:
        return "not written yet for all that the ledger holds"
    try:
        best = _same_cell(run, files.BEST_CELL, run.best)
        rounds = {
            name: _same_cell(run, name, decision)
            for decision in run.ledger.decisions.values()
            for name in (files.round_cell(decision.search, decision.round),)
        }
        table = from_parquet(run.folder.read(files.EVALUATIONS))
    except (FileFormatError, StorageError) as error:
        raise VerificationError(str(error)) from error
    if not best:
        raise VerificationError(f"{files.BEST_CELL} is not the best cell of the ledger")
    for name, same in rounds.items():
        if not same:
            raise VerificationError(f"{name} is not the cell that its round decided on")
    if _results_of(table) != _results_of(run.table):
        raise VerificationError(f"{files.EVALUATIONS} holds other evaluations than the ledger")
    return (
        f"{files.BEST_CELL}, the cells of {len(rounds)} rounds and {files.EVALUATIONS} say what "
        f"the ledger says"
    )


def _same_cell(run: Run, name: str, decision: Decision) -> bool:
    """Whether a cell file holds what a round decided; its provenance may tell of other releases."""
    without: dict[str, Any] = {"provenance": {}}
    found = CellFile.from_json(run.folder.read(name), name)
    return found.model_copy(update=without) == run.cell(decision).model_copy(update=without)


def _results_of(table: pa.Table) -> str:
    """All but how a result came about, which of two drivers' objects may tell differently.

    As text, so that NaN equals NaN.
    """
    names = sorted(name for name in table.column_names if name not in CIRCUMSTANCES)
    return repr(table.select(names).to_pylist())


def _check_measurements(run: Run, plan: Plan, count: int, seed: int) -> str:
    data = plan.load_data()
    if data.fingerprint != run.file.identity["data_fingerprint"]:
        raise VerificationError(
            f"the data are not those of the run: their fingerprint is {data.fingerprint}, the "
            f"run states {run.file.identity['data_fingerprint']}"
        )
    evaluations = run.ledger.evaluations
    trainings = {(e.seed, e.candidate.topology.key): place for place, e in evaluations.items()}
    chosen = shuffled(trainings.values(), seed, "verify")[:count]
    again = _trainer(plan, data)
    exact = plan.deterministic
    differences = []
    for place in chosen:
        difference = _difference(evaluations[place], again(evaluations[place]))
        if difference and exact:
            raise VerificationError(difference)
        if difference:
            differences.append(difference)
    if exact:
        return f"{len(chosen)} of {len(trainings)} trainings give the same numbers again"
    return (
        f"{len(chosen) - len(differences)} of the {len(chosen)} trainings that were repeated give "
        f"the same numbers; differences are expected, since the run's algorithms are not "
        f"deterministic (--fast){_listed(differences)}"
    )


def _trainer(plan: Plan, data: ProxyData) -> Callable[[Evaluation], Measurement]:
    settings = plan.config.model_dump(mode="json") | {"trial_timeout": None}
    worker = Worker(settings, data)  # a limit would end this process

    def train(evaluation: Evaluation) -> Measurement:
        task = Task(candidate=evaluation.candidate, seed=evaluation.seed)
        return final(worker.measure(task).measurement)

    return train


def _difference(evaluation: Evaluation, again: Measurement) -> str:
    """What came out otherwise when a candidate was trained again; empty if nothing did."""
    before = evaluation.measurement
    if (before.status, before.metrics, before.curve) == (again.status, again.metrics, again.curve):
        return ""
    machines = ""
    if (before.device, before.build) != (again.device, again.build):
        machines = (
            f" (then on {before.device}, {before.build}; now on {again.device}, {again.build})"
        )
    return (
        f"{_where(evaluation.candidate.place)} gave {before.metrics or before.reason}"
        f" and now gives {again.metrics or again.reason}{machines}"
    )
