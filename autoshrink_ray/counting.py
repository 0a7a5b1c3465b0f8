"""Objects of a ledger as they were read, and which of them count.

Of several decisions of a round the one of the earliest attempt counts that follows the decision
which counts for the round before; of several evaluations of a candidate the one that this decision
rests on, and before there is one, or if that one is lost, that of the earliest attempt whose
candidate comes from the decision which counts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from autoshrink_ray import files
from autoshrink_ray.records import Decision, Evaluation, Record

Kind = Literal["evaluation", "decision", "end"]
Place = tuple[int, int, int]
Round = tuple[int, int]

_EVALUATION = re.compile(
    rf"{files.LEDGER}/search-(\d+)/[^/]+/round-(\d+)-candidate-(\d+)\.json", re.ASCII
)
_END = re.compile(rf"{files.LEDGER}/[^/]+\.end\.json")


@dataclass(frozen=True)
class Damage:
    """An object that is not what was written.

    Attributes:
        name: The object, below the run's folder.
        reason: What is wrong with it.
    """

    name: str
    reason: str

    @property
    def kind(self) -> Kind | None:
        """What it held, by its name; None for a name that no driver gives."""
        if self.place is not None:
            return "evaluation"
        if files.decision_place(self.name) is not None:
            return "decision"
        return "end" if _END.fullmatch(self.name) else None

    @property
    def place(self) -> Place | None:
        """(search, round, index) of the evaluation that it held; None if it held none."""
        found = _EVALUATION.fullmatch(self.name)
        return (int(found[1]), int(found[2]), int(found[3])) if found else None


@dataclass(frozen=True)
class Kept:
    """A record that was read whole.

    Attributes:
        name: Its object, below the run's folder.
        record: What is in it.
        uses: Objects of the evaluations that a decision rests on.
    """

    name: str
    record: Record
    uses: tuple[str, ...] = ()


def counting_decisions(records: list[Kept]) -> dict[Round, Kept]:
    """By search and round: the earliest attempt's that follows the round before.

    Args:
        records: By attempt, oldest first.
    """
    rounds: dict[Round, list[Kept]] = {}
    for kept in records:
        if isinstance(kept.record, Decision):
            rounds.setdefault((kept.record.search, kept.record.round), []).append(kept)
    counting: dict[Round, Kept] = {}
    for search, number in sorted(rounds):
        before = counting.get((search, number - 1))
        chosen = next((k for k in rounds[search, number] if _follows(k.record, before)), None)
        if chosen is not None:
            counting[search, number] = chosen
    return counting


def _follows(decision: Record, before: Kept | None) -> bool:
    """Whether a decision's parent is what the round before decided."""
    if not isinstance(decision, Decision):
        return False
    if decision.round == 1 or decision.parent is None:
        return decision.round == 1
    if before is None or not isinstance(before.record, Decision):
        return False
    return decision.parent == before.record.topology


def counting_evaluations(records: list[Kept], decisions: dict[Round, Kept]) -> dict[Place, Kept]:
    """By place: what the round's decision rests on, else the earliest attempt's that fits.

    Args:
        records: By attempt, oldest first.
        decisions: Those that count.
    """
    used = {name for decision in decisions.values() for name in decision.uses}
    counting: dict[Place, Kept] = {}
    for kept in records:
        if isinstance(kept.record, Evaluation):
            search, number, index = kept.record.candidate.place
            before = decisions.get((search, number - 1))
            fits = (search, number, index) not in counting and _belongs(kept.record, before)
            if kept.name in used or fits:
                counting[search, number, index] = kept
    return dict(sorted(counting.items()))


def _belongs(evaluation: Evaluation, before: Kept | None) -> bool:
    """Whether a candidate comes from what the round before decided, as far as that is known."""
    removed = evaluation.candidate.removed
    if before is None or removed is None or not isinstance(before.record, Decision):
        return True
    parent = before.record.topology
    return removed in parent.edges and evaluation.candidate.topology == parent.without(removed)


def measured_again(decisions: dict[Round, Kept], evaluations: dict[Place, Kept]) -> Iterator[Place]:
    """Places whose evaluation is not the one that the round's decision names: that one is lost.

    Args:
        decisions: Those that count.
        evaluations: Those that count.
    """
    for kept in decisions.values():
        if isinstance(kept.record, Decision):
            places = places_of(kept.record)
            if len(places) == len(kept.uses):  # in the order of the candidates, both
                for place, name in zip(places, kept.uses, strict=True):
                    if place in evaluations and evaluations[place].name != name:
                        yield place


def places_of(decision: Decision) -> list[Place]:
    """Places of the evaluations that a decision rests on, in order."""
    indices = [*(line.index for line in decision.ranking), *decision.failed]
    return [(decision.search, decision.round, index) for index in sorted(indices)]
